"""``hookflash check`` and ``hookflash schema``: what an author of flows needs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.options import config_option

if TYPE_CHECKING:
    from flows.language import Language
    from flows.problems import Problem


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

    A file is checked with the resources, routes and other flows of its folder; what is wrong with those is told when it
    stands in the file's way.

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
    wrong = {problem for test in tests for problem in reader.read(*test).problems}
    others = [path for path in paths if not is_test(path)]
    flows: set[str] = set()
    for told, runs in _checked(language, others):
        wrong |= told
        flows |= runs
    problems = sorted(wrong)
    failed = any(problem.severity == "error" for problem in problems)
    if written := FORMATS[form](problems):
        # https://no-color.org
        click.echo(written, color=False if os.environ.get("NO_COLOR") else None)
    if form in ("text", "github"):
        can_run = f"; {len(flows)} flow{'s' * (len(flows) != 1)} can run" if others and not failed else ""
        click.echo(counted(problems) + can_run, err=True)
    sys.exit(1 if failed else 0)


def _checked(language: Language, paths: Sequence[Path]) -> Iterator[tuple[set[Problem], set[str]]]:
    """What is wrong, and the files of flows that can run. Folders are one set, as the engine loads them; a file is seen
    in its house, and told is what is wrong with it or stands in its way."""
    from flows.house import around, house_of

    folders = [path for path in paths if path.is_dir()]
    if folders:
        loaded = language.load(folders)
        yield set(loaded.problems), {os.path.abspath(flow.file) for flow in loaded.sound.flows.values()}
    houses: dict[str, dict[Path, None]] = {}
    named: dict[str, list[Path]] = {}
    for path in paths:
        if path not in folders:
            house = os.path.abspath(house_of(path))
            houses.setdefault(house, {}).update(dict.fromkeys(around(path)))
            named.setdefault(house, []).append(path)
    for house, files in named.items():
        loaded = language.load(houses[house])
        names = {os.path.abspath(path): str(path) for path in files}
        told = {problem for path in files for problem in loaded.told(path)}
        yield (
            {replace(problem, file=names.get(os.path.abspath(problem.file), problem.file)) for problem in told},
            {file for file in names if (flow := loaded.of(Path(file))) and not loaded.in_the_way(flow)},
        )


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
