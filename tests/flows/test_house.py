"""Which folder a file of flows is read with."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.house import PATTERNS, around, house_of, inside


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("there", "house"),
    [
        (["a/b/x.flow.yaml"], "a/b"),
        (["a/x.flow.yaml"], "a"),
        (["x.flow.yaml"], "."),
        ([], "a/b"),
        (["a/b/x.flow.yaml", "a/resources.yaml"], "a"),
        (["a/b/x.flow.yaml", "a/routes.yaml", "resources.yaml"], "."),
        (["a/b/x.flow.yaml", "resources.yaml"], "a/b"),  # somebody else's: nothing joins them
        (["a/b/resources.yaml", "a/x.flow.yaml"], "a/b"),  # a stray flow above makes no house of all that is below it
        (["a/b/.hidden/x.flow.yaml", "a/x.flow.yaml"], "a"),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_the_house_is_the_nearest_folder_with_flows_and_what_is_shared_above(
    there: list[str], house: str, absolute: bool, tmp_path: Path
) -> None:
    touch(*there)
    file = Path("a/b/x.test.yaml")
    assert house_of(tmp_path / file if absolute else file) == (tmp_path / house if absolute else Path(house))


def test_a_house_above_this_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("resources.yaml", "a/x.flow.yaml")
    monkeypatch.chdir("a")
    assert house_of(Path("x.flow.yaml")) == Path("..")
    assert house_of(Path("../a/x.flow.yaml")) == Path("..")


def test_a_file_of_any_name_is_read_with_its_house() -> None:
    touch("a/x.flow.yaml", "a/old.yaml", "a/.x.flow.yaml")
    assert around(Path("a/x.flow.yaml")) == [Path("a"), Path("a/x.flow.yaml")]
    assert around(Path("a/../a/x.flow.yaml")) == [Path("a/../a"), Path("a/../a/x.flow.yaml")]
    for odd in ("a/old.yaml", "a/.x.flow.yaml"):
        assert around(Path(odd)) == [Path("a"), Path(odd)]
    assert around(Path("a")) == [Path("a")]


def test_hidden_files_links_to_folders_and_what_is_deeper_than_a_path_can_be_are_passed() -> None:
    touch("a/x.flow.yaml", "a/.git/y.flow.yaml", "a/.z.flow.yaml", "b/w.flow.yaml")
    Path("a/loop").symlink_to(Path("../a"))
    Path("a/l.flow.yaml").symlink_to(Path("../b/w.flow.yaml"))
    assert inside(Path("a"), PATTERNS) == [Path("a/l.flow.yaml"), Path("a/x.flow.yaml")]
    assert inside(Path("a/x.flow.yaml"), PATTERNS) == []
    assert inside(Path("/".join(["n" * 250] * 40)), PATTERNS) == []
