"""``hookflash doctor`` and ``hookflash asterisk-config``: one's own Asterisk, examined and configured."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.options import config_option, json_option
from engine.errors import UserError

if TYPE_CHECKING:
    from asterisk.doctor import Finding
    from engine.settings import Settings
    from flows.library import Library

_COLOURS = {"ok": "green", "warn": "yellow", "error": "red"}


@click.command(
    short_help="Examine your Asterisk and the voices.",
    epilog="""\b
Exit status: 0 calls can be taken, 1 something is in the way, 2 wrong settings.

\b
Examples:
  hookflash doctor
  HOOKFLASH_ASTERISK_URL=http://pbx:8088 HOOKFLASH_ASTERISK_PASSWORD_FILE=ari.txt hookflash doctor""",
)
@config_option
@json_option
def doctor(config: Path | None, as_json: bool) -> None:
    """Examine the Asterisk of the settings (version, modules, user, clock, codecs, exposure) and the voices; say what
    to change."""
    from asterisk.doctor import examine, healthy
    from engine.settings_sources import load_settings

    settings = load_settings(config)
    pbx, library = settings.asterisk, _library(settings)
    findings = asyncio.run(examine(pbx.url, pbx.user, pbx.password.get_secret_value(), application=pbx.app))
    findings += _voices(settings, library)
    findings += _webhooks(settings, library)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{click.style(f'{finding.level:<5}', fg=_COLOURS[finding.level])}  {finding.what}")
            if finding.advice:
                click.echo(f"       {finding.advice}")
        click.echo("Calls can be taken." if healthy(findings) else "Calls cannot be taken yet: see the errors above.")
    sys.exit(0 if healthy(findings) else 1)


def _library(settings: Settings) -> Library | None:
    """The engine's flows, if there are any and they can be used."""
    from engine.verbs import installed
    from flows.language import Language

    return Language(installed()).load([path for path in settings.flows if path.exists()]).library


def _voices(settings: Settings, library: Library | None) -> list[Finding]:
    """Which voices are ready to talk."""
    from engine.serve import settings_of_voices
    from engine.voice_checks import examine_voices

    return asyncio.run(examine_voices(settings, settings_of_voices(settings), library))


def _webhooks(settings: Settings, library: Library | None) -> list[Finding]:
    """Flows of this engine that would wait in vain."""
    from asterisk.doctor import Finding
    from engine.loading import closed_to_webhooks

    closed = closed_to_webhooks(library, settings.events.token.get_secret_value()) if library is not None else ""
    return [Finding("warn", closed, "openssl rand -hex 32, as HOOKFLASH_EVENTS_TOKEN")] if closed else []


@click.command(
    "asterisk-config",
    short_help="Write Asterisk's configuration.",
    epilog="""\b
Without --choices: the ARI user and the application of the settings, nothing else. A file of choices adds trunks,
Teams, phones, TLS and a fallback (docs/asterisk.md):
  fallback: {endpoint: PJSIP/reception}
  trunks:
    - {name: carrier, host: sip.carrier.example, match: [203.0.113.0/24]}
A trunk's password may stand in a file: password_file: /run/secrets/carrier.

\b
Example:
  hookflash asterisk-config build/asterisk --choices choices.yaml""",
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--choices", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML file of choices.")
@click.option("--set", "single", multiple=True, metavar="NAME=VALUE", help="One choice, over the file: sip.port=5070.")
@click.option(
    "--make-password",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the ARI password from FILE; when there is none, make it and write it there.",
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@config_option
def asterisk_config(
    folder: Path,
    choices: Path | None,
    single: tuple[str, ...],
    make_password: Path | None,
    force: bool,
    config: Path | None,
) -> None:
    """Write Asterisk's configuration files for Hookflash into FOLDER, to be looked at and copied to /etc/asterisk."""
    from asterisk.config import render, warnings
    from engine.cli.choices import chosen
    from engine.settings_sources import load_settings

    settings = load_settings(config)
    # An Asterisk that runs already knows the password: a second run must not make another one.
    told = _password(make_password) if make_password else settings.asterisk.password.get_secret_value()
    password = told or secrets.token_urlsafe(24)
    # Nobody guesses a password that was made here, and a plain one costs Asterisk less at each request.
    choice = chosen(settings, password, choices, single, crypt=make_password is None)
    files = render(choice)
    _write(folder, files, force=force)
    click.echo(f"{len(files)} files in {folder}: {', '.join(sorted(files))}")
    if make_password and not told:
        _write(make_password.parent, {make_password.name: password}, force=True)
        click.echo(f"ARI password of {choice.users[0].name}, made now: in {make_password}")
    elif not told:
        click.echo(
            f"ARI password of {choice.users[0].name}, made now and shown once (HOOKFLASH_ASTERISK_PASSWORD): {password}"
        )
    for warning in warnings(choice):
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)


def _password(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}, named by --make-password: {error}") from None


def _write(folder: Path, files: dict[str, str], *, force: bool) -> None:
    there = sorted(name for name in files if (folder / name).exists())
    if there and not force:
        names = ", ".join(there[:3]) + (", …" if there[3:] else "")
        raise UserError(f"{folder} already holds {names}: choose another folder, or overwrite with --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            # Passwords stand in some: nobody else may read them, from the first byte on.
            made = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            with open(made, "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UserError(f"cannot write {error.filename or folder}: {error.strerror}") from None
