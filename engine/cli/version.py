"""``hookflash version``."""

from __future__ import annotations

import platform

import click

from engine.version import VERSION


@click.command()
def version() -> None:
    """Print the versions."""
    click.echo(f"hookflash {VERSION}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
