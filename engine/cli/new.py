"""``hookflash new``: a flow to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from engine.errors import UserError


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
    folder = folder / name
    files = {folder / file: content for file, content in starter(name, folder.as_posix()).items()}
    taken = [path for path in files if path.exists()]
    if taken:
        raise UserError(f"{taken[0]} exists already; choose another name, or another folder with --in")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            with path.open("x", encoding="utf-8") as opened:
                opened.write(content)
            click.echo(f"wrote {path}")
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None
    click.echo(f"\nNext: hookflash check {folder}", err=True)
