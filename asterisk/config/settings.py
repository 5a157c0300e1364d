"""What can be chosen about an Asterisk that works with Hookflash, checked so that it can be written into its files.

Asterisk's configuration files have no quoting: a line break, a `;` or a `[` inside a value would start a new
setting, a comment or a section. Every value is checked here, once, and the error says which character it was.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

TEAMS_HOSTS = ("sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com")
"""In the order in which they are to be tried (learn.microsoft.com, Direct Routing: protocols, SIP)."""
TEAMS_NETWORKS = ("52.112.0.0/14", "52.122.0.0/15")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def plain(text: str) -> str:
    """Refuse what would break out of one value of a configuration file or be expanded by the dialplan."""
    for character in text:
        if character in ";[]" or not " " <= character <= "~":
            raise ValueError(f"must not hold {character!r}: Asterisk's configuration files cannot carry it in a value")
    if "${" in text or "@{" in text:
        raise ValueError("must not hold a variable: it would be expanded")
    if text != text.strip() or text.startswith((">", "#")):
        raise ValueError("must not start or end with a space, nor start with '>' or '#'")
    return text


def _named(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", text):
        raise ValueError("a name is letters, digits, '-' and '_', at most 40, and starts with a letter or a digit")
    if text in {"general", "global", "globals", "system"} or text.startswith(("hookflash-", "transport-")):
        raise ValueError(f"{text} is a name that Asterisk's files or their templates use for something else")
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        ip_address(text.removeprefix("[").removesuffix("]"))
    return text


def _address(text: str) -> str:
    return str(ip_address(text))


def _network(text: str) -> str:
    return str(ip_network(text, strict=False))


def _peer(text: str) -> str:
    """A network, or one address with the port that the peer sends from (`203.0.113.7:5060`)."""
    address, colon, port = text.partition(":")
    if colon and port.isdigit() and 0 < int(port) < 65536:
        return f"{ip_address(address)}:{port}"
    return _network(text)


def _dial_string(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]+/[A-Za-z0-9._+@:-]+", text):
        raise ValueError("an endpoint is written TECHNOLOGY/resource, such as PJSIP/100 or PJSIP/+12125550100@carrier")
    return text


def _file(path: Path) -> Path:
    plain(str(path))
    return path


def _secret(secret: SecretStr) -> SecretStr:
    if not plain(secret.get_secret_value()):
        raise ValueError("must not be empty")
    return secret


Text = Annotated[str, AfterValidator(plain)]
Name = Annotated[str, AfterValidator(_named)]
Host = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]
Peer = Annotated[str, AfterValidator(_peer)]
DialString = Annotated[str, AfterValidator(_dial_string)]
File = Annotated[Path, AfterValidator(_file)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Port = Annotated[int, Field(ge=1, le=65535)]
Codec = Literal["ulaw", "alaw", "g722", "opus", "gsm", "slin16"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Certificate(_Model):
    """PEM files, as Asterisk's user can read them; `authorities` are those that a peer's certificate is held to."""

    certificate: File
    key: File
    authorities: File = SYSTEM_CERTIFICATES


class Http(_Model):
    """Asterisk's HTTP server: ARI and the media WebSockets. Plain HTTP cannot be turned off, so it stays local."""

    bind: Address = "127.0.0.1"
    port: Port = 8088
    tls_bind: Address = "0.0.0.0"
    tls_port: Port | None = None
    certificate: Certificate | None = None
    session_limit: int = Field(default=1000, ge=10)
    permit: tuple[Network, ...] = ("127.0.0.1/32",)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Http:
        if (self.tls_port is None) != (self.certificate is None):
            raise ValueError("HTTPS takes both tls_port and certificate")
        return self


class AriUser(_Model):
    """One account of ARI. A user that may write owns the whole Asterisk: one for the engine, and no other."""

    name: Name = "hookflash"
    password: Secret
    password_format: Literal["crypt", "plain"] = "crypt"
    read_only: bool = False
    permit: tuple[Network, ...] = ()


class Sip(_Model):
    """The SIP listeners, and how this Asterisk is seen from outside when it stands behind NAT."""

    bind: Address = "0.0.0.0"
    port: Port = 5060
    tls_bind: Address = "0.0.0.0"
    tls_port: Port = 5061
    certificate: Certificate | None = None
    external_address: Address | None = None
    local_networks: tuple[Network, ...] = ()
    media_address: Address | None = None


class Trunk(_Model):
    """A carrier, dialer or SBC: recognised by its address or by a digest, reached at `host`.

    Calls from it enter `context`; without one they get a context of their own, `from-<name>`, that leads to
    Hookflash and nowhere else.
    """

    name: Name
    host: Host
    port: Port = 5060
    transport: Literal["udp", "tcp", "tls"] = "udp"
    srtp: bool | None = None
    match: tuple[Peer, ...] = ()
    username: Text | None = None
    password: Secret | None = None
    register_with_peer: bool = False
    from_domain: Host | None = None
    from_user: Text | None = None
    codecs: tuple[Codec, ...] = ("ulaw", "alaw")
    qualify_s: int = Field(default=60, ge=0)
    context: Name | None = None

    @property
    def encrypted_media(self) -> bool:
        """SRTP goes with TLS unless it is said otherwise."""
        return self.transport == "tls" if self.srtp is None else self.srtp

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Trunk:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.register_with_peer and self.username is None:
            raise ValueError("register_with_peer takes a username and a password")
        return self


class Teams(_Model):
    """Microsoft Teams Direct Routing: TLS and SRTP, one endpoint for each of Microsoft's hosts.

    `domain` is this SBC's own name as it is registered in the tenant; Teams accepts no address in its place.
    """

    name: Name = "teams"
    domain: Host | None = None
    hosts: tuple[Host, ...] = TEAMS_HOSTS
    port: Port = 5061
    match: tuple[Peer, ...] = TEAMS_NETWORKS
    codecs: tuple[Codec, ...] = ("ulaw", "alaw")
    qualify_s: int = Field(default=60, ge=0)
    context: Name | None = None

    @property
    def endpoints(self) -> list[str]:
        """The names for `PJSIP/<number>@<name>`, one for each host: `teams`, `teams2`, `teams3`."""
        return [self.name if number == 1 else f"{self.name}{number}" for number in range(1, len(self.hosts) + 1)]


class Phone(_Model):
    """A SIP phone that registers with this Asterisk."""

    name: Name
    password: Secret
    caller_id: Text | None = None
    codecs: tuple[Codec, ...] = ("ulaw", "alaw", "g722")


class Fallback(_Model):
    """Where a call goes when no engine takes it or an engine gives it back: an endpoint, else congestion (503)."""

    endpoint: DialString | None = None
    ring_s: int = Field(default=45, ge=5, le=600)


class Folders(_Model):
    """Where one Asterisk keeps its things; left out on a host where Asterisk is installed as the system's own."""

    etc: File
    modules: File
    data: File
    lib: File
    spool: File
    run: File
    log: File


class AsteriskConfig(_Model):
    """Everything that `render` writes into Asterisk's files."""

    version: Text = "22.10.1"
    application: Name = "hookflash"
    http: Http = Http()
    users: tuple[AriUser, ...]
    sip: Sip = Sip()
    rtp_start: int = Field(default=10000, ge=1024, le=65534)
    rtp_end: int = Field(default=20000, ge=1025, le=65535)
    trunks: tuple[Trunk, ...] = ()
    teams: Teams | None = None
    phones: tuple[Phone, ...] = ()
    fallback: Fallback = Fallback()
    longest_call_s: int = Field(default=7200, ge=60)
    folders: Folders | None = None
    music: File | None = None
    """Folder with music for callers whom a person puts on hold; without one `moh` beside Asterisk's data."""
    container: bool = False
    """Asterisk has no other files: those that turn off what calls do not need are written, too. Logs go to stdout."""

    @model_validator(mode="after")
    def _fits_together(self) -> AsteriskConfig:
        if self.rtp_end <= self.rtp_start:
            raise ValueError("rtp_end must be above rtp_start")
        names = [item.name for group in (self.trunks, self.phones) for item in group]
        names += self.teams.endpoints if self.teams else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"used for more than one endpoint: {', '.join(twice)}")
        if self.sip.certificate is None and (self.teams or any(trunk.transport == "tls" for trunk in self.trunks)):
            raise ValueError("a TLS trunk and Teams need sip.certificate")
        return self
