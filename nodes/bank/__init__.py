"""A bank node: a participant of two-phase commit with its own durable ledger.

Start it with ``python -m nodes.bank --help``. A payment's way through these files:
`bank_service` takes the gateway's stream, `loop` gathers its messages, `turn` hands all
that has gathered to the rules in `nodes.core.participant` and makes it durable in
`store`, and the votes go back the way the messages came. `gateway_link` is the bank's own voice: it
registers, and asks about what it holds in doubt.
"""
