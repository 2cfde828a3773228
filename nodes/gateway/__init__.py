"""The gateway node: coordinates two-phase commit between the banks. Start: ``python -m nodes.gateway --help``."""
