"""How a command that shows nothing says what it did: to people, or to a program."""

import json

import click


def tell(output: str, said: str, **facts: object) -> None:
    """Say it as a sentence on stderr, or with ``-o json`` as one object of ``facts`` on stdout."""
    if output == "json":
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        click.echo(said, err=True)
