"""What holds for all tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs tests in the background has SIGINT ignored, and what tests start would inherit
    # that, and not end by the Ctrl-C that they send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
