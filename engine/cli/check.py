"""``hookflash check`` and ``hookflash schema``: what an author of flows needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from engine.cli.options import json_option


@click.command(
    short_help="Check flow files.",
    epilog="""\b
Exit status: 0 no errors (perhaps warnings), 1 errors, 2 wrong arguments.

\b
Examples:
  hookflash check flows/
  hookflash check reception.flow.yaml routes.yaml resources.yaml""",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@json_option
def check(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check flow files and folders: every mistake at once, as file:line:column."""
    from engine.verbs import installed
    from engine.voices import known_voices
    from flows.language import Language

    loaded = Language(installed(), known_voices()).load(paths)
    problems = sorted(loaded.problems)
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        fields = ("file", "line", "column", "severity", "code", "message")
        click.echo(json.dumps([{name: getattr(problem, name) for name in fields} for problem in problems], indent=2))
    else:
        for problem in problems:
            click.echo(str(problem))
        flows = len(loaded.library.flows) if loaded.library else 0
        warnings = len(problems) - errors
        click.echo(
            f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
            + (f"; {flows} flow{'s' * (flows != 1)} can run" if not errors else ""),
            err=True,
        )
    sys.exit(1 if errors else 0)


@click.command(
    short_help="Print the JSON Schema of flows.",
    epilog="""\b
Example: hookflash schema > flow.schema.json, and at the top of a flow:
  # yaml-language-server: $schema=flow.schema.json""",
)
def schema() -> None:
    """Print the JSON Schema of flow files, for editors."""
    from engine.verbs import installed
    from flows.language import Language

    click.echo(json.dumps(Language(installed()).schema(), indent=2, ensure_ascii=False))
