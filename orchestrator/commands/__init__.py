"""The commands, one file each; `orchestrator.cli` loads the one that is called, and no other."""
