"""`hookflash serve` while its flows change: a real call goes on as it began, the next one gets what is new."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from asterisk.instance import Instance
from asterisk.world import World
from tests.test_serve import Served, records, served

pytestmark = pytest.mark.asterisk

LONG = "Please listen to this announcement, which is long enough for flows to be changed while somebody hears it."
BROKEN = "flow: test\nsteps:\n  - sya: Hello.\n"


def announcement(result: str) -> str:
    """The second step is walked after the flows have changed."""
    return f"flow: test\nsteps:\n  - say: {LONG}\n  - goto: end\nsections:\n  end: [{{hangup: {{result: {result}}}}}]\n"


def publish(folder: Path, text: str) -> None:
    """As kubelet publishes a ConfigMap: what a link leads to is swapped."""
    dated = f"..{len(list(folder.iterdir()))}"
    (folder / dated).mkdir()
    (folder / dated / "test.flow.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(dated)
    os.replace(folder / "..data_tmp", folder / "..data")
    link = folder / "test.flow.yaml"
    if not link.is_symlink():
        link.unlink()
        link.symlink_to("..data/test.flow.yaml")


async def flows(engine: Served) -> dict[str, Any]:
    status, told = await engine.health("flows")
    assert status == 200
    return told


async def test_calls_while_flows_change(pbx: Instance, world: Instance, tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    async with served(pbx, tmp_path, announcement("old")) as engine, World.open(world) as outside:
        before = await flows(engine)
        assert before["last_error"] is None
        first = await outside.call("+12125550100")
        await first.answered()
        await first.hears_something()

        publish(folder, BROKEN)
        await engine.says("cannot be used")
        refused = await flows(engine)
        assert refused["revision"] == before["revision"]
        assert "error[E205]: unknown verb 'sya'" in refused["last_error"]["problems"][0]
        assert (await engine.health())[0] == 200, "calls are taken with the last good flows"

        publish(folder, announcement("new"))
        await engine.says("new flows")
        after = await flows(engine)
        assert after["revision"] != before["revision"]
        assert after["last_error"] is None
        second = await outside.call("+12125550100")
        await second.answered()
        await first.is_over()
        await second.is_over()

        engine.tell(signal.SIGHUP)
        await engine.says("as they were")
        engine.tell(signal.SIGTERM)
        assert await engine.stops(within=5) == 0
    old, new = await records(tmp_path)
    assert (old.outcome, old.result, old.revision) == ("completed", "old", before["flows"][0]["revision"])
    assert (new.outcome, new.result, new.revision) == ("completed", "new", after["flows"][0]["revision"])
    await pbx.idle()
