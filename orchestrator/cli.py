"""The `cluster` command: finds the command that was asked for, and says in one line what went wrong.

Commands are imported when they are asked for, so that help and completion are quick.
"""

import importlib
import sys
from typing import Any

import click

from orchestrator.exit_codes import FAILED, INTERRUPTED

COMMANDS = {
    "init": "Write a cluster.yaml and a users.json to start from.",
    "up": "Start the gateway and the banks, and wait until all serve.",
    "status": "Show how every node is.",
    "shell": "Log in, pay, look: typed, piped, or as -e '...'.",
    "demo": "Watch a payment survive the death of a bank.",
    "logs": "Show what the nodes logged, merged by time.",
    "events": "Show what the supervisor did.",
    "ps": "Show the processes.",
    "restart": "Restart a node, or all, one after another.",
    "payment": "Show all that is known of a payment.",
    "chaos": "Break nodes on purpose.",
    "certs": "Look at the certificates.",
    "user": "Make password hashes for users.json.",
    "doctor": "Look for what is wrong, or soon will be.",
    "down": "Stop everything.",
}
"""Each command and its line in the help; the command is orchestrator.commands.<name>.<name>."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"orchestrator.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="secure-distributed-payment-gateway", prog_name="cluster")
def cluster() -> None:
    """Run a cluster of a payment gateway and banks on this machine.

    \b
    Start with:
      cluster up
      cluster shell
    """


def main() -> None:
    """Run a command; what people can mend is said in a line, the rest is a bug and shows itself."""
    try:
        cluster.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has read enough; nothing more can be said to them.
        sys.stderr.close()
        sys.exit(FAILED)
    except Exception as error:
        if not _is_mendable(error):
            raise
        for line in str(error).splitlines():
            click.echo(f"error: {line}", err=True)
        sys.exit(FAILED)


def _is_mendable(error: Any) -> bool:
    """Tell whether an error is one of ours, whose message is made for people; system errors name their file."""
    return type(error).__module__.partition(".")[0] in ("orchestrator", "nodes") or isinstance(error, OSError)
