"""What a file holds: read in bounded time and space whatever the file is, and replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path


def contents(path: Path, most: int) -> bytes:
    """The bytes of a regular file, ``most`` and one more at most. Raises `OSError`.

    A pipe or a device is refused: to read it could wait for ever, or never come to an end.
    """
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


def replace(path: Path, data: bytes) -> None:
    """Let the file hold this instead: whoever reads it meanwhile, or after a crash, finds the old or the new.

    Its mode and its owner stay. Raises `OSError`.
    """
    real = path.resolve()
    if not os.access(real, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    before = real.stat()
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
