"""The process in the background that keeps the nodes running, its helpers, and the socket it is spoken to by.

It is handed a `plan` and reads no cluster.yaml. `supervisor` starts a `keeper` for each node,
which does to a real process (`processes`) what the pure rules of `policy` say. What it must not
do itself, its companions do: `watcher` has the `prober` ask the nodes how they are, `injector`
has the proxy of `orchestrator.links` break lines. Everybody else asks it through `control`.
"""
