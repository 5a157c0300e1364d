"""Telephones, all in one process: callers who dial the company, and people who are dialled and answer at once.

Each has its own RTP port and sends a stamped frame every 20 ms, at a moment of its own within the 20 ms: a real crowd
does not speak in step. One plain loop over epoll, because Asterisk and the engine need the processors more.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from struct import Struct
from typing import Any

from bench.sip import Dialog, Message, offer, parse, respond
from bench.stamp import FRAME_BYTES, FRAME_MS, Tally, now_ns, read, stamp, total

SLOTS = 20  # moments within 20 ms at which a phone may send
RESEND = 0.5  # seconds (T1 of RFC 3261)
DIAL_WITHIN = 20.0
HANG_UP_WITHIN = 8.0
QUIET = 200_000_000  # ns without a stamped frame after which a phone was silent
_RTP = Struct(">BBHII")


@dataclass(slots=True, eq=False)
class Phone:
    """One call of one telephone."""

    id: int
    rtp: socket.socket
    dialog: Dialog | None  # None for a phone that was called
    begun: float  # when its INVITE was sent or came
    state: str = "ringing"  # ringing, up, ending, over
    up_ns: int = 0  # when the 200 was sent or came
    media: tuple[str, int] | None = None
    answer: bytes = b""  # our 200, to be sent again
    status: int = 0
    sent: int = 0
    heard: Tally = field(default_factory=Tally)
    who: int = -1  # who is heard now
    first: dict[int, int] = field(default_factory=dict)  # who -> ns of their first frame
    voice_ns: int = 0  # when it heard that last
    quiet: list[tuple[int, int, int]] = field(default_factory=list)  # who, last frame before, first frame after


class Phones:
    """The process. ``pbx`` is where calls go; everything happens in `run`."""

    def __init__(self) -> None:
        self._sip = _socket()
        self._local = f"127.0.0.1:{self._sip.getsockname()[1]}"
        self._pbx = ("127.0.0.1", 0)
        self._ids = count(1)
        self._calls: dict[str, Phone] = {}  # Call-ID ->
        self._by_socket: dict[int, Phone] = {}
        self._slots: list[list[Phone]] = [[] for _ in range(SLOTS)]
        self._answered: list[int] = []  # ns from our 200 to sound both ways
        self._asked = b""
        self._waiting: Callable[[], Any] | None = None  # an answer that is owed, None while it is not ready
        self._to_dial: tuple[str, int, float, float] = ("", 0, 0.0, 0.0)  # number, how many, seconds apart, next
        self._epoll = select.epoll()
        self._epoll.register(self._sip, select.EPOLLIN)
        self._epoll.register(0, select.EPOLLIN)
        self._ended = False

    # ── The loop ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Until stdin ends."""
        apart = FRAME_MS / 1000 / SLOTS
        due, slot, looked = time.monotonic(), 0, 0.0
        sip = self._sip.fileno()
        while not self._ended:
            for ready, _ in self._epoll.poll(max(0.0, due - time.monotonic())):
                if (phone := self._by_socket.get(ready)) is not None:
                    self._hear(phone)
                elif ready == sip:
                    self._signal()
                elif ready == 0:
                    self._command()  # and else it is a phone that was hung up a moment ago
            now = time.monotonic()
            while due <= now:
                self._speak(self._slots[slot])
                slot, due = (slot + 1) % SLOTS, due + apart
            if now > looked + 0.01:
                looked = now
                self._look(now)
        for phone in self._by_socket.values():
            phone.rtp.close()
        self._sip.close()

    def _speak(self, phones: list[Phone]) -> None:
        for phone in phones:
            if phone.media is not None and phone.state == "up":
                number = phone.sent
                header = _RTP.pack(0x80, 0, number & 0xFFFF, number * FRAME_BYTES & 0xFFFFFFFF, phone.id)
                phone.rtp.sendto(header + stamp(phone.id, number), phone.media)
                phone.sent += 1

    def _hear(self, phone: Phone) -> None:
        packet = phone.rtp.recv(2048)
        now = now_ns()
        if packet[1] & 0x7F:
            return  # not audio
        found = read(packet[12:])
        if found is None:
            phone.heard.fill(now)
            return
        made, who, number = found
        if who != phone.who:
            phone.who, phone.heard.last = who, -1
            phone.first.setdefault(who, now)
        elif now - phone.voice_ns > QUIET:
            phone.quiet.append((who, phone.voice_ns, now))
        phone.voice_ns = now
        phone.heard.note(made, number, now)

    # ── Signalling ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _dial(self, number: str) -> None:
        phone = self._phone(None)
        call_id = f"{phone.id}-{os.getpid()}"
        remote = f"sip:{number}@127.0.0.1:{self._pbx[1]}"
        phone.dialog = Dialog(self._local, remote, call_id, f"+1212556{phone.id % 10000:04d}")
        self._calls[call_id] = phone
        self._send(phone.dialog.invite(self._offer(phone)))

    def _phone(self, dialog: Dialog | None) -> Phone:
        phone = Phone(next(self._ids), _socket(), dialog, time.monotonic())
        self._by_socket[phone.rtp.fileno()] = phone
        self._slots[phone.id % SLOTS].append(phone)
        self._epoll.register(phone.rtp, select.EPOLLIN)
        return phone

    def _over(self, phone: Phone) -> None:
        if phone.state != "over":
            phone.state = "over"
            del self._by_socket[phone.rtp.fileno()]
            self._epoll.unregister(phone.rtp)
            phone.rtp.close()
            self._slots[phone.id % SLOTS].remove(phone)

    def _signal(self) -> None:
        message = parse(self._sip.recv(8192))
        phone = self._calls.get(message.call_id)
        if message.status:
            if phone is not None and phone.dialog is not None:
                self._response(phone, phone.dialog, message)
        elif message.method == "INVITE":
            self._invited(phone, message)
        elif message.method == "BYE" and phone is not None:
            self._reply(message, 200, "OK")
            self._over(phone)
        elif message.method != "ACK":
            self._reply(message, 200 if message.method in ("OPTIONS", "UPDATE") else 481, "OK")

    def _response(self, phone: Phone, dialog: Dialog, message: Message) -> None:
        if message.method == "BYE":
            return self._over(phone)
        if message.method != "INVITE" or message.status < 200:
            phone.status = message.status
            return None
        to = message.headers.get("to", "")
        dialog.to_tag = to.partition("tag=")[2].partition(";")[0]
        dialog.target = message.contact or dialog.target
        self._send(dialog.ack())
        phone.status = message.status
        if message.status >= 300:
            self._over(phone)
        elif phone.state == "ringing":
            phone.media, phone.state, phone.up_ns = message.media, "up", now_ns()
        return None

    def _invited(self, phone: Phone | None, message: Message) -> None:
        """A call for one of us, the same once more, or a re-INVITE: all are answered alike."""
        if phone is None:
            phone = self._calls[message.call_id] = self._phone(None)
        phone.media = message.media or phone.media
        phone.state = "up"
        phone.up_ns = phone.up_ns or now_ns()
        self._reply(message, 200, "OK", self._offer(phone))

    def _offer(self, phone: Phone) -> str:
        return offer(phone.rtp.getsockname()[1])

    def _reply(self, message: Message, status: int, reason: str, sdp: str = "") -> None:
        tag, contact = f"t{message.call_id[:24]}", f"sip:phone@{self._local}"
        self._send(respond(message, status, reason, tag=tag, contact=contact, sdp=sdp))

    def _send(self, data: bytes) -> None:
        self._sip.sendto(data, self._pbx)

    def _look(self, now: float) -> None:
        """Everything that is not audio: dial, send again, answer what was asked."""
        number, left, apart, due = self._to_dial
        if left and now >= due:
            self._dial(number)
            self._to_dial = number, left - 1, apart, due + apart
        for phone in list(self._by_socket.values()):
            if phone.dialog is not None and now - phone.begun > RESEND:
                if phone.state == "ringing" and not phone.status:
                    self._send(phone.dialog.invite(self._offer(phone)))
                    phone.begun = now
                elif phone.state == "ending":
                    self._send(phone.dialog.bye())
                    phone.begun = now
        if self._waiting is not None and (answer := self._waiting()) is not None:
            self._waiting = None
            print(json.dumps(answer), flush=True)

    # ── What is asked ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _command(self) -> None:
        data = os.read(0, 65536)
        self._ended = not data
        *lines, self._asked = (self._asked + data).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            answer = getattr(self, "do_" + asked.pop("do"))(**asked)
            if callable(answer):
                self._waiting = answer
            else:
                print(json.dumps(answer), flush=True)

    def do_start(self) -> dict[str, Any]:
        return {"port": self._sip.getsockname()[1]}

    def do_use(self, port: int) -> dict[str, Any]:
        """Where the pbx is."""
        self._pbx = ("127.0.0.1", port)
        return {}

    def do_dial(self, number: str, calls: int, per_second: float) -> Callable[[], dict[str, Any] | None]:
        """So many phones dial; answers when all are up or refused."""
        started = time.monotonic()
        self._to_dial = number, calls, 1 / per_second, started
        before = set(self._calls)
        limit = started + calls / per_second + DIAL_WITHIN

        def ready() -> dict[str, Any] | None:
            new = [phone for call, phone in self._calls.items() if call not in before and phone.dialog is not None]
            decided = [phone for phone in new if phone.state != "ringing"]
            if len(decided) < calls and time.monotonic() < limit:
                return None
            up = [phone for phone in new if phone.state == "up"]
            return {"up": len(up), "refused": sorted({p.status for p in new if p.state != "up"}), "wanted": calls}

        return ready

    def do_hear(self, calls: int) -> Callable[[], dict[str, Any] | None]:
        """Until so many phones hear somebody; how many do."""
        limit = time.monotonic() + DIAL_WITHIN

        def ready() -> dict[str, Any] | None:
            hearing = sum(phone.who >= 0 for phone in self._by_socket.values())
            return {"hearing": hearing} if hearing >= calls or time.monotonic() > limit else None

        return ready

    def do_hang_up(self) -> Callable[[], dict[str, Any] | None]:
        """All of them; answers when the pbx has said yes to each."""
        limit = time.monotonic() + HANG_UP_WITHIN
        for phone in list(self._by_socket.values()):
            if phone.dialog is not None and phone.state == "up":
                phone.state, phone.begun = "ending", time.monotonic()
                self._send(phone.dialog.bye())

        def ready() -> dict[str, Any] | None:
            left = len(self._by_socket)
            if left and time.monotonic() < limit:
                return None
            for phone in list(self._by_socket.values()):
                self._over(phone)
            self._calls.clear()
            return {"left": left}

        return ready

    def do_reset(self) -> dict[str, Any]:
        """Count anew."""
        for phone in self._by_socket.values():
            phone.heard.reset()
            phone.quiet.clear()
        return {}

    def do_heard(self) -> dict[str, Any]:
        """Since `reset`: what the callers heard of the provider."""
        talking = [phone for phone in self._by_socket.values() if phone.who >= 0]
        return {"phones": len(talking), **total([phone.heard for phone in talking])}

    def do_quiet(self) -> list[tuple[int, int, int]]:
        """Since `reset`: (who, ns of the last frame, ns of the next) whenever a voice fell silent."""
        return [gap for phone in self._by_socket.values() for gap in phone.quiet]

    def do_two_way(self) -> list[float]:
        """ms from each 200 of a phone that was called until it heard its caller and was heard by it."""
        phones = list(self._by_socket.values())
        callers = {phone.id: phone for phone in phones if phone.dialog is not None}
        found: list[float] = []
        for phone in phones:
            caller = callers.get(phone.who)
            if phone.dialog is None and caller is not None and phone.id in caller.first:
                both = max(phone.first[caller.id], caller.first[phone.id])
                found.append((both - phone.up_ns) / 1e6)
        return found


def _socket() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind(("127.0.0.1", 0))
    found.setblocking(False)
    return found


if __name__ == "__main__":
    try:
        Phones().run()
    except KeyboardInterrupt:
        sys.exit(130)
