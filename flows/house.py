"""The folder in which a file of flows lives: what the engine would load with it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

SHARED = ("resources.yaml", "routes.yaml")
PATTERNS = ("*.flow.yaml", *SHARED)


def house_of(file: Path) -> Path:
    """The nearest folder at or above a file that holds a flow, resources or routes, and what stands above it as long as
    that holds resources or routes, which are for the folders below. The file's own folder when there is none.
    """
    parents = Path(os.path.abspath(file)).parents
    start = next((index for index, folder in enumerate(parents) if _holds(folder, PATTERNS)), None)
    if start is None:
        return file.parent
    while start + 1 < len(parents) and _holds(parents[start + 1], SHARED):
        start += 1
    if start == 0:
        return file.parent
    return parents[start] if file.is_absolute() else Path(os.path.relpath(parents[start]))


def around(path: Path) -> list[Path]:
    """What to load to know a file as the engine would: its house, and itself if that would not find it. A folder is
    loaded as it is."""
    if path.is_dir():
        return [path]
    house = house_of(path)
    beside = inside(house, PATTERNS)
    is_found = path not in beside and os.path.abspath(path) in map(os.path.abspath, beside)
    return [*([house] if beside else ()), *([] if is_found else [path])]  # named itself, it may be a link to elsewhere


def inside(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files below a folder whose names fit, sorted. Hidden files and folders are left out: a mounted ConfigMap
    keeps its files in one and links to them. Links to folders are not followed.
    """
    wanted = tuple(patterns)
    found: list[Path] = []
    ahead = [folder]
    while ahead:
        try:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(Path(entry.path))
                    if any(fnmatchcase(entry.name, pattern) for pattern in wanted):
                        found.append(Path(entry.path))
        except OSError:  # it may not be read, went away, or its path is too long: nothing can be loaded from there
            continue
    return sorted(found)


def _holds(folder: Path, patterns: tuple[str, ...]) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(fnmatchcase(entry.name, pattern) for entry in entries for pattern in patterns)
    except OSError:
        return False
