"""``hookflash fmt``: one layout for flow files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

PATTERNS = ("*.flow.yaml", "*.test.yaml", "routes.yaml", "resources.yaml")


@click.command(
    short_help="Lay out flow files: block style, comments kept.",
    epilog="""\b
Exit status: 0 all is laid out, 1 a file cannot be read (with --check: or would change), 2 wrong arguments.

\b
Examples:
  hookflash fmt flows/
  hookflash fmt --check flows/      in CI: say what is not laid out, change nothing""",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Change nothing; fail when a file is not laid out.")
def fmt(paths: tuple[Path, ...], only_check: bool) -> None:
    """Write flow files, their tests, routes and resources in one layout.

    Comments, the order of keys, quotes and texts stay; a file that cannot be laid out without changing what it says is
    left alone.
    """
    from engine.cli.report import as_text
    from flows.contents import contents, replace
    from flows.layout import UnformattableError, layout
    from flows.problems import Problem, Where
    from flows.reader import MAX_BYTES, Map, read

    failed = changed = files = 0
    for path, root in _found(paths):
        files += 1
        try:
            before = contents(path, MAX_BYTES, within=root)
            after = layout(str(path), before)
            if not isinstance(read(str(path), before)[0], Map | None):
                where = Where(str(path), 1, 1)
                raise UnformattableError([Problem.at(where, "E203", "this is no file of flows: those are mappings")])
            if after != before and not only_check:
                replace(path, after)
        except UnformattableError as error:
            click.echo(as_text(error.problems))
            failed += 1
            continue
        except OSError as error:
            click.echo(f"{path}: {error.strerror or error}", err=True)
            failed += 1
            continue
        if after != before:
            changed += 1
            click.echo(f"{'would change' if only_check else 'changed'} {path}")
    left = f", {failed} left alone" if failed else ""
    click.echo(
        f"{files} file{'s' * (files != 1)}, {changed} {'to change' if only_check else 'changed'}{left}", err=True
    )
    sys.exit(1 if failed or (only_check and changed) else 0)


def _found(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """The files to lay out, none twice, each with the folder that it must lie in, links followed; a file that is named
    is taken whatever it is called."""
    seen: set[Path] = set()
    for given in paths:
        inside = sorted(
            path
            for pattern in PATTERNS
            for path in (given.rglob(pattern) if given.is_dir() else ())
            if not any(part.startswith(".") for part in path.relative_to(given).parts)
        )
        for path in inside if given.is_dir() else [given]:
            if path not in seen:
                seen.add(path)
                yield path, given if given.is_dir() else given.parent
