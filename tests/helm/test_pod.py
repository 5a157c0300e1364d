"""The rendered pod with the images of `make images`: a real call through it, and an end that waits for the call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pods import Pod, PodError, pod
from rendering import NAME, Values, joined, objects, only

from asterisk import sandbox
from asterisk.config import AsteriskConfig, Trunk
from asterisk.config.render import template
from asterisk.installation import Installation
from asterisk.instance import Instance
from asterisk.ports import Ports
from asterisk.version import BASELINE, parse
from asterisk.world import World

pytestmark = [pytest.mark.pod, pytest.mark.timeout(300)]

NUMBER, DESK = "+12125550100", "pjsip:+12125561000@carrier"
FLOW = f"""\
flow: acme/reception
handlers: [{{event: error, goto: sorry}}]
steps:
  - answer: {{}}
  - gather: {{say: Press a key., digits: 1, timeout: 30s}}
    outcomes: {{no_input: [{{goto: sorry}}], no_match: [{{goto: sorry}}]}}
  - transfer: {{attempts: [{{targets: ["{DESK}"], timeout: 20s}}]}}
    outcomes: {{failed: [{{goto: sorry}}]}}
sections:
  sorry: [{{say: Nobody is free.}}, {{hangup: {{}}}}]
"""


def outside(ports: Ports, pbx: int) -> Any:
    """The world's choices: a trunk to the pod's Asterisk by UDP, and one by TLS."""

    def choose(config: AsteriskConfig) -> AsteriskConfig:
        trunks = tuple(
            Trunk.model_validate(
                {"name": name, "host": "127.0.0.1", "port": port, "transport": transport, "context": "world",
                 "match": [f"127.0.0.1:{port}"], "qualify_s": 0}
            )
            for name, port, transport in (("pbx", pbx, "udp"), ("pbx-tls", ports.sips, "tls"))
        )  # fmt: skip
        return config.model_copy(update={"trunks": trunks})

    return choose


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    with Ports.claim() as claimed:
        yield claimed


@pytest.fixture
async def world(installation: Installation, tmp_path: Path, ports: Ports) -> AsyncIterator[Instance]:
    extra = {"extensions.conf": template("world.conf")}
    choose = outside(ports, ports.sip)
    async with sandbox.start(
        "world", tmp_path / "world", choose=choose, extra=extra, installation=installation
    ) as instance:
        yield instance


def bundled(world: Instance, ports: Ports) -> Values:
    """What an operator would choose whose carrier is the world, on free ports of this machine."""
    carrier = {"name": "carrier", "host": "127.0.0.1", "port": world.sip_port, "match": [f"127.0.0.1:{world.sip_port}"],
               "qualify_s": 0}  # fmt: skip
    return {
        "flows": {"inline": {"reception.flow.yaml": FLOW}},
        "asterisk": {"ariPort": ports.http, "choices": {"trunks": [carrier]}},
        "sip": {"port": ports.sip, "tls": {"port": ports.sips}},
        "rtp": {"start": ports.rtp_start, "end": ports.rtp_start + 99},
        "http": {"port": ports.spare},
        "drainSeconds": 90,
    }


WAYS: dict[str, Values] = {
    "hostNetwork": {},
    "hostPort": {},
    "loadBalancer": {"loadBalancer": {"addresses": ["127.0.0.1"]}},
}


@pytest.mark.parametrize("exposure", WAYS)
async def test_a_pod_that_stops_lets_its_call_finish(
    exposure: str, world: Instance, ports: Ports, tmp_path: Path
) -> None:
    found = objects(joined(bundled(world, ports), {"sip": {"exposure": exposure, **WAYS[exposure]}}))
    async with pod(found, tmp_path) as running, World.open(world) as callers:
        await running.probed("asterisk", "livenessProbe")
        caller = await callers.call(NUMBER)
        await caller.answered()
        await caller.hears_something()

        stopping = asyncio.create_task(running.stop("engine"))
        await until_drains(running)
        late = await callers.call(NUMBER, caller="+12125550198")
        await late.is_over()
        assert late.sip_code == 503  # the dialplan's fallback: the carrier may try another route
        assert not caller.over.is_set()
        assert not stopping.done()

        await caller.presses("1")  # the flow goes on: a person is rung, answers, and both talk
        await counted(running, 'hookflash_handoff_total{result="answered"} 1.0')
        await asyncio.sleep(1.5)  # they talk
        assert not stopping.done()
        await caller.hangs_up()
        assert await stopping == 0
        _, heard = await caller.recording()
        assert heard.part(heard.seconds - 0.4, heard.seconds - 0.1).tone_share(1000) > 0.9  # the desk's voice
        calls = json.loads(await running.once("engine", "calls", "--json"))
        assert sorted(call["outcome"] for call in calls) == ["handed_off", "refused"]
        assert await running.stop("asterisk") in (0, 143)
        assert "signal" not in (await running.logs("asterisk")).lower()


async def test_calls_by_tls_and_srtp(world: Instance, ports: Ports, tmp_path: Path) -> None:
    keys = world.config.sip.certificate
    assert keys is not None
    secret = {"tls.crt": keys.certificate, "tls.key": keys.key, "ca.crt": keys.authorities}
    carrier = {"name": "carrier", "host": world.tls_address, "port": world.tls_port, "transport": "tls",
               "match": [world.tls_address], "qualify_s": 0}  # fmt: skip
    tls = {"existingSecret": "sip", "ownAuthorities": True, "port": ports.sips}
    values = joined(bundled(world, ports), {"sip": {"tls": tls}, "asterisk": {"choices": {"trunks": [carrier]}}})
    secrets = {"sip": {name: file.read_text() for name, file in secret.items()}}
    async with pod(objects(values), tmp_path, secrets) as running, World.open(world) as callers:
        caller = await callers.call(NUMBER, trunk="pbx-tls")
        await caller.answered()
        await caller.hears_something()
        asked = ("exec", running.called("asterisk"), "asterisk", "-rx", "pjsip show endpoint carrier")
        assert re.search(r"media_encryption +: sdes", await running.podman(*asked))  # no call without
        await caller.hangs_up()


async def test_a_chart_without_flows_says_hello_and_hangs_up(world: Instance, ports: Ports, tmp_path: Path) -> None:
    values = {name: value for name, value in bundled(world, ports).items() if name != "flows"}
    async with pod(objects(values), tmp_path) as running, World.open(world) as callers:
        caller = await callers.call(NUMBER)
        await caller.answered()
        await caller.hears_something()
        await caller.is_over()
        await counted(running, 'hookflash_calls_ended_total{flow="welcome",outcome="completed"} 1.0')


async def test_an_engine_beside_an_asterisk_of_ones_own(installation: Installation, tmp_path: Path) -> None:
    async with sandbox.pair(tmp_path / "a", installation=installation) as (pbx, world), World.open(world) as callers:
        with Ports.claim() as ports:
            values = {
                "mode": "external",
                "settings": {"asterisk": {"url": pbx.ari_url.removesuffix("/ari"), "app": pbx.application}},
                "secrets": {"existingSecret": "keys", "keys": {"asterisk.password": "ari"}},
                "flows": {"inline": {"reception.flow.yaml": FLOW}},
                "http": {"port": ports.spare},
            }
            async with pod(objects(values), tmp_path, secrets={"keys": {"ari": pbx.ari_password}}) as running:
                assert "Calls can be taken" in await running.once("engine", "doctor")
                caller = await callers.call(NUMBER)
                await caller.answered()
                await caller.hears_something()
                await caller.presses("1")
                await counted(running, 'hookflash_handoff_total{result="answered"} 1.0')
                await caller.hangs_up()
                await counted(running, 'hookflash_calls_ended_total{flow="acme/reception",outcome="handed_off"} 1.0')
                assert await running.stop("engine") == 0


async def test_an_asterisk_that_dies_is_found_again(world: Instance, ports: Ports, tmp_path: Path) -> None:
    async with pod(objects(bundled(world, ports)), tmp_path) as running, World.open(world) as callers:
        await running.podman("kill", running.called("asterisk"))
        async with asyncio.timeout(30):
            while "no connection to Asterisk" not in (await running.page("/readyz"))[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await running.podman("start", running.called("asterisk"))  # as kubelet does with a container alone
        await running.probed("asterisk", "startupProbe")
        await running.probed("engine", "readinessProbe")
        caller = await callers.call(NUMBER)
        await caller.answered()
        await caller.hears_something()
        await caller.hangs_up()


async def test_new_flows_are_checked_before_and_taken_without_a_restart(
    world: Instance, ports: Ports, tmp_path: Path
) -> None:
    found = objects(bundled(world, ports))
    async with pod(found, tmp_path) as running:
        job = only(found, "Job")["spec"]["template"]["spec"]["containers"][0]
        checked = await running.once("engine", *job["args"])
        assert "1 flow can run" in checked
        before = json.loads((await running.page("/flows"))[1])["revision"]
        running.publish("flows", {"reception.flow.yaml": FLOW.replace("Nobody is free", "Everybody is busy")})
        async with asyncio.timeout(30):
            while json.loads((await running.page("/flows"))[1])["revision"] == before:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        running.publish("flows", {"reception.flow.yaml": FLOW.replace("gather", "gahter")})
        with pytest.raises(PodError, match="did you mean 'gather'"):
            await running.once("engine", *job["args"])

        # What `helm test` asks, asked from where the Service would lead.
        test = only(found, "Pod")["spec"]["containers"][0]
        script = test["args"][0].replace(f"http://{NAME}:", "http://127.0.0.1:")
        async with asyncio.timeout(30):
            while json.loads((await running.page("/flows"))[1])["last_error"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        with pytest.raises(PodError, match="gahter"):
            await running.podman("exec", running.called("engine"), *test["command"], script)
        running.publish("flows", {"reception.flow.yaml": FLOW})
        async with asyncio.timeout(30):
            while json.loads((await running.page("/flows"))[1])["last_error"] is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        told = await running.podman("exec", running.called("engine"), *test["command"], script)
        assert "takes calls with acme/reception" in told


async def test_the_images_are_small_closed_and_complete(tmp_path: Path) -> None:
    tools = Pod(objects(), tmp_path)
    for name, most in (("engine", 450), ("asterisk", 450)):
        image = tools.command(name)[0]
        (told,) = json.loads(await tools.podman("inspect", "--type", "image", image))
        assert told["Size"] < most * 1_000_000, f"{image}: {told['Size'] / 1e6:.0f} MB"
        assert told["Config"]["User"] == "10001:10001"
        assert not any("PIP_" in each or "proxy" in each.lower() for each in told["Config"]["Env"])
    imports = "import azure.cognitiveservices.speech, google.cloud.speech, google.cloud.texttospeech, asyncpg, uvloop"
    trusts = "import ssl; assert ssl.create_default_context().get_ca_certs()"
    script = f"{imports}; {trusts}; from engine.voices import known_voices; print(sorted(known_voices()))"
    closed = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL")
    image = tools.command("engine")[0]
    said = await tools.podman(*closed, "--entrypoint", "python3", image, "-c", script)
    assert "'openai'" in said
    assert "'gemini'" in said
    assert "flite" in await tools.podman(*closed, "--entrypoint", "flite", image, "--version", check=False)
    version = await tools.podman(*closed, tools.command("asterisk")[0], "-V")
    assert parse(version) in BASELINE


async def counted(running: Pod, line: str) -> None:
    """Until the engine's metrics have this line."""
    async with asyncio.timeout(30):
        while line not in (await running.page("/metrics"))[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_drains(running: Pod) -> None:
    async with asyncio.timeout(20):
        while "draining" not in (await running.page("/readyz"))[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
