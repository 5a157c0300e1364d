"""Asterisk's configuration: what can be chosen (`AsteriskConfig`) and the files that it gives (`render`)."""

from asterisk.config.render import render, warnings
from asterisk.config.settings import (
    AriUser,
    AsteriskConfig,
    Certificate,
    Fallback,
    Folders,
    Http,
    Phone,
    Sip,
    Teams,
    Trunk,
)

__all__ = [
    "AriUser",
    "AsteriskConfig",
    "Certificate",
    "Fallback",
    "Folders",
    "Http",
    "Phone",
    "Sip",
    "Teams",
    "Trunk",
    "render",
    "warnings",
]
