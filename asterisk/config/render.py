"""Write Asterisk's configuration files from an AsteriskConfig: the templates beside this file, filled in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from asterisk.config.crypt import sha512_crypt
from asterisk.config.modules import modules_for
from asterisk.config.pjsip import endpoints, transports
from asterisk.config.settings import AriUser, AsteriskConfig, Http, Teams, Trunk
from asterisk.version import HTTP_RESTRICTIONS, SIGNALING_HOSTNAME, Version, parse

UNUSED = {
    **dict.fromkeys(
        (
            "acl.conf", "ccss.conf", "features.conf", "pjproject.conf", "stasis.conf", "udptl.conf",
            "websocket_client.conf",
        ),
        "",
    ),
    "cdr.conf": "[general]\nenable=no\n",
    "cel.conf": "[general]\nenable=no\n",
    "manager.conf": "[general]\nenabled=no\n",
}  # fmt: skip
"""Files that a full installation has; without them the log begins with errors that mean nothing."""
LOG_FILES = (
    "messages.log => notice,warning,error\nfull.log => notice,warning,error,verbose(3),dtmf\nsecurity.log => security"
)
LOG_CONSOLE = "console => notice,warning,error,security"
PATTERNS = ("_X.", "_+X.")
"""Numbers, with and without the plus of E.164. Never `_.`: it matches h, t and i as well."""


def template(name: str) -> str:
    """One of the templates of this package, as it is."""
    return resources.files("asterisk.config").joinpath(name).read_text(encoding="utf-8")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Put `values` in the place of `@{name}`. Raises KeyError for a name that has no value, as for one not used."""
    used: set[str] = set()

    def replacement(found: re.Match[str]) -> str:
        used.add(found[1])
        return str(values[found[1]])

    filled = re.sub(r"@\{(\w+)\}", replacement, text)
    if unused := set(values) - used:
        raise KeyError(f"no place in the template for {sorted(unused)}")
    return filled


def render(config: AsteriskConfig) -> dict[str, str]:
    """The files of /etc/asterisk, name to text. Every value was checked by AsteriskConfig."""
    version = parse(config.version)
    values: dict[str, dict[str, object]] = {
        "asterisk.conf": {"directories": _directories(config)},
        "modules.conf": {"modules": "\n".join(f"load={name}.so" for name in modules_for(version))},
        "logger.conf": {"channels": LOG_CONSOLE if config.container else LOG_FILES},
        "http.conf": _http(config.http, version),
        "ari.conf": {"users": "\n".join(_user(user, version) for user in config.users)},
        "chan_websocket.conf": {},
        "amd.conf": {},
        "rtp.conf": {"rtp_start": config.rtp_start, "rtp_end": config.rtp_end},
        "indications.conf": {},
        "musiconhold.conf": {"folder": config.music or _data(config) / "moh"},
        "pjsip.conf": {"transports": transports(config, version), "endpoints": endpoints(config)},
        "extensions.conf": _dialplan(config),
    }
    files = {name: fill(template(name), filling) for name, filling in values.items()}
    return UNUSED | files if config.container else files


def warnings(config: AsteriskConfig) -> list[str]:
    """What an operator should know about this choice before using it; empty when there is nothing."""
    found: list[str] = []
    version = parse(config.version)
    if config.teams and config.teams.domain and version not in SIGNALING_HOSTNAME:
        found.append(
            f"Teams accepts only a host name in Contact, and Asterisk {version} writes its address. Use Asterisk "
            "22.11, 20.21 or 23.5, or put an SBC (Kamailio, OpenSIPS or a certified one) between it and Teams."
        )
    if config.teams and not config.teams.domain:
        found.append("Teams needs the host name under which this SBC is registered in the tenant: set teams.domain.")
    if not config.http.bind.startswith("127.") and config.http.certificate is None:
        found.append(
            f"ARI on {config.http.bind} without TLS sends its password and all audio in the clear: bind it to "
            "127.0.0.1, or use a VPN or TLS between the engine and Asterisk."
        )
    if version not in HTTP_RESTRICTIONS:
        found.append(f"Asterisk {version} cannot restrict /ari and /media by address: let the firewall do it.")
    if config.fallback.endpoint is None:
        found.append("No fallback endpoint: while no engine is connected, callers hear congestion (503).")
    for trunk in config.trunks:
        if not trunk.match and trunk.username is None:
            found.append(f"Trunk {trunk.name} has neither addresses nor a user name: calls from it are refused.")
        if trunk.transport != "tls" and trunk.encrypted_media:
            found.append(f"Trunk {trunk.name} sends its SRTP keys in the clear: SRTP without TLS protects nothing.")
    return found


def _data(config: AsteriskConfig) -> Path:
    return config.folders.data if config.folders else Path("/var/lib/asterisk")


def _directories(config: AsteriskConfig) -> str:
    folders = config.folders
    if folders is None:
        return ""
    named = {
        "astetcdir": folders.etc,
        "astmoddir": folders.modules,
        "astvarlibdir": folders.lib,
        "astdbdir": folders.lib,
        "astkeydir": folders.lib,
        "astdatadir": folders.data,
        "astagidir": folders.data / "agi-bin",
        "astspooldir": folders.spool,
        "astrundir": folders.run,
        "astlogdir": folders.log,
    }
    return "\n".join(["[directories]", *(f"{key}={folder}" for key, folder in named.items())])


def _http(http: Http, version: Version) -> dict[str, object]:
    tls = "; HTTPS is off."
    if http.certificate and http.tls_port:
        tls = "\n".join(
            (
                "tlsenable=yes",
                f"tlsbindaddr={_with_port(http.tls_bind, http.tls_port)}",
                f"tlscertfile={http.certificate.certificate}",
                f"tlsprivatekey={http.certificate.key}",
                "tlsdisablev1=yes",
                "tlsdisablev11=yes",
            )
        )
    restrictions = "; Addresses cannot be restricted here before 20.19, 22.9 and 23.3: let the firewall do it."
    if version in HTTP_RESTRICTIONS:
        rules = _access(http.permit)
        restrictions = "\n".join(f"[{path}]\ntype=restriction\n{rules}" for path in ("/ari", "/media"))
    return {
        "bind": http.bind,
        "port": http.port,
        "session_limit": http.session_limit,
        "tls": tls,
        "restrictions": restrictions,
    }


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _access(permit: Iterable[str]) -> str:
    return "\n".join(("deny=0.0.0.0/0", "deny=::/0", *(f"permit={network}" for network in permit)))


def _user(user: AriUser, version: Version) -> str:
    password = user.password.get_secret_value()
    if user.password_format == "crypt":
        password = sha512_crypt(password, salt=secrets.token_hex(8))
    lines = [
        f"[{user.name}]",
        "type=user",
        f"read_only={'yes' if user.read_only else 'no'}",
        f"password_format={user.password_format}",
        f"password={password}",
    ]
    if user.permit and version in HTTP_RESTRICTIONS:
        lines.append(_access(user.permit))
    return "\n".join(lines)


def _dialplan(config: AsteriskConfig) -> dict[str, object]:
    call = template("call.conf")
    shared: dict[str, object] = {"application": config.application, "longest_call_s": config.longest_call_s}
    fallback = ["exten => s,1,NoOp()"]
    if config.fallback.endpoint:
        fallback.append(f" same => n,Dial({config.fallback.endpoint},{config.fallback.ring_s})")
    fallback.append(" same => n,Congestion(10)")
    entries: list[Trunk | Teams] = [*config.trunks, *([config.teams] if config.teams else [])]
    names = [f"from-{entry.name}" for entry in entries if entry.context is None]
    names += ["from-phones"] if config.phones else []
    return {
        "calls": "\n".join(fill(call, {"pattern": pattern, **shared}) for pattern in PATTERNS).rstrip(),
        "fallback": "\n".join(fallback),
        "application": config.application,
        "contexts": "\n".join(f"[{name}]\ninclude => hookflash" for name in names),
    }
