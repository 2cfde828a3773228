"""How a cluster is, and what its nodes have on record: asked for, or read from what they left."""
