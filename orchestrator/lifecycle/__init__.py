"""From files to a running cluster and back: what nodes need, the plan, starting, stopping."""
