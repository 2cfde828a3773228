"""Fewer threads for gRPC: import this before gRPC, in a program that is a node.

The thread that waits for gRPC's events reads the sockets too, and is not handed each event by
another one. That is gRPC's older way; its newer one costs a node a seventh more for each
payment that comes alone, in threads that wake each other. gRPC reads the variable when it is
imported; whoever starts the node may have said otherwise.

Only for a program whose channels all have an event loop: in that older way a blocking channel comes on with
its connection during calls alone, and calls that fail at once never let it. So a node asks for it when it is
run, and nothing that tests and other programs import does: the variable would go on to all that they start.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
