"""The command line. What a command needs is imported when it runs, so that ``hookflash --help`` answers at once."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

import click

from engine.cli.asterisk import asterisk_config, doctor
from engine.cli.calls import calls
from engine.cli.check import check, schema
from engine.cli.fmt import fmt
from engine.cli.graph import graph
from engine.cli.new import new
from engine.cli.replay import replay
from engine.cli.run import demo, serve
from engine.cli.test import test
from engine.cli.token import token
from engine.cli.version import version
from engine.errors import UserError
from engine.version import VERSION

# Errors of the other packages that already say in words what to do. Looked up only when their module is loaded.
_SPOKEN = (
    ("asterisk.ari.errors", "AriError"),
    ("asterisk.debian", "UnpackError"),
    ("asterisk.instance", "SandboxError"),
    ("engine.line", "LineError"),
    ("providers.voice", "VoiceError"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)  # of where the output goes


class _Commands(click.Group):
    """In the order in which a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # it is None when it was closed
                stream.reconfigure(errors="backslashreplace")  # file names may be any bytes, terminals of any encoding
        try:
            return super().invoke(ctx)
        except UserError as error:
            _say(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _say(UserError(f"cannot write: {error.strerror}"))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what waits to be written goes nowhere, without a word
            ctx.exit(UserError.exit_code)
        except Exception as error:
            if not isinstance(error, _spoken_errors()):
                raise
            _say(error)
            ctx.exit(1)


def _say(error: Exception) -> None:
    """One line for each problem, on stderr."""
    for line in str(error).splitlines():
        click.echo(f"{click.style('hookflash:', fg='red', bold=True)} {line}", err=True)


def _spoken_errors() -> tuple[type[Exception], ...]:
    found = (getattr(sys.modules.get(module), name, None) for module, name in _SPOKEN)
    return tuple(error for error in found if error is not None)


@click.group(
    name="hookflash",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  hookflash demo                    a real call on this machine, nothing else needed
  hookflash doctor                  is my Asterisk ready?
  hookflash check flows/            are my flows right?
  hookflash test flows/             do they do what they should?
  hookflash serve                   take calls
  hookflash calls                   what happened

\b
Settings come from HOOKFLASH_… variables and hookflash.yaml: see `hookflash serve --help`.""",
)
@click.version_option(VERSION, message="hookflash %(version)s")
def main() -> None:
    """An AI voice answers your phone, a YAML flow decides, a person takes over: on the Asterisk you already own."""


for _command in (
    demo, doctor, asterisk_config, new, check, test, graph, fmt, schema, serve, calls, replay, token, version,
):  # fmt: skip
    main.add_command(_command)
