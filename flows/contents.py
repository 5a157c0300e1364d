"""What a file holds: read in bounded time and space whatever the file is, and replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

# Why no other file can be put in the place of one that may be written: its folder may not be, it is another's, it is
# mounted by itself, or it lies where there are no owners.
_IRREPLACEABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.EINVAL, errno.ENOTSUP})
_SWAPPED: Final = "another file has taken its place"


def contents(path: Path, most: int, within: Path | None = None) -> bytes:
    """The bytes of a regular file, ``most`` and one more at most. Raises `OSError`.

    A pipe or a device is refused: to read it could wait for ever, or never come to an end. ``within``: the folder in
    which nobody but a search found the file; it is refused when only a link out of that folder leads to it. Links
    inside of it are followed: so a mounted ConfigMap has its files.
    """
    if within is not None:
        _must_be_inside(path, within)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer waits otherwise
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(descriptor)


def _must_be_inside(path: Path, folder: Path) -> None:
    """Raises `OSError` when the file lies outside of the folder, links followed."""
    try:
        real = path.resolve()
    except RuntimeError:  # links in a circle, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if not real.is_relative_to(folder.resolve()):
        raise OSError(errno.EXDEV, f"it is a link to {real}, in another folder: name that file")


def replace(path: Path, data: bytes) -> None:
    """Let the file hold this instead: whoever reads it meanwhile, or after a crash, finds the old or the new.

    Its mode and its owner stay. A file of which nobody but its owner or root can put another in its place is written
    as it stands; whoever reads it in that moment may find a part. Raises `OSError`.
    """
    real = path.resolve()
    if not os.access(real, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    before = real.stat()
    try:
        _put_in_place(real, before, data)
    except OSError as error:
        if error.errno not in _IRREPLACEABLE:
            raise
        _overwrite(real, before, data)


def _put_in_place(real: Path, before: os.stat_result, data: bytes) -> None:
    """Write another file and give it the name."""
    handle, beside = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, real)
    except BaseException:
        os.unlink(beside)
        raise


def _overwrite(real: Path, before: os.stat_result, data: bytes) -> None:
    """Write into the file, and no other that may have its name by now; what it held comes back when that fails."""
    try:
        descriptor = os.open(real, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(errno.ESTALE, _SWAPPED) if error.errno == errno.ELOOP else error from None
    try:
        if not os.path.samestat(os.fstat(descriptor), before):
            raise OSError(errno.ESTALE, _SWAPPED)
        old = os.pread(descriptor, before.st_size, 0)
        try:
            _fill(descriptor, data)
        except BaseException:
            with suppress(OSError):
                _fill(descriptor, old)
            raise
    finally:
        os.close(descriptor)


def _fill(descriptor: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(descriptor, data[at:], at)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)
