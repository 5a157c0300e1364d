"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Settings file (default: HOOKFLASH_CONFIG, else hookflash.yaml where there is one).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
