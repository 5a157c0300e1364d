"""`hookflash test` as its users see it: words, exit status, coverage, JUnit."""

from __future__ import annotations

import asyncio
import signal
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from tests.engine.scenario.folder import FLOW, HEAD, MOCKS, write

TEST = (
    HEAD
    + MOCKS
    + 'script:\n  - press: "1"\n  - expect: {step: choice, outcome: "1"}\n  - expect: {says: What may it be}\n'
)
WRONG = TEST.replace('outcome: "1"', "outcome: no_input")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


def test_all_is_well(tmp_path: Path) -> None:
    path = write(tmp_path, TEST)
    result = run(tmp_path)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == str(path)
    assert lines[1].startswith("  ok    it  (")
    assert lines[2] == f"{tmp_path}/shop.flow.yaml: 3/13 steps, 1/7 outcomes"
    assert lines[3] == "1 passed, 0 failed; 20 % covered"


def test_a_failing_test_shows_expected_and_actual_side_by_side(tmp_path: Path) -> None:
    path = write(tmp_path, WRONG)
    result = run(path)
    assert result.exit_code == 1
    assert f"{path}:12:13\n          expected: step: choice, outcome: no_input\n" in result.output
    assert "          actual:   choice (shop.flow.yaml:10) ended with 1\n" in result.output
    beside = next(line for line in result.output.splitlines() if "choice: 1" in line)
    assert " ".join(beside.split()) == "0.00 choice: 1 shop.flow.yaml:10 ! step: choice, outcome: no_input"


def test_a_flow_that_was_broken_fails_its_test(tmp_path: Path) -> None:
    for broken in ("What may it be", 'outcomes: {"1": []'):
        write(tmp_path, TEST, FLOW.replace(broken, broken.replace("be", "bee").replace('"1"', '"2"')))
        assert run(tmp_path).exit_code == (1 if "2" in broken.replace('"1"', '"2"') else 0)


def test_the_tests_after_a_failing_one_run(tmp_path: Path) -> None:
    write(tmp_path, WRONG)
    (tmp_path / "z.test.yaml").write_text(TEST.lstrip())
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "1 passed, 1 failed" in result.output


def test_what_no_test_ran_is_listed_by_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    output = run(tmp_path, "--missing").output
    assert f"{tmp_path}/shop.flow.yaml:7: not tested: check_hours: closed\n" in output
    assert f"{tmp_path}/shop.flow.yaml:22: not tested: book\n" in output
    assert "not tested: choice: 1" not in output


def test_too_little_coverage_fails(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    assert run(tmp_path, "--coverage-min", "20").exit_code == 0
    result = run(tmp_path, "--coverage-min", "21")
    assert result.exit_code == 1
    assert "less is covered than --coverage-min 21 asks for" in result.output


def test_what_cannot_be_used_is_exit_2(tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 2
    assert "no test was found" in run(tmp_path).output
    path = write(tmp_path, TEST.replace("press", "pres"))
    result = run(path)
    assert result.exit_code == 2
    assert f"{path}:11:5: error[E204]" in result.output
    assert run(tmp_path / "absent").exit_code == 2


def test_only_some_tests_run(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    (tmp_path / "z.test.yaml").write_text(WRONG.lstrip().replace("test: it", "test: Other"))
    assert run(tmp_path, "--only", "SHOP.test").exit_code == 0
    assert run(tmp_path, "--only", "other").exit_code == 1


def test_flows_may_be_elsewhere(tmp_path: Path) -> None:
    flows, tests = tmp_path / "flows", tmp_path / "tests"
    flows.mkdir()
    tests.mkdir()
    write(flows, TEST).rename(tests / "shop.test.yaml")
    assert run(tests).exit_code == 2
    assert run(tests, "--flows", flows).exit_code == 0


def test_junit_holds_every_test_and_every_failure(tmp_path: Path) -> None:
    write(tmp_path, WRONG)
    (tmp_path / "z.test.yaml").write_text(TEST.lstrip())
    file = tmp_path / "junit.xml"
    assert run(tmp_path, "--junit", file).exit_code == 1
    root = ET.parse(file).getroot()
    assert root.attrib == {"tests": "2", "failures": "1", "errors": "0"}
    suites = root.findall("testsuite")
    assert [suite.get("failures") for suite in suites] == ["1", "0"]
    (failure,) = root.iter("failure")
    assert failure.get("message") == (
        "expected step: choice, outcome: no_input; actual: choice (shop.flow.yaml:10) ended with 1"
    )
    assert "! step: choice, outcome: no_input" in (failure.text or "")


def test_junit_holds_an_error_for_each_file_that_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    (tmp_path / "odd\udcff\x01.test.yaml").write_text("test: it\x07\nflow: [\n")
    (tmp_path / "z.test.yaml").write_text(TEST.lstrip().replace("press", "pres"))
    file = tmp_path / "junit.xml"
    result = run(tmp_path, "--junit", file)
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (2, True)
    root = ET.parse(file).getroot()
    assert root.attrib == {"tests": "3", "failures": "0", "errors": "2"}
    assert [suite.get("errors") for suite in root.findall("testsuite")] == ["0", "1", "1"]
    odd, wrong = root.iter("error")
    assert "not valid YAML" in str(odd.get("message"))
    assert f"{tmp_path}/z.test.yaml:11:5: error[E204]" in str(wrong.text)


def test_results_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    result = run(tmp_path, "--junit", tmp_path / "none" / "junit.xml")
    assert result.exit_code == 2
    assert f"cannot write {tmp_path}/none/junit.xml: No such file or directory" in result.output


# ── Flows beside the one under test ───────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_said_of_coverage_when_no_flow_can_run(tmp_path: Path) -> None:
    write(tmp_path, TEST, FLOW.replace("menu:", "menuu:"))
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "error[E205]" in result.output
    assert "0 passed, 0 failed\n" in result.output
    assert "covered" not in result.output


OTHER = "flow: other\nsteps: [{sya: Hi}]\n"


def test_a_flow_that_the_test_does_not_use_may_be_wrong(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    (tmp_path / "other.flow.yaml").write_text(OTHER)
    (tmp_path / "third.flow.yaml").write_text("flow: [\n")
    (tmp_path / "routes.yaml").write_text("routes: [{flow: nobody}]\n")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "1 passed, 0 failed; 20 % covered\n" in result.output
    told = ", ".join(str(tmp_path / name) for name in ("other.flow.yaml", "routes.yaml", "third.flow.yaml"))
    assert f"left out, for errors that `hookflash check` tells: {told}\n" in result.output
    result = run(tmp_path, "--coverage-min", "10")
    assert result.exit_code == 2
    assert "--coverage-min cannot be told of flows that are left out" in result.output


@pytest.mark.parametrize("other", [OTHER, "flow: other\nsteps: [\n", "flow: other\nsteps: [{call: {flow: third}}]\n"])
def test_a_flow_that_it_calls_may_not(tmp_path: Path, other: str) -> None:
    write(tmp_path, TEST, FLOW.replace("  - say: Thank you.\n", "  - call: {flow: other}\n"))
    (tmp_path / "other.flow.yaml").write_text(other)
    (tmp_path / "third.flow.yaml").write_text("flow: third\nsteps: [{sya: Hi}]\n")
    result = run(tmp_path)
    assert result.exit_code == 2
    wrong = "third.flow.yaml:2:10: error[E205]" if "third" in other else "other.flow.yaml:"
    assert f"{tmp_path}/{wrong}" in result.output


def test_resources_are_for_every_flow(tmp_path: Path) -> None:
    path = write(tmp_path, TEST)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "resources.yaml").write_text("destinations: {x: 5}\n")
    result = run(path)
    assert result.exit_code == 2
    assert f"{tmp_path}/more/resources.yaml:1:19: error[E203]" in result.output


def test_a_stray_flow_above_the_folder_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    path = write(tmp_path / "shop", TEST)
    (tmp_path / "x.flow.yaml").write_text("flow: shop\nsteps: [{sya: Hi}]\n")
    result = run(path)
    assert result.exit_code == 0
    assert "x.flow.yaml" not in result.output


def test_the_flows_of_a_test_may_be_named_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    path = write(tmp_path / "shop", TEST).rename(tmp_path / "shop.test.yaml")
    assert run(path, "--flows", tmp_path / "shop" / "shop.flow.yaml").exit_code == 0


async def test_watching_runs_again_when_a_flow_changes(tmp_path: Path) -> None:
    write(tmp_path, TEST)
    flow = tmp_path / "shop.flow.yaml"
    junit = tmp_path / "junit.xml"  # writing it must not count as a change
    watching = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from engine.cli import main; main()", "test", str(tmp_path), "--watch",
        "--junit", str(junit), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert watching.stderr is not None
    try:
        async with asyncio.timeout(60):
            assert await watching.stderr.readline() == b"1 passed, 0 failed; 20 % covered\n"
            assert b"waiting" in await watching.stderr.readline()
            flow.write_text(FLOW.replace('"1": []', '"2": []'))
            assert (await watching.stderr.readline()).startswith(b"0 passed, 1 failed")
            assert b"waiting" in await watching.stderr.readline()
            flow.write_text(FLOW)
            assert (await watching.stderr.readline()).startswith(b"1 passed, 0 failed")
            assert b"waiting" in await watching.stderr.readline()  # else the run is interrupted before it counts
    finally:
        watching.send_signal(signal.SIGINT)
        said = (await watching.communicate())[1]
    assert watching.returncode == 0
    assert said.count(b"passed") == 0


def test_a_step_that_is_switched_off_needs_no_test(tmp_path: Path) -> None:
    write(tmp_path, TEST, FLOW.replace("- say: Thank you.", "- {say: Thank you., disabled: true}"))
    assert "3/12 steps" in run(tmp_path).output
