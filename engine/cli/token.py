"""``hookflash token``: who may see the console and its API."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from engine.cli.options import config_option


def _file(config: Path | None) -> Path:
    from engine.settings_sources import load_settings

    return load_settings(config).console.tokens


@click.group(
    short_help="Say who may see the console.",
    epilog="""\b
Examples:
  hookflash token create ada --role supervisor
  hookflash token revoke ada

\b
Roles: viewer (live calls, masked), analyst (also past calls, recordings, numbers),
supervisor (also listen, hang up, hand off), admin (also the audit log).""",
)
def token() -> None:
    """Make, list and revoke the tokens of the console. A running engine notices at once."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(("viewer", "analyst", "supervisor", "admin")), required=True)
@config_option
def create(name: str, role: str, config: Path | None) -> None:
    """Make a token for NAME and print it: it is kept as a hash only, so nobody can read it again."""
    from engine.console import tokens

    file = _file(config)
    made = tokens.create(file, name, role, datetime.now(UTC))  # type: ignore[arg-type]
    click.echo(made)
    click.echo(f"{name} is {role} now ({file}); this token is shown once", err=True)


@token.command("list")
@config_option
def list_(config: Path | None) -> None:
    """Who has a token."""
    from engine.console import tokens

    file = _file(config)
    if not file.exists():
        click.echo(f"there is no token yet ({file}): the console serves this machine alone", err=True)
        return
    for found in tokens.read(file):
        click.echo(f"{found.name:<24} {found.role:<12} {found.created:%Y-%m-%d %H:%M}")


@token.command()
@click.argument("name")
@config_option
def revoke(name: str, config: Path | None) -> None:
    """Take NAME's token away; who is logged in with it is out at once."""
    from engine.console import tokens

    tokens.revoke(_file(config), name)
    click.echo(f"{name} has no token any more", err=True)
