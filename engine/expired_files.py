"""Sound files that were kept long enough are deleted: only those that calls left, only in their own folders, never
through a link.

Folders are opened one inside the other and then known by their handle, so that nobody can put a link in their place
meanwhile. All of this waits for the disk: run it in a thread.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from flows.mailboxes import BOX

LOOKED_AT: Final = 200  # entries of a folder in one go
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NAME: Final = re.compile(r"(\d{8}T\d{6}Z)-([A-Za-z0-9_-]+)-(\d+)\.(?:wav|part)")  # of engine.recording.new_file


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that was deleted. ``call``: the call's id as it is `in_name`; ``position``: its step that kept it, from
    0."""

    name: str
    call: str
    began: datetime
    position: int


def in_name(call: str) -> str:
    """The id of a call as the names of its files have it (`engine.recording.new_file`)."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call)


def recordings(storage: Path) -> list[tuple[str, ...]]:
    """The folders below ``storage`` that hold recordings of calls, as the names that lead there."""
    return [("recordings",)] if os.path.lexists(storage / "recordings") else []


def voicemail(storage: Path) -> list[tuple[str, ...]]:
    """The same for messages: a folder for each box. Raises `OSError`."""
    if not os.path.lexists(storage / "voicemail"):
        return []
    handle = _opened(storage, "voicemail")
    try:
        with os.scandir(handle) as entries:
            boxes = [each.name for each in entries if BOX.fullmatch(each.name) and each.is_dir(follow_symlinks=False)]
    finally:
        os.close(handle)
    return [("voicemail", box) for box in sorted(boxes)]


def expired(
    storage: Path, names: tuple[str, ...], before: datetime, live: Collection[str], problems: list[str]
) -> Iterator[list[Sound]]:
    """Delete the sounds in one folder that began, and were last written, before a moment; each turn deletes a few.

    Gives what it deleted, and adds to ``problems`` what it could not. ``live``: ids of calls whose files stay. Raises
    `OSError` when the folder cannot be read, or is a link.
    """
    safe = {in_name(call) for call in live}
    handle = _opened(storage, *names)
    try:
        with os.scandir(handle) as entries:
            while some := list(islice(entries, LOOKED_AT)):
                deleted = []
                for name in (entry.name for entry in some):
                    try:
                        sound = _delete(handle, name, before, safe)
                    except FileNotFoundError:
                        continue  # somebody else was faster
                    except OSError as error:
                        problems.append(f"{storage.joinpath(*names, name)}: {error.strerror or error}")
                        continue
                    deleted += [sound] if sound is not None else []
                yield deleted
    finally:
        os.close(handle)


def _delete(folder: int, name: str, before: datetime, live: Collection[str]) -> Sound | None:
    """Delete one file when it is ours, old enough, and of a call that is over. Raises `OSError`."""
    found = _NAME.fullmatch(name)
    if found is None or found[2] in live:
        return None
    try:
        began = datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None  # no day that there is, so none of ours
    if began >= before:
        return None
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if facts.st_mtime >= before.timestamp() or not stat.S_ISREG(facts.st_mode):
        return None
    os.unlink(name, dir_fd=folder)
    return Sound(name, found[2], began, int(found[3]) - 1)


def _opened(storage: Path, *names: str) -> int:
    """A handle of a folder below the storage, with no link on the way there. Raises `OSError`."""
    handle = os.open(storage, _FOLDER)
    at = storage
    for name in names:
        at /= name
        try:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
        except OSError as error:
            reason = f"{error.strerror}; a link is not followed" if at.is_symlink() else error.strerror
            raise OSError(error.errno, reason, str(at)) from error
        finally:
            os.close(handle)
        handle = inner
    return handle
