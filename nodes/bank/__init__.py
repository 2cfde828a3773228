"""A bank node: a participant of two-phase commit with its own durable ledger.

Start it with ``python -m nodes.bank --help``. A payment's way through these files:
`bank_service` takes the gateway's stream, `loop` gathers its messages into turns and hands
them to the rules in `nodes.core.participant`, `store` makes the turn durable, and the
votes go back the way the messages came. `gateway_link` is the bank's own voice: it
registers, and asks about what it holds in doubt.
"""
