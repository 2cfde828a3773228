"""The orchestrator: one command that makes a cluster, keeps it running, and breaks it on purpose.

`cli` finds the command that was asked for, in `commands`. `layout` says what a cluster is
made of, `identity` gives it certificates; `lifecycle` makes a plan of that and hands it to
`supervision`, which keeps the nodes running in the background. `inspection` asks how they
are, `shell` is for users. `links` and `chaos` break things on purpose; `benchmark`,
`campaign` and `matrix` do so, or only load, in clusters of their own, and judge.
Who may import whom is a contract in pyproject.toml.
"""
