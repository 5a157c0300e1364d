"""Examine an Asterisk over ARI: what would keep calls from working, what is dangerous, and what to change.

Nothing is changed on it. The only thing created is one media leg without a call, which is deleted again.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from uuid import uuid4

import aiohttp

from asterisk import ari
from asterisk.ari.rest import Rest, segment
from asterisk.config.modules import RECOMMENDED, REQUIRED, RISKY
from asterisk.media.choose import available
from asterisk.version import MEDIA_WEBSOCKET_JSON, Level, UnknownVersionError, Version, judge, parse

SKEW_S = 2.0
"""Clocks further apart than this make traces and transcripts of the two sides hard to lay side by side."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it is, and what to do about it."""

    level: Level
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.level:<5}  {self.what}" + (f"\n       {self.advice}" if self.advice else "")


@dataclass
class _Patient:
    rest: Rest
    application: str
    version: Version | None = None
    modules: dict[str, str] = field(default_factory=dict)
    """Name without `.so`, to `Running` or another state."""
    writable: bool = False

    @property
    def modules_running(self) -> list[str]:
        """Names without `.so`."""
        return [name for name, status in self.modules.items() if status == "Running"]


async def examine(
    url: str, user: str, password: str, *, application: str | None = None, timeout_s: float = 5.0
) -> list[Finding]:
    """Look at the Asterisk at `url` (`http://host:8088`) with the engine's own credentials; findings in order.

    `application` is the Stasis application that the engine is going to register; without it that is not looked at.
    Never raises for what is wrong with the Asterisk: that is a finding. ValueError: `url` is not an address.
    """
    findings: list[Finding] = []
    async with Rest(url, user, password, timeout=timeout_s) as rest:
        patient = _Patient(rest, application or "")
        checks = [_exposure, _modules, _writable, _clock, _endpoints]
        checks += [_application] if application else []
        checks += [_media]
        try:
            findings += [finding async for finding in _identity(patient)]
            for check in checks:
                findings += [finding async for finding in check(patient)]
        except ari.AriError as error:
            findings.append(_explained(error, user))
    return findings


def healthy(findings: list[Finding]) -> bool:
    """Whether calls can be taken: nothing was found that is an error."""
    return all(finding.level != "error" for finding in findings)


async def _identity(patient: _Patient) -> AsyncIterator[Finding]:
    """It answers, it is Asterisk, it lets us in, and its version will do."""
    info = await patient.rest.request("GET", "/asterisk/info")
    try:
        told = str(info["system"]["version"])
    except (KeyError, TypeError):
        raise ari.BadResponse(200, "the answer names no version of Asterisk", "GET", "/asterisk/info") from None
    yield Finding("ok", f"ARI answers at {patient.rest.base} and accepts the user")
    try:
        patient.version = parse(told)
    except UnknownVersionError as unknown:
        yield Finding("warn", str(unknown), "Use a release; a development build cannot be compared with known faults.")
        return
    for verdict in judge(patient.version):
        yield Finding(verdict.level, verdict.what, verdict.advice)


async def _modules(patient: _Patient) -> AsyncIterator[Finding]:
    listed = await patient.rest.request("GET", "/asterisk/modules")
    patient.modules = {str(module["name"]).removesuffix(".so"): str(module["status"]) for module in listed}
    running = {name for name, status in patient.modules.items() if status == "Running"}
    missing = [name for name in REQUIRED if name not in running]
    if missing:
        advice = "Load them in modules.conf (see `hookflash asterisk-config`) and restart Asterisk; " + (
            "chan_websocket comes with 20.16, 22.6 and 23.0."
            if "chan_websocket" in missing
            else "distributions may have them in a package of their own."
        )
        yield Finding("error", f"modules that calls need are not running: {', '.join(missing)}", advice)
    else:
        yield Finding("ok", f"all {len(REQUIRED)} modules that calls need are running")
    for name, loss in RECOMMENDED.items():
        if name not in running:
            yield Finding("warn", f"{name} is not running: {loss}", f"load={name}.so in modules.conf")
    risky = sorted(running & RISKY)
    if risky:
        yield Finding(
            "warn",
            f"modules that calls do not need and attackers like: {', '.join(risky)}",
            "noload them in modules.conf unless something else uses them.",
        )
    if "bridge_native_rtp" in running:
        yield Finding(
            "warn",
            "bridge_native_rtp is running: a caller who is given back to the dialplan may hear nothing any more",
            "noload=bridge_native_rtp.so in modules.conf: its packets keep the other side's numbers, which jump.",
        )


async def _writable(patient: _Patient) -> AsyncIterator[Finding]:
    """Hang up a channel that does not exist: 404 for a user that may write, 403 for one that may only read."""
    try:
        await patient.rest.request("DELETE", f"/channels/{uuid4()}")
    except ari.NotFound:
        patient.writable = True
        yield Finding("ok", "the ARI user may write")
    except ari.Forbidden:
        yield Finding(
            "error", "the ARI user may only read", "read_only=no for this user in ari.conf, then `ari reload`"
        )


async def _clock(patient: _Patient) -> AsyncIterator[Finding]:
    before = time.time()
    ping = await patient.rest.request("GET", "/asterisk/ping")
    now, took_ms = (before + time.time()) / 2, (time.time() - before) * 1000
    skew_s = datetime.strptime(ping["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() - now
    if abs(skew_s) > SKEW_S:
        ahead = "ahead of" if skew_s > 0 else "behind"
        yield Finding("warn", f"Asterisk's clock is {abs(skew_s):.1f} s {ahead} ours", "Run NTP on both (chrony).")
    else:
        yield Finding("ok", f"clocks agree; a request takes {took_ms:.0f} ms")


async def _endpoints(patient: _Patient) -> AsyncIterator[Finding]:
    listed = await patient.rest.request("GET", "/endpoints")
    endpoints = [endpoint for endpoint in listed if endpoint["technology"] == "PJSIP"]
    if not endpoints:
        yield Finding(
            "warn", "no PJSIP endpoint: no call can come in or go out", "Add trunks and phones to pjsip.conf."
        )
        return
    named = ", ".join(sorted(endpoint["resource"] for endpoint in endpoints)[:20])
    yield Finding("ok", f"{len(endpoints)} PJSIP endpoints: {named}")
    silent = sorted(endpoint["resource"] for endpoint in endpoints if endpoint["state"] == "offline")
    if silent:
        advice = "Not registered, or they do not answer OPTIONS: `pjsip show contacts` says which."
        yield Finding("warn", f"endpoints that are offline: {', '.join(silent[:20])}", advice)


async def _application(patient: _Patient) -> AsyncIterator[Finding]:
    try:
        await patient.rest.request("GET", f"/applications/{segment(patient.application)}")
    except ari.NotFound:
        yield Finding("ok", f"the application name {patient.application} is free")
    else:
        yield Finding(
            "warn",
            f"another program is connected as {patient.application}; the one that connects last gets all calls",
            "Stop it, or choose another application name (and say it in the dialplan).",
        )


async def _exposure(patient: _Patient) -> AsyncIterator[Finding]:
    """What anybody who reaches the port could do with it."""
    base = patient.rest.base
    if base.scheme == "http" and not _is_local(base.host or ""):
        advice = "Use https (tlsenable in http.conf), or a VPN between the engine and Asterisk."
        yield Finding("warn", f"the password and all audio go to {base.host} in the clear", advice)
    for path, what, advice in (
        ("/httpstatus", "the HTTP status page is on", "enable_status=no in http.conf"),
        ("/rawman", "the manager interface is reachable over HTTP", "webenabled=no in manager.conf"),
    ):
        if await _status(patient, str(base.with_path(path))) in (200, 401, 403):
            yield Finding("warn", what, advice)
    origin = {"Origin": "https://stranger.invalid"}
    if await _header(patient, f"{base}/asterisk/ping", origin, "Access-Control-Allow-Origin"):
        yield Finding("warn", "ARI lets web pages of any site use it", "Leave allowed_origins in ari.conf empty.")


async def _media(patient: _Patient) -> AsyncIterator[Finding]:
    """Open a media leg as a call does, and wait for its first message."""
    able = patient.version is not None and patient.version in MEDIA_WEBSOCKET_JSON
    if not able or not patient.writable or patient.modules.get("chan_websocket") != "Running":
        yield Finding("warn", "the media WebSocket was not tried", "First change what is said above.")
        return
    application, channel = f"doctor-{uuid4().hex[:12]}", str(uuid4())
    began = time.monotonic()
    async with await patient.rest.websocket("/events", {"app": application}):
        query = {
            "app": application,
            "transport": "websocket",
            "encapsulation": "none",
            "connection_type": "server",
            "format": "ulaw",
            "transport_data": "f(json)",
        }
        made = await patient.rest.create("/channels/externalMedia", channel, {**query, "channelId": channel})
        try:
            yield await _first_message(patient, made["channelvars"]["MEDIA_WEBSOCKET_CONNECTION_ID"], began)
        except (KeyError, TypeError):
            yield Finding("error", "external media gave no id to connect to", "Upgrade Asterisk.")
        finally:
            await _hang_up(patient, channel)
    version = patient.version
    assert version is not None
    others = available((version.major, version.minor, version.patch), patient.modules_running)[1:]
    yield Finding("ok", f"where the media WebSocket fails, calls use {' or '.join(others)}")


async def _first_message(patient: _Patient, connection: str, began: float) -> Finding:
    address = patient.rest.base.with_path(f"/media/{connection}")
    try:
        async with (
            asyncio.timeout(patient.rest.timeout),
            patient.rest.session.ws_connect(address, protocols=("media",), compress=0) as leg,
        ):
            while (message := await leg.receive()).type is aiohttp.WSMsgType.BINARY:
                pass
            kind = json.loads(message.data)["event"] if message.type is aiohttp.WSMsgType.TEXT else message.type.name
    except aiohttp.WSServerHandshakeError as refused:
        advice = "Permit this host under [/media] in http.conf." if refused.status == 403 else "See Asterisk's log."
        return Finding("error", f"the media WebSocket is refused: {refused.status} {refused.message}", advice)
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        advice = "A proxy in between must pass WebSockets on as they are; /media lies beside /ari, not below it."
        return Finding("error", f"the media WebSocket at {address} fails: {error!r}", advice)
    if kind != "MEDIA_START":
        return Finding("error", f"the media WebSocket began with {kind} instead of MEDIA_START", "See Asterisk's log.")
    return Finding("ok", f"a media leg was ready after {(time.monotonic() - began) * 1000:.0f} ms")


async def _hang_up(patient: _Patient, channel: str) -> None:
    try:
        await patient.rest.request("DELETE", f"/channels/{channel}")
    except ari.NotFound:
        return  # it ended with its socket


async def _status(patient: _Patient, url: str) -> int:
    return (await _looked_up(patient, url, {})).status


async def _header(patient: _Patient, url: str, headers: dict[str, str], name: str) -> str | None:
    return (await _looked_up(patient, url, headers)).headers.get(name)


async def _looked_up(patient: _Patient, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
    try:
        async with asyncio.timeout(patient.rest.timeout), patient.rest.session.get(url, headers=headers) as answer:
            return answer
    except (aiohttp.ClientError, OSError) as error:
        raise ari.Unreachable(0, f"{url} does not answer ({error!r})", "GET", url) from error


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _explained(error: ari.AriError, user: str) -> Finding:
    """An error of the client as something that an operator can act upon."""
    if isinstance(error, ari.Unauthorized):
        advice = (
            f"Compare with the section [{user}] of ari.conf (password, password_format), then `module reload res_ari`."
        )
        return Finding("error", f"ARI refuses the user {user} or its password (401)", advice)
    if isinstance(error, ari.Forbidden):
        advice = "Permit this host: [/ari] in http.conf, and permit/deny of the user in ari.conf."
        return Finding("error", f"ARI does not let this host in (403: {error.message})", advice)
    if isinstance(error, ari.Unreachable):
        if isinstance(error.__cause__, aiohttp.ClientSSLError | ssl.SSLError):
            advice = "The certificate must be valid for this name and signed by an authority that this machine trusts."
            return Finding("error", error.message, advice)
        advice = "Is Asterisk running, with enabled=yes in http.conf, bound to this address and port? A firewall?"
        return Finding("error", error.message, advice)
    if isinstance(error, ari.Timeout):
        return Finding("error", f"ARI does not answer ({error.message})", "A firewall that drops, or a stuck Asterisk.")
    if isinstance(error, ari.NotFound | ari.BadResponse):
        advice = "The address is http://HOST:8088; ari.conf must say enabled=yes and res_ari.so must be loaded."
        return Finding("error", f"what answers is not ARI ({error})", advice)
    return Finding("error", f"ARI fails: {error}", "Asterisk's own log says why.")
