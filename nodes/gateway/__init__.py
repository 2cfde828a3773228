"""The gateway node: coordinates two-phase commit between the banks.

Start it with ``python -m nodes.gateway --help``. A payment's way through these files:
`payment_service` checks who asks and what, `loop` gathers requests and votes, `turn`
hands all that has gathered to the rules in `nodes.core.coordinator` and makes their
decisions durable in `store`, and `bank_link` carries batches to each bank and votes back.
`registry_service` is what banks call, `operator_service` what operators look at;
`users`, `tokens` and `logins` say who somebody is; `transactions_file` writes the line
for each payment that people read.
"""
