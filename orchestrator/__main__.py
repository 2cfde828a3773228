"""``python -m orchestrator`` is the `cluster` command."""

from orchestrator.cli import main

main()
