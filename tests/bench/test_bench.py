"""What the benchmark's figures rest on: stamps, tallies, SIP by hand, and how silence at the caller is told."""

from __future__ import annotations

import os
import time
from binascii import a2b_base64, b2a_base64

import pytest

from bench import child, sip
from bench.figures import slope, spread
from bench.plan import silent_after
from bench.report import Row
from bench.stamp import FRAME_BYTES, LATE_NS, MAGIC_BASE64, STAMP_BASE64, Tally, read, stamp, total
from bench.steps import step_overhead

MS = 1_000_000  # ns


def test_a_stamp_comes_back_from_a_frame_and_from_base64() -> None:
    frame = stamp(who=7, number=42)
    assert len(frame) == FRAME_BYTES
    assert read(frame) is not None
    assert read(frame)[1:] == (7, 42)  # type: ignore[index]
    text = b2a_base64(frame, newline=False)
    assert text.startswith(MAGIC_BASE64)
    assert read(a2b_base64(text[:STAMP_BASE64])) == read(frame)
    assert read(b"\xff" * FRAME_BYTES) is None


def test_a_tally_tells_lost_late_and_filled_frames_apart() -> None:
    tally = Tally()
    tally.note(made=0, number=5, now=1 * MS)
    tally.note(made=0, number=6, now=21 * MS)
    assert (tally.frames, tally.lost, tally.late) == (2, 0, 0)
    tally.note(made=0, number=9, now=41 * MS)
    assert (tally.lost, tally.late) == (2, 0)
    tally.note(made=0, number=10, now=42 * MS + LATE_NS)
    assert (tally.lost, tally.late) == (2, 1)
    tally.fill(300 * MS)
    tally.note(made=300 * MS, number=11, now=301 * MS)
    assert (tally.filler, tally.late) == (1, 1)
    assert total([tally, tally])["lost"] == 4
    tally.reset()
    tally.note(made=0, number=12, now=302 * MS)
    assert (tally.frames, tally.lost, tally.late) == (1, 0, 0)


def test_silence_is_told_from_the_gap_that_follows_the_interruption() -> None:
    gaps = [(1, 990 * MS, 1500 * MS), (2, 1030 * MS, 1600 * MS), (1, 3000 * MS, 3600 * MS)]
    assert silent_after(2, 1000 * MS, gaps) == 50.0  # 30 ms until its last frame began to sound
    assert silent_after(1, 1000 * MS, gaps) == 10.0
    assert silent_after(1, 2000 * MS, gaps) is None  # went on for a second
    assert silent_after(3, 1000 * MS, gaps) is None


def test_figures() -> None:
    assert spread([]) is None
    assert spread([3.0, 1.0, 2.0]) == {"min": 1.0, "p50": 2.0, "p99": 3.0, "max": 3.0, "count": 3}
    assert slope([(10, 100), (20, 120), (30, 140)]) == pytest.approx(2.0)
    assert slope([(10, 100)]) is None
    assert Row("k", "what", 1.4, "", at_most=1.5).good is True
    assert Row("k", "what", 190, "", at_least=200).good is False
    assert Row("k", "what", None, "", at_most=1.5).good is False
    assert Row("k", "what", None, "").good is None


def test_a_call_in_sip() -> None:
    dialog = sip.Dialog("127.0.0.1:4000", "sip:+12125550100@127.0.0.1:5060", "1-2", "+12125560001")
    invite = sip.parse(dialog.invite(sip.offer(4002)))
    assert (invite.method, invite.status, invite.call_id) == ("INVITE", 0, "1-2")
    assert invite.media == ("127.0.0.1", 4002)
    answer = sip.parse(sip.respond(invite, 200, "OK", tag="t", contact="sip:x@127.0.0.1:9", sdp=sip.offer(4004)))
    assert (answer.method, answer.status, answer.contact) == ("INVITE", 200, "sip:x@127.0.0.1:9")
    assert answer.vias == invite.vias
    assert answer.media == ("127.0.0.1", 4004)
    dialog.to_tag, dialog.target = "t", answer.contact
    bye = dialog.bye().decode()
    assert bye.startswith("BYE sip:x@127.0.0.1:9 SIP/2.0\r\n")
    assert ";tag=t\r\n" in bye
    assert "CSeq: 2 BYE" in bye


def test_the_processors_clock_of_a_process() -> None:
    before = child.cpu_seconds(os.getpid())
    spent = time.process_time()
    while time.process_time() - spent < 0.02:
        pass
    assert child.cpu_seconds(os.getpid()) - before == pytest.approx(0.02, abs=0.015)


async def test_a_child_answers_and_ends_with_its_stdin(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with child.Child("bench.provider", "provider", tmp_path, {}) as provider:
        assert provider.told["url"].startswith("ws://127.0.0.1:")
        assert (await provider.ask("heard"))["sessions"] == 0
        with pytest.raises(child.BenchError, match="KeyError"):
            await provider.ask("nothing-of-the-kind")
        pid = provider.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_step_of_a_flow_takes_under_a_fifth_of_a_millisecond() -> None:
    """About 0.03 ms of CPU; the bound is what flow authors are promised."""
    found = step_overhead()
    assert found["min"] > 0.001, "steps were run"
    assert found["p50"] < 0.2
