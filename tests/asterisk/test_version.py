"""The version gate: what is read, what is compared, what is said."""

import pytest

from asterisk.version import (
    BASELINE,
    SIGNALING_HOSTNAME,
    UnknownVersionError,
    Version,
    judge,
    parse,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("22.10.1", Version(22, 10, 1)),
        ("Asterisk 22.10.1+dfsg+~cs6.17.60671434-1", Version(22, 10, 1)),
        ("20.20", Version(20, 20, 0)),
        ("22.11.0-rc1", Version(22, 11, 0, 1)),
        ("22.11.0~rc2", Version(22, 11, 0, 2)),
        ("certified-20.7-cert5", Version(20, 7, 0)),
        ("certified/18.9-cert14", Version(18, 9, 0)),
    ],
)
def test_versions_are_read(text: str, version: Version) -> None:
    assert parse(text) == version


@pytest.mark.parametrize("text", ["", "GIT-22-a1b2c3d", "SVN-trunk-r123", "unknown", "22"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(UnknownVersionError, match="released version"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("18.26.4", False),
        ("20.20.0", False),
        ("20.20.1", True),
        ("21.12.3", False),
        ("22.9.5", False),
        ("22.10.0", False),
        ("22.10.1", True),
        ("22.11.0-rc1", True),
        ("23.0.0", False),
        ("23.4.1", True),
        ("24.0.0", True),
    ],
)
def test_the_baseline_holds_within_each_branch(text: str, inside: bool) -> None:
    assert (parse(text) in BASELINE) is inside


def test_a_candidate_comes_before_its_release() -> None:
    assert parse("22.11.0-rc1") < parse("22.11.0")
    assert parse("22.11.0-rc1") not in SIGNALING_HOSTNAME
    assert str(parse("22.11.0-rc1")) == "22.11.0-rc1"


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("22.6.0", "error", "#1643"),
        ("22.7.1", "error", "#1645"),
        ("22.8.2", "error", "#1785"),
        ("22.9.0", "error", "#1928"),
        ("22.11.0-rc1", "error", "#2085"),
        ("20.10.0", "error", "older than"),
        ("18.20.0", "error", "older than"),
        ("22.10.1", "warn", "#1979"),
        ("23.4.1", "warn", "#1979"),
        ("22.11.0", "ok", "22.11.0"),
        ("20.21.0", "ok", "20.21.0"),
        ("23.5.1", "ok", "23.5.1"),
    ],
)
def test_the_worst_is_said_first_with_advice(text: str, level: str, said: str) -> None:
    verdicts = judge(parse(text))
    assert verdicts[0].level == level
    assert any(said in verdict.what for verdict in verdicts)
    assert all(verdict.advice for verdict in verdicts if verdict.level != "ok")
