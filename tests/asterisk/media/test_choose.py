"""Which driver for which Asterisk."""

import pytest

from asterisk.media.choose import available

ALL = {"chan_websocket.so", "res_audiosocket.so", "chan_audiosocket.so", "chan_rtp.so"}


@pytest.mark.parametrize(
    ("version", "modules", "driver"),
    [
        ((22, 10, 1), ALL, "websocket"),
        ((22, 8), ALL, "websocket"),
        ((22, 7, 4), ALL, "audiosocket"),
        ((20, 18, 0), ALL, "websocket"),
        ((20, 17, 9), ALL, "audiosocket"),
        ((21, 12, 3), ALL, "audiosocket"),
        ((23, 1), ALL, "audiosocket"),
        ((23, 2), ALL, "websocket"),
        ((24, 0), ALL, "websocket"),
        ((18, 26), {"chan_rtp.so"}, "rtp"),
        ((22, 10, 1), ALL - {"chan_websocket.so"}, "audiosocket"),
        ((22, 10, 1), {"res_audiosocket.so", "chan_rtp.so"}, "rtp"),
    ],
)
def test_choice(version: tuple[int, ...], modules: set[str], driver: str) -> None:
    assert available(version, modules)[0] == driver
