"""The lines between nodes of a test cluster, and all that may happen to them: rules, relay, proxy."""
