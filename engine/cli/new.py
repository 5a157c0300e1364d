"""``hookflash new``: a flow to begin with."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from engine.errors import UserError

MAX_NAME = 200  # with what is added to it, file systems take it


@click.command(
    short_help="Write a first flow, with its test.",
    epilog="""\b
Examples:
  hookflash new reception               makes reception/reception.flow.yaml and what belongs to it
  hookflash new bella/orders --in flows""",
)
@click.argument("name")
@click.option(
    "--in",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the flow's own folder is made (default: here).",
)
def new(name: str, folder: Path) -> None:
    """Write a flow called NAME into a folder of its own: the flow, its resources and its test.

    Nothing that exists is overwritten.
    """
    from flows.compiler import FLOW_NAME
    from flows.starter import starter

    if not FLOW_NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot be a flow's name; it is like reception or bella/orders")
    if len(name) > MAX_NAME:
        raise UserError(f"a flow's name has at most {MAX_NAME} characters here: its files are called after it")
    folder = folder / name
    files = {folder / file: content for file, content in starter(name, folder.as_posix()).items()}
    for path in files:
        if os.path.lexists(path):
            raise UserError(f"{_shown(path)} exists already; choose another name, or another folder with --in")
    for path, content in files.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as opened:
                opened.write(content)
        except OSError as error:
            raise UserError(f"cannot write {_shown(path)}: {error.strerror}") from None
        click.echo(f"wrote {_shown(path)}")
    click.echo(f"\nNext: hookflash check {shlex.quote(_shown(folder))}", err=True)


def _shown(path: Path) -> str:
    return click.format_filename(path)
