"""A second try for a test whose clock is the machine's: a real Asterisk, a browser, a socket, a process.

Two seconds in which somebody else had the processors look like two seconds of silence on the telephone, and a run of
thousands of such tests on a shared machine meets them. A test on the virtual clock, or of plain functions, gets no
second try. What failed at first is printed in full, and more than `MOST` of these fail the run: a fault that can be
repeated, or that shows often, is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from _pytest.terminal import TerminalReporter

HERE: Final = Path(__file__).parent
REAL_TIME: Final = ("asterisk", "bench", "calls", "console", "engine/console", "engine/scenario", "faults", "providers")
MOST: Final = 3  # tests of a run that may fail at first


def has_real_time(path: Path) -> bool:
    """Whether the tests of this file measure the time of this machine: by folder, and those of the whole."""
    place = path.relative_to(HERE)
    return place.parent == Path() or any(place.is_relative_to(folder) for folder in REAL_TIME)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "flaky: may be tried again (pytest-rerunfailures, when it is not switched off)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and has_real_time(item.path):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    first = terminalreporter.stats.get("rerun", [])
    if not first:
        return
    terminalreporter.section("failed at first, and were tried again: look into each", red=True, bold=True)
    for report in first:
        terminalreporter.write_sep("_", report.nodeid)
        terminalreporter.write_line(report.longreprtext)
        for title, text in report.sections:
            terminalreporter.write_sep("-", title)
            terminalreporter.write_line(text)
    if len(first) > MOST:
        terminalreporter.write_line(f"{len(first)} tests failed at first: more than {MOST} fail the run", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, TerminalReporter) and len(reporter.stats.get("rerun", [])) > MOST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
