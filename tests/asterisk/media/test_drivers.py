"""In which order media drivers are tried, and when one rests."""

from __future__ import annotations

import pytest

from asterisk.media.choose import Driver
from asterisk.media.drivers import FAILURES, LASTING_S, REST_S, TRIAL_S, Drivers

ALL: tuple[Driver, ...] = ("websocket", "audiosocket", "rtp")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drivers(clock: Clock) -> Drivers:
    return Drivers(ALL, clock)


def beaten(drivers: Drivers, times: int = FAILURES) -> None:
    for _ in range(times):
        drivers.failed("websocket")
        drivers.opened("audiosocket", ["websocket", "websocket"])


def test_the_best_comes_first_and_twice(drivers: Drivers) -> None:
    assert drivers.order() == ["websocket", "websocket", "audiosocket", "rtp"]


def test_the_one_that_has_just_failed_the_call_comes_last(drivers: Drivers) -> None:
    assert drivers.order("websocket") == ["audiosocket", "audiosocket", "rtp", "websocket"]
    assert Drivers(["websocket"]).order("websocket") == ["websocket", "websocket"]


def test_it_rests_when_others_succeed_where_it_fails(
    drivers: Drivers, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    beaten(drivers, FAILURES - 1)
    assert drivers.order()[0] == "websocket"
    beaten(drivers, 3)
    assert drivers.order() == ["audiosocket", "audiosocket", "rtp", "websocket"]
    assert drivers.resting() == ["websocket"]
    assert "media driver websocket rests" in drivers.complaints()[0]
    assert len(caplog.records) == 1
    assert drivers.failures == {"websocket": FAILURES + 2}


def test_where_nothing_succeeds_none_is_blamed(drivers: Drivers) -> None:
    for _ in range(10):
        drivers.failed("websocket")
    assert drivers.resting() == []


def test_after_its_rest_one_leg_tries_it(drivers: Drivers, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    beaten(drivers)
    clock.now += REST_S
    assert drivers.order()[0] == "websocket"
    assert drivers.order()[0] == "audiosocket"  # the others wait for how that one fares
    beaten(drivers, 1)
    clock.now += TRIAL_S
    assert drivers.order()[0] == "audiosocket"
    clock.now += REST_S
    assert drivers.order()[0] == "websocket"
    drivers.opened("websocket")
    assert drivers.order()[0] == drivers.order()[0] == "websocket"
    assert drivers.complaints() == []
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_legs_that_are_lost_at_once_count_and_old_ones_do_not(drivers: Drivers) -> None:
    for _ in range(10):
        drivers.lost("websocket", lived=LASTING_S)
    assert drivers.resting() == []
    for _ in range(FAILURES - 1):
        drivers.lost("websocket", lived=1.0)
    drivers.carried("websocket")
    drivers.lost("websocket", lived=1.0)
    assert drivers.resting() == []
    drivers.lost("websocket", lived=1.0)
    drivers.opened("websocket")  # that it opens says nothing about how long it lasts
    drivers.lost("websocket", lived=1.0)
    assert drivers.resting() == ["websocket"]
    assert drivers.losses == {"websocket": 10 + FAILURES + 2}


def test_without_a_driver_nothing_can_be_done() -> None:
    with pytest.raises(ValueError, match="must be a media driver"):
        Drivers([])
