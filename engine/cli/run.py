"""``hookflash serve`` and ``hookflash demo``: the commands that take calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from engine.cli.options import config_option


@click.command(
    short_help="Take calls and run flows.",
    epilog="""\b
Settings (variable, or its name in hookflash.yaml):
  HOOKFLASH_ASTERISK_URL       asterisk.url        http://127.0.0.1:8088
  HOOKFLASH_ASTERISK_USER      asterisk.user       hookflash
  HOOKFLASH_ASTERISK_PASSWORD  (or …_PASSWORD_FILE, a file that holds it)
  HOOKFLASH_FLOWS              flows               flows
  HOOKFLASH_DATABASE_URL       database.url        sqlite+aiosqlite:///var/hookflash.db
  HOOKFLASH_MAX_CALLS          max_calls           100
  HOOKFLASH_SAFETY_DESTINATION safety_destination  who is rung when a flow fails
  HOOKFLASH_HTTP_PORT          http.port           8070: /readyz, /livez, /metrics
  HOOKFLASH_LOG_LEVEL          log.level           info
  OPENAI_API_KEY               for flows that name the voice openai
  All of them: docs/operations.md

\b
Examples:
  hookflash serve reception.flow.yaml
  HOOKFLASH_ASTERISK_PASSWORD_FILE=/run/secrets/ari hookflash serve -c /etc/hookflash.yaml

\b
SIGTERM (or Ctrl-C): no new calls, live ones go on for drain_timeout; a second one ends them.""",
)
@click.argument("flows", nargs=-1, type=click.Path(exists=True, path_type=Path))
@config_option
def serve(flows: tuple[Path, ...], config: Path | None) -> None:
    """Take calls from your Asterisk and run FLOWS (files or folders; default: the setting `flows`)."""
    from engine.logs import configure
    from engine.settings_sources import load_settings, unknown_variables

    chosen: dict[str, Any] = {"flows": flows} if flows else {}
    settings = load_settings(config, **chosen)
    configure(settings.log, secrets=settings.secrets())
    import structlog

    for warning in unknown_variables():
        structlog.get_logger().warning(warning)
    from engine.serve import serve as run

    sys.exit(run(settings))


@click.command(
    short_help="Make a real call on this machine.",
    epilog="""\b
Examples:
  hookflash demo                 the offline voice: no key, no network
  hookflash demo --voice openai  with OPENAI_API_KEY set
  hookflash demo --stay          keep everything running afterwards, with the console
  hookflash demo --load 20       and fill it with calls""",
)
@click.option("--voice", default="rehearsal", show_default=True, help="The AI voice that answers.")
@click.option("--stay", is_flag=True, help="Leave everything running after the call until Ctrl-C.")
@click.option("--load", type=click.IntRange(0, 50), default=0, help="Then keep so many callers busy, until Ctrl-C.")
def demo(voice: str, stay: bool, load: int) -> None:
    """Make a real phone call between two private Asterisks on this machine, and tell what happens."""
    from engine.demo import main as run

    sys.exit(run(voice=voice, stay=stay, load=load))
