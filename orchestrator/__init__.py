"""The orchestrator: one command that makes a cluster, keeps it running, and breaks it on purpose.

`cli` finds the command that was asked for, in `commands`. `config`, `folder`,
`certificates` and `accounts` say what a cluster is made of. `up` makes a plan of it
(`planning`), and hands that to a supervisor in the background (`supervisor`), which
keeps each node by the pure rules of `policy`, believes what the `prober` hears from
the nodes, and takes orders on the control socket (`control`). `shell` is for users.
"""
