"""``hookflash graph``: a flow as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.errors import UserError

if TYPE_CHECKING:
    from flows.flow import Flow


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
    """The flow, when nothing in its folder is wrong."""
    from engine.cli.report import as_text
    from engine.verbs import installed
    from flows.language import Language
    from flows.problems import did_you_mean, has

    file = Path(flow)
    is_file = file.is_file()
    folder = folder or (file.parent if is_file else Path())
    loaded = Language(installed()).load([folder])
    if loaded.library is None:
        click.echo(as_text([problem for problem in loaded.problems if problem.severity == "error"]), err=True)
        raise UserError(f"the flows in {folder} have errors")
    flows = loaded.library.flows
    if is_file:
        for found in flows.values():
            if Path(found.file).resolve() == file.resolve():
                return found
        raise UserError(f"{flow} is no *.flow.yaml in {folder}")
    if flow not in flows:
        raise UserError(f"no flow '{flow}' in {folder}{did_you_mean(flow, flows) or has(flows)}")
    return flows[flow]
