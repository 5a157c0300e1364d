"""Which files are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from verbs import VERBS

from flows.language import Language

FLOW = "flow: {name}\nsteps: [{{say: Hi}}]\n"


@pytest.fixture
def language() -> Language:
    return Language(VERBS)


def write(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FLOW.format(name=name))
    return path


def test_folders_are_searched_and_files_taken_as_they_are(language: Language, tmp_path: Path) -> None:
    write(tmp_path / "a/one.flow.yaml", "one")
    write(tmp_path / "a/deep/two.flow.yaml", "two")
    write(tmp_path / "a/notes.yaml", "notes")
    other = write(tmp_path / "three.yaml", "three")
    loaded = language.load([tmp_path / "a", other, str(other)])
    assert loaded.problems == []
    assert loaded.library is not None
    assert set(loaded.library.flows) == {"one", "two", "three"}


def test_a_mounted_config_map_is_read_once(language: Language, tmp_path: Path) -> None:
    write(tmp_path / "..2026_01/one.flow.yaml", "one")
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "one.flow.yaml").symlink_to("..data/one.flow.yaml")
    loaded = language.load([tmp_path])
    assert loaded.problems == []
    assert loaded.library is not None
    assert [flow.file for flow in loaded.library.flows.values()] == [str(tmp_path / "one.flow.yaml")]


def test_what_cannot_be_read_is_told(language: Language, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop.flow.yaml").symlink_to("loop.flow.yaml")
    problems = language.load([tmp_path / "nope", tmp_path / "empty", tmp_path]).problems
    assert [(Path(problem.file).name, problem.code) for problem in problems] == [
        ("empty", "E101"),
        ("loop.flow.yaml", "E101"),
        ("nope", "E101"),
    ]


def test_a_flow_without_its_folder_may_not_leave_its_own(language: Language, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    flow = write(tmp_path / "in/a.flow.yaml", "a")
    flow.write_text("flow: a\nsteps: [{play: ../secret.wav}]\n")
    assert [problem.code for problem in language.load([flow]).problems] == ["E306"]
    assert language.load([tmp_path]).problems == []


def test_a_link_that_leads_out_of_the_folder_is_refused(language: Language, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    flow = write(tmp_path / "in/a.flow.yaml", "a")
    (tmp_path / "in/sound.wav").symlink_to(tmp_path / "secret.wav")
    flow.write_text("flow: a\nsteps: [{play: sound.wav}]\n")
    assert [problem.code for problem in language.load([tmp_path / "in"]).problems] == ["E306"]


@pytest.mark.parametrize("name", ["two.flow.yaml", "resources.yaml", "routes.yaml", "deep/two.flow.yaml"])
def test_what_a_folder_has_by_a_link_that_leads_out_of_it_is_not_read(
    language: Language, tmp_path: Path, name: str
) -> None:
    write(tmp_path / "flows/one.flow.yaml", "one")
    outside = tmp_path / "secrets.txt"
    outside.write_text("root:x:0:0\n")
    link = tmp_path / "flows" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    loaded = language.load([tmp_path / "flows"])
    assert [str(problem) for problem in loaded.problems] == [
        f"{link}:1:1: error[E101]: cannot be read: it is a link to {outside}, in another folder: name that file"
    ]
    assert link in loaded.files, "what a change of it may put right"


def test_a_link_that_is_named_itself_may_lead_anywhere(language: Language, tmp_path: Path) -> None:
    link = tmp_path / "flows/one.flow.yaml"
    link.parent.mkdir()
    link.symlink_to(write(tmp_path / "elsewhere/one.flow.yaml", "one"))
    for paths in ([link], [link.parent, link], [link, link.parent]):
        loaded = language.load(paths)
        assert loaded.problems == []
        assert loaded.library is not None
        assert set(loaded.library.flows) == {"one"}


def test_a_folder_may_be_a_link_itself(language: Language, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/one.flow.yaml", "one")
    (tmp_path / "flows").symlink_to("elsewhere")
    assert language.load([tmp_path / "flows"]).problems == []


def test_links_in_a_circle_are_told(language: Language, tmp_path: Path) -> None:
    (tmp_path / "one.flow.yaml").symlink_to("two.flow.yaml")
    (tmp_path / "two.flow.yaml").symlink_to("one.flow.yaml")
    said = "error[E101]: cannot be read: Too many levels of symbolic links"
    assert [str(problem).split(": ", 1)[1] for problem in language.load([tmp_path]).problems] == [said, said]


@pytest.mark.parametrize("name", ['"a\\0b"', "round", "folder", '""', "."])
def test_a_name_that_is_no_file_is_told(language: Language, tmp_path: Path, name: str) -> None:
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "folder").mkdir()
    flow = write(tmp_path / "a.flow.yaml", "a")
    flow.write_text(f"flow: a\nsteps: [{{play: {name}}}]\n")
    (tmp_path / "resources.yaml").write_text(f"prompts: {{a: {{file: {name}}}}}\n")
    assert [problem.severity for problem in language.load([tmp_path]).problems] == ["error", "error"]


def test_the_same_files_have_the_same_revision(language: Language, tmp_path: Path) -> None:
    write(tmp_path / "b.flow.yaml", "b")
    write(tmp_path / "a.flow.yaml", "a")
    revisions = {language.load([tmp_path]).library.revision for _ in range(3)}  # type: ignore[union-attr]
    assert len(revisions) == 1
    write(tmp_path / "a.flow.yaml", "c")
    assert language.load([tmp_path]).library.revision not in revisions  # type: ignore[union-attr]
