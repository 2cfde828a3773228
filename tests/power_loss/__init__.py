"""What a power cut leaves: files without what was written and not yet synced, opened by the real code.

A commit is durable if it is still there after the machine lost power in the very next
moment. A killed process does not show that, since the system's cache outlives it. So
SQLite runs here on a file system that remembers each write and each sync:

    filesystem.py   files in memory, as a VFS of SQLite; every operation on record
    subjects.py     what is recorded: the real stores of a bank and the gateway under real turns, and the outbox
    recording.py    one run of a subject: its operations, and after each turn what its tables held
    image.py        the files as a power cut at some operation may leave them: of what was not synced, each
                    sector of 512 bytes is there or not, in any combination or up to some write
    verdict.py      an image, opened by the real `open_database`: whole, and with every turn that was
                    acknowledged; of the turn under way, all or nothing

Recordings are chained: each begins with an image of the one before, so recovery is cut
short as well. Checkpoints, which move pages from the log to the database, are made to
come every few turns instead of every 4,000 pages.

    python -m tests.power_loss --images 10000           none may lose anything
    python -m tests.power_loss --synchronous NORMAL     proves that the check can fail: commits are lost
"""
