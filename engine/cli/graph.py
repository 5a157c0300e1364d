"""``hookflash graph``: a flow as a drawing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.errors import UserError

if TYPE_CHECKING:
    from flows.flow import Flow
    from flows.problems import Problem


@click.command(
    short_help="Draw a flow, as Mermaid or SVG.",
    epilog="""\b
Examples:
  hookflash graph flows/reception.flow.yaml
  hookflash graph clinic/appointments --in flows/ --format svg > appointments.svg""",
)
@click.argument("flow")
@click.option(
    "--format",
    "form",
    type=click.Choice(("mermaid", "svg")),
    default="mermaid",
    show_default=True,
    help="mermaid is shown by GitHub, GitLab and many editors, svg by browsers.",
)
@click.option(
    "--in",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of all flows and their resources (default: that of the file, or this one).",
)
def graph(flow: str, form: str, folder: Path | None) -> None:
    """Draw FLOW, a file or the name of a flow: its steps, and where each outcome leads."""
    from flows.drawing import TooLargeError, as_svg
    from flows.graph import as_mermaid, graph_of

    drawn = graph_of(_loaded(flow, folder))
    try:
        click.echo(as_svg(drawn) if form == "svg" else as_mermaid(drawn))
    except TooLargeError as error:
        raise UserError(str(error)) from None


def _loaded(flow: str, folder: Path | None) -> Flow:
    """The flow, when it is right itself; others of its folder need not be."""
    from engine.verbs import installed
    from flows.house import around
    from flows.language import Language
    from flows.problems import did_you_mean, has

    file = Path(flow)
    if os.path.isfile(file):
        loaded = Language(installed()).load([folder] if folder else around(file))
        found, wrong = loaded.of(file), loaded.told(file)
        missing = f"{flow} is no *.flow.yaml in {folder or file.parent}"
    else:
        loaded = Language(installed()).load([folder or Path()])
        found, wrong = loaded.flow(flow), loaded.unread()
        known = {one.flow.name for one in loaded.read}
        missing = f"no flow '{flow}' in {folder or Path()}{did_you_mean(flow, known) or has(known)}"
        if os.path.isdir(flow):
            missing += f"; {flow} is a folder: name a flow of it, and the folder with --in"
    if found is None:
        _tell(wrong)
        raise UserError(missing)
    if any(problem.severity == "error" for problem in found.problems):
        _tell(loaded.in_the_way(found))
        raise UserError(f"{found.flow.file} has errors")
    return found.flow


def _tell(problems: Sequence[Problem]) -> None:
    from engine.cli.report import as_text

    if problems:
        click.echo(as_text(problems), err=True)
