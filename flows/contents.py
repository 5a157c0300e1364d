"""What a file holds, read in bounded time and space whatever the file is."""

from __future__ import annotations

import errno
import os
import stat
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
