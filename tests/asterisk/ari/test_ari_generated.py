"""The generated code says what the generator says, and knows what the Asterisk of the sandbox knows."""

import copy
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from asterisk.ari import distil, generate, models, resources
from asterisk.sandbox import locate

FOLDER = Path(generate.__file__).parent


@pytest.mark.parametrize(
    ("name", "text"), [("models.py", generate.models_text), ("resources.py", generate.resources_text)]
)
def test_what_is_committed_is_what_is_generated(name: str, text: object) -> None:
    assert callable(text)
    assert (FOLDER / name).read_text("utf-8") == text(distil.load()), f"{name} is out of step; run make ari"


def test_api_json_is_in_its_own_form() -> None:
    assert distil.API_FILE.read_text("utf-8") == distil.dumps(distil.load()), "run make ari"


def test_generated_code_is_clean() -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff, "ruff is missing; pip install -e '.[test]'"
    files = [str(FOLDER / "models.py"), str(FOLDER / "resources.py")]
    for command in (["check"], ["format", "--check"]):
        found = subprocess.run(
            [ruff, *command, "--no-cache", "--config", "extend-exclude=[]", *files],
            cwd=FOLDER.parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout


def test_every_operation_is_a_method() -> None:
    operations = distil.load()["operations"]
    assert len(operations) >= 109
    for operation in operations:
        group = getattr(resources, generate.pascal(operation["resource"]))
        method = getattr(group, generate.snake(operation["name"]))
        parameters = inspect.signature(method).parameters
        for each in operation["parameters"]:
            parameter = parameters[generate.snake(each["name"])]
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            # Ids of what is made have our default; everything else that Asterisk requires has none.
            assert (parameter.default is inspect.Parameter.empty) == bool(each.get("required"))


def test_every_event_and_model_can_be_built_and_read_from_nothing() -> None:
    declared = distil.load()["models"]
    assert {each["name"] for each in declared if each.get("parent") == "Event"} == set(models.EVENTS)
    for each in declared:
        kind = getattr(models, each["name"])
        assert isinstance(kind.parse({}), kind)
        TypeAdapter(kind)


def test_a_newer_asterisk_is_noticed() -> None:
    ours = distil.load()
    newer = copy.deepcopy(ours)
    newer["operations"][0]["parameters"].append({"name": "speed", "place": "query", "type": "int"})
    newer["operations"].append(newer["operations"][0] | {"path": "/teleport"})
    newer["models"].append({"name": "ChannelTeleported", "fields": [], "parent": "Event"})
    newer["models"][0]["fields"].append({"name": "mood", "type": "string"})
    first = ours["operations"][0]
    assert distil.news(ours, newer) == [
        f"parameter speed of {first['verb']} {first['path']}",
        f"operation {first['verb']} /teleport",
        f"field mood of {ours['models'][0]['name']}",
        "event ChannelTeleported",
    ]
    assert distil.news(newer, ours) == []


def test_what_is_no_swagger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no Swagger files"):
        distil.distil(tmp_path, "22")
    (tmp_path / "channels.json").write_text(json.dumps({"apis": [{"path": "/x"}], "models": {}}))
    with pytest.raises(ValueError, match=r"channels\.json is not one of"):
        distil.distil(tmp_path, "22")


@pytest.mark.asterisk
def test_the_sandboxs_asterisk_knows_nothing_that_we_do_not() -> None:
    installation = locate()
    theirs = distil.distil(installation.swagger, str(installation.version))
    assert distil.news(distil.load(), theirs) == [], f"Asterisk {installation.version} knows more; run make ari"
