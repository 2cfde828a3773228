"""The `cluster` command: finds the command that was asked for, and says in one line what went wrong.

Commands are imported when they are asked for, so that help and completion are quick.
"""

import importlib
import os
import sys
from typing import Any

import click

from orchestrator.console.exit_codes import FAILED, INTERRUPTED, OK

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
    "audit": "Prove that no money was made or lost, or say what is wrong.",
    "indoubt": "Look at what banks hold without knowing the decision.",
    "recover": "Make the gateway's records anew when its file was lost.",
    "settlement": "Show what the banks owe each other.",
    "payment": "Show all that is known of a payment.",
    "chaos": "Break nodes on purpose.",
    "certs": "Look at the certificates, and replace them.",
    "user": "Make password hashes for users.json.",
    "bench": "Measure payments a second, and audit them afterwards.",
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


def _show_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"cluster {version('secure-distributed-payment-gateway')}")
        except PackageNotFoundError:
            click.echo("cluster, from a checkout that is not installed")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it."
)
def cluster() -> None:
    """Run a cluster of a payment gateway and banks on this machine.

    \b
    Start with:
      cluster up
      cluster shell
    """


def main() -> None:
    """Run a command; what people can mend is said in a line, the rest is a bug and shows itself."""
    # click leaves colours out when piped; that people may not want them at all, it does not ask.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        code = cluster.main(prog_name="cluster", standalone_mode=False, color=color)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
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
        for line in [*str(error).splitlines(), *getattr(error, "__notes__", ())]:
            click.echo(f"error: {line}", err=True)
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else OK)


def _is_mendable(error: Any) -> bool:
    """Tell whether an error is one of ours, whose message is made for people; system errors name their file."""
    return type(error).__module__.partition(".")[0] in ("orchestrator", "nodes") or isinstance(error, OSError)
