"""As much of SIP (RFC 3261) and SDP as a telephone needs to call and be called over UDP on loopback. Sans-IO."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HEAD = re.compile(r"^([A-Za-z-]+)\s*:\s*(.*)$")
_SHORT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact"}


@dataclass(frozen=True, slots=True)
class Message:
    """A request (``method`` and no ``status``) or a response (``status``, and the ``method`` that CSeq names)."""

    method: str
    status: int
    headers: dict[str, str]  # lower-case names
    vias: tuple[str, ...]
    body: str

    @property
    def call_id(self) -> str:
        return self.headers.get("call-id", "")

    @property
    def media(self) -> tuple[str, int] | None:
        """Where the other side wants its RTP, by its SDP."""
        host = re.search(r"^c=IN IP4 (\S+)", self.body, re.M)
        port = re.search(r"^m=audio (\d+)", self.body, re.M)
        return (host[1], int(port[1])) if host and port else None

    @property
    def contact(self) -> str:
        """The URI for further requests."""
        found = re.search(r"<([^>]+)>", self.headers.get("contact", ""))
        return found[1] if found else ""


def parse(data: bytes) -> Message:
    """One datagram."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers: dict[str, str] = {}
    vias: list[str] = []
    for line in lines:
        if found := _HEAD.match(line):
            name = found[1].lower()
            name = _SHORT.get(name, name)
            if name == "via":
                vias.append(found[2])
            headers.setdefault(name, found[2])
    if first.startswith("SIP/2.0 "):
        return Message(headers.get("cseq", " ").split()[-1], int(first.split()[1]), headers, tuple(vias), body)
    return Message(first.split()[0], 0, headers, tuple(vias), body)


def respond(request: Message, status: int, reason: str, *, tag: str, contact: str, sdp: str = "") -> bytes:
    """The answer to a request."""
    to = request.headers["to"]
    lines = [
        f"SIP/2.0 {status} {reason}",
        *(f"Via: {via}" for via in request.vias),
        f"From: {request.headers['from']}",
        f"To: {to if 'tag=' in to else f'{to};tag={tag}'}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.headers['cseq']}",
        f"Contact: <{contact}>",
    ]
    return _finished(lines, sdp)


def offer(port: int, version: int = 1) -> str:
    """SDP: µ-law on this port, and RFC 4733 digits."""
    return (
        f"v=0\r\no=phone 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        "a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )


@dataclass(slots=True)
class Dialog:
    """One call that a phone has made: what its requests have in common."""

    local: str  # host:port of our SIP socket
    remote: str  # the other side's URI
    call_id: str
    caller: str
    to_tag: str = ""
    number: int = 1  # of CSeq
    target: str = field(default="")  # the other side's contact, once it is known

    def invite(self, sdp: str) -> bytes:
        return self._request("INVITE", self.number, sdp)

    def ack(self) -> bytes:
        return self._request("ACK", self.number)

    def bye(self) -> bytes:
        return self._request("BYE", self.number + 1)

    def _request(self, method: str, number: int, sdp: str = "") -> bytes:
        to = f"<{self.remote}>" + (f";tag={self.to_tag}" if self.to_tag else "")
        lines = [
            f"{method} {self.target if self.target and method != 'INVITE' else self.remote} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.local};rport;branch=z9hG4bK-{self.call_id}-{method}-{number}",
            "Max-Forwards: 70",
            f"From: <sip:{self.caller}@{self.local}>;tag=f{self.call_id}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{self.caller}@{self.local}>",
        ]
        return _finished(lines, sdp)


def _finished(lines: list[str], sdp: str) -> bytes:
    if sdp:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(sdp)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + sdp).encode()
