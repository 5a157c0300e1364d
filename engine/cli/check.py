"""``hookflash check`` and ``hookflash schema``: what an author of flows needs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from engine.cli.options import config_option


@click.command(
    short_help="Check flow files.",
    epilog="""\b
Exit status: 0 no errors (perhaps warnings), 1 errors, 2 wrong arguments or settings.

\b
Examples:
  hookflash check flows/
  hookflash check reception.flow.yaml reception.test.yaml routes.yaml resources.yaml
  hookflash check flows/ --config /etc/hookflash/hookflash.yaml
  hookflash check flows/ --format sarif > flows.sarif""",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "sarif", "github")),
    default="text",
    show_default=True,
    help="sarif is for code scanning, github for remarks in a workflow of GitHub.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@config_option
def check(paths: tuple[Path, ...], form: str, config: Path | None) -> None:
    """Check flow files, their tests and folders: every mistake at once, as file:line:column.

    With --config also what depends on the engine's settings: who writes for flows that name no text model, and which
    accounts there are.
    """
    from engine.cli.report import FORMATS, counted
    from engine.scenario.file import ScenarioReader, found, is_test
    from engine.verbs import installed
    from engine.voices import known_voices
    from flows.language import Language

    language = Language(installed(), known_voices(), *_known(config))
    reader = ScenarioReader(language)
    tests = [(path, within) for path, within in found(paths).items() if is_test(path)]
    others = [path for path in paths if not is_test(path)]
    loaded = language.load(others) if others else None
    wrong = {problem for test in tests for problem in reader.read(*test).problems}
    problems = sorted(wrong.union(loaded.problems if loaded else ()))
    failed = any(problem.severity == "error" for problem in problems)
    if written := FORMATS[form](problems):
        # https://no-color.org
        click.echo(written, color=False if os.environ.get("NO_COLOR") else None)
    if form in ("text", "github"):
        flows = len(loaded.library.flows) if loaded and loaded.library else 0
        click.echo(
            counted(problems) + (f"; {flows} flow{'s' * (flows != 1)} can run" if loaded and not failed else ""),
            err=True,
        )
    sys.exit(1 if failed else 0)


def _known(config: Path | None) -> tuple[str | None, frozenset[str] | None]:
    """What the settings say of who writes and of accounts; None for what they leave open.

    The settings of who checks need not be the engine's: only what they say outright counts, unless they are named.
    """
    from engine.settings_sources import SettingsError, load_settings
    from engine.written import writer

    try:
        settings = load_settings(config)
    except SettingsError:
        if config is not None:
            raise
        return None, None
    writes, accounts = writer(settings) or "", frozenset(settings.accounts)
    if config is not None:
        return writes, accounts
    return writes if settings.model_fields_set & {"voice", "text"} else None, accounts or None


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
