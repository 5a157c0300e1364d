"""The doctor, with a sound Asterisk, with sick ones, and with what is no Asterisk at all."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from asterisk import sandbox
from asterisk.config import AriUser, AsteriskConfig
from asterisk.doctor import Finding, examine, healthy
from asterisk.sandbox import Installation, Instance
from asterisk.version import judge


def said(findings: list[Finding], level: str) -> str:
    return "\n".join(f"{finding.what} {finding.advice}" for finding in findings if finding.level == level)


@pytest.fixture
async def impostor() -> AsyncIterator[tuple[TestServer, dict[str, web.Response]]]:
    """A web server that gives the prepared answer for a path, and 404 else."""
    answers: dict[str, web.Response] = {}

    async def answer(request: web.Request) -> web.Response:
        return answers.get(request.path) or web.Response(status=404, text="<html>Not here</html>")

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    yield server, answers
    await server.close()


@pytest.mark.asterisk
class TestRealAsterisk:
    async def test_a_sound_one_is_healthy_and_untouched(self, pbx: Instance, no_tasks_left: None) -> None:
        findings = await examine(pbx.ari_url, pbx.ari_user, pbx.ari_password, application=pbx.application)
        assert healthy(findings)
        verdicts = {verdict.what for verdict in judge(pbx.installation.version)}
        assert [finding.what for finding in findings if finding.level == "warn" and finding.what not in verdicts] == []
        fine = said(findings, "ok")
        for part in (
            "accepts the user",
            "may write",
            "clocks agree",
            "carrier, teams",
            "is free",
            "media leg was ready",
            "calls use audiosocket or rtp",
        ):
            assert part in fine
        assert await pbx.channels() == []

    async def test_a_taken_application_is_noticed(self, pbx: Instance) -> None:
        async with ClientSession(headers=pbx.authorization) as http, http.ws_connect(f"{pbx.ari_url}/events?app=taken"):
            findings = await examine(pbx.ari_url, pbx.ari_user, pbx.ari_password, application="taken")
        assert "another program is connected as taken" in said(findings, "warn")
        assert healthy(findings)

    async def test_a_wrong_password(self, pbx: Instance) -> None:
        findings = await examine(pbx.ari_url, pbx.ari_user, "guess")
        assert len(findings) == 1
        assert "refuses the user hookflash or its password (401)" in said(findings, "error")
        assert "ari.conf" in findings[0].advice

    async def test_a_poor_configuration(self, installation: Installation) -> None:
        """Missing modules, a status page, web pages let in, a user who may only read, one from elsewhere."""

        def choose(config: AsteriskConfig) -> AsteriskConfig:
            reader = AriUser(name="reader", password="r", password_format="plain", read_only=True)
            elsewhere = AriUser(name="elsewhere", password="e", password_format="plain", permit=("10.9.9.9",))
            return config.model_copy(update={"users": (*config.users, reader, elsewhere)})

        extra = {
            "modules.conf": "noload=res_stasis_snoop.so\nnoload=res_timing_timerfd.so\nload=func_shell.so\n",
            "http.conf": "[general](+)\nenable_status=yes\n",
            "ari.conf": "[general](+)\nallowed_origins=*\n",
        }
        async with sandbox.start(choose=choose, extra=extra, installation=installation) as sick:
            findings = await examine(sick.ari_url, "reader", "r")
            errors, warned = said(findings, "error"), said(findings, "warn")
            assert "res_stasis_snoop" in errors
            assert "may only read" in errors
            for part in (
                "func_shell",
                "res_timing_timerfd is not running",
                "status page",
                "web pages",
                "no PJSIP endpoint",
            ):
                assert part in warned
            assert not healthy(findings)
            (refused,) = await examine(sick.ari_url, "elsewhere", "e")
            assert refused.level == "error"


class TestNoAsterisk:
    async def test_nobody_listens(self) -> None:
        with sandbox.Ports.claim() as ports:
            (finding,) = await examine(f"http://127.0.0.1:{ports.http}", "hookflash", "x")
        assert finding.level == "error"
        assert "cannot be reached" in finding.what
        assert "http.conf" in finding.advice

    async def test_no_such_host(self) -> None:
        (finding,) = await examine("http://asterisk.invalid:8088", "hookflash", "x")
        assert "asterisk.invalid" in finding.what

    async def test_it_says_nothing(self) -> None:
        kept: list[object] = []  # dropped, a connection would be closed
        server = await asyncio.start_server(lambda *ends: kept.append(ends), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            (finding,) = await examine(f"http://127.0.0.1:{port}", "hookflash", "x", timeout_s=0.2)
        assert "does not answer" in finding.what

    async def test_another_web_server(self, impostor: tuple[TestServer, dict[str, web.Response]]) -> None:
        (finding,) = await examine(str(impostor[0].make_url("/")), "hookflash", "x")
        assert finding.level == "error"
        assert "not ARI" in finding.what
        assert "http://HOST:8088" in finding.advice

    @pytest.mark.parametrize("body", ["<html>Welcome</html>", "[]", '{"system": {}}'])
    async def test_a_server_that_answers_everything(
        self, impostor: tuple[TestServer, dict[str, web.Response]], body: str
    ) -> None:
        server, answers = impostor
        answers["/ari/asterisk/info"] = web.Response(text=body)
        (finding,) = await examine(str(server.make_url("/")), "hookflash", "x")
        assert "not ARI" in finding.what

    async def test_an_old_asterisk_is_told_by_its_answer(
        self, impostor: tuple[TestServer, dict[str, web.Response]]
    ) -> None:
        """Only the gate is tested here: an impostor that claims to be 22.9.0."""
        server, answers = impostor
        answers["/ari/asterisk/info"] = web.json_response({"system": {"version": "22.9.0"}})
        findings = await examine(str(server.make_url("/")), "hookflash", "x")
        assert "#1928" in said(findings, "error")
        assert not healthy(findings)

    async def test_an_address_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="http://host:8088"):
            await examine("asterisk:8088", "hookflash", "x")


def test_a_finding_reads_well() -> None:
    assert str(Finding("warn", "the door is open", "Close it.")) == "warn   the door is open\n       Close it."
