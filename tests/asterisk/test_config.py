"""Asterisk's configuration: what may be chosen, what is written, and that Asterisk takes it."""

import base64
import re
import subprocess
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError

from asterisk import sandbox
from asterisk.config import (
    AriUser,
    AsteriskConfig,
    Certificate,
    Fallback,
    Http,
    Phone,
    Sip,
    Teams,
    Trunk,
    render,
    warnings,
)
from asterisk.config.crypt import sha512_crypt
from asterisk.config.render import fill, template
from asterisk.sandbox import Installation

USERS = (AriUser(password="a long secret"),)
KEYS = Certificate(certificate=Path("/etc/asterisk/keys/sbc.crt"), key=Path("/etc/asterisk/keys/sbc.key"))
CARRIER = Trunk(name="carrier", host="sip.carrier.example", match=("203.0.113.0/28",))

EVIL = [
    "x\nlive_dangerously=yes",
    "x\r[evil]",
    "x;comment",
    "x]",
    "[x",
    " x",
    "x ",
    ">x",
    "#exec /bin/sh",
    "${SHELL(id)}",
    "@{users}",
    "ü",
    "x\0",
]


def section(text: str, name: str, kind: str | None = None) -> dict[str, str]:
    """The settings of one section, of `type=kind` where several have the name."""
    for block in re.split(r"(?m)^(?=\[)", text):
        heading, _, body = block.partition("\n")
        settings = dict(line.split("=", 1) for line in body.splitlines() if "=" in line and not line.startswith(";"))
        inherits = "(hookflash-" in heading
        if heading.startswith(f"[{name}]") and (
            kind is None or settings.get("type", "endpoint" if inherits else "") == kind
        ):
            return settings
    raise LookupError(f"no section {name} of type {kind}")


class TestInjection:
    @pytest.mark.parametrize("evil", EVIL)
    def test_no_value_breaks_out(self, evil: str) -> None:
        for build in (
            lambda: AriUser(password=evil),
            lambda: AriUser(name=evil, password="good"),
            lambda: Trunk(name=evil, host="h.example"),
            lambda: Trunk(name="c", host=evil),
            lambda: Trunk(name="c", host="h.example", username=evil, password="good"),
            lambda: Trunk(name="c", host="h.example", username="good", password=evil),
            lambda: Trunk(name="c", host="h.example", match=(evil,)),
            lambda: Trunk(name="c", host="h.example", from_domain=evil),
            lambda: Trunk(name="c", host="h.example", from_user=evil),
            lambda: Trunk(name="c", host="h.example", context=evil),
            lambda: Phone(name=evil, password="good"),
            lambda: Phone(name="p100", password=evil),
            lambda: Phone(name="p100", password="good", caller_id=evil),
            lambda: Teams(domain=evil),
            lambda: Fallback(endpoint=evil),
            lambda: Fallback(endpoint=f"PJSIP/{evil}"),
            lambda: Http(bind=evil),
            lambda: Sip(external_address=evil),
            lambda: Certificate(certificate=Path(evil), key=Path("/k")),
            lambda: AsteriskConfig(users=USERS, application=evil),
        ):
            with pytest.raises(ValidationError):
                build()

    def test_the_error_names_the_character_and_hides_the_secret(self) -> None:
        with pytest.raises(ValidationError) as refused:
            AriUser(password="hunter2;")
        assert "must not hold ';'" in str(refused.value)
        assert "hunter2" not in str(refused.value)

    @pytest.mark.parametrize("endpoint", ["PJSIP/100&PJSIP/200", "PJSIP/100,30", "Local/x@y/n", "100", "System/(id)"])
    def test_a_fallback_is_one_endpoint(self, endpoint: str) -> None:
        with pytest.raises(ValidationError, match="TECHNOLOGY/resource"):
            Fallback(endpoint=endpoint)


class TestChoices:
    def test_a_name_serves_one_endpoint(self) -> None:
        with pytest.raises(ValidationError, match="more than one endpoint: carrier"):
            AsteriskConfig(users=USERS, trunks=(CARRIER,), phones=(Phone(name="carrier", password="x"),))

    def test_teams_takes_a_name_for_each_host(self) -> None:
        trunk = Trunk(name="teams2", host="192.0.2.1")
        with pytest.raises(ValidationError, match="more than one endpoint: teams2"):
            AsteriskConfig(users=USERS, sip=Sip(certificate=KEYS), teams=Teams(), trunks=(trunk,))

    @pytest.mark.parametrize("name", ["general", "global", "hookflash-trunk", "transport-udp"])
    def test_a_name_of_the_templates_is_refused(self, name: str) -> None:
        with pytest.raises(ValidationError, match="something else"):
            AriUser(name=name, password="x")

    def test_tls_needs_a_certificate(self) -> None:
        with pytest.raises(ValidationError, match=r"sip\.certificate"):
            AsteriskConfig(users=USERS, teams=Teams())

    def test_https_is_whole(self) -> None:
        with pytest.raises(ValidationError, match="tls_port and certificate"):
            Http(tls_port=8089)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="Extra inputs"):
            AsteriskConfig.model_validate({"users": USERS, "trunk": ()})

    def test_an_upside_down_range_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="above rtp_start"):
            AsteriskConfig(users=USERS, rtp_start=20000, rtp_end=10000)


class TestFiles:
    def test_hardening(self) -> None:
        files = render(AsteriskConfig(users=USERS, trunks=(CARRIER,)))
        assert section(files["asterisk.conf"], "options")["live_dangerously"] == "no"
        http = section(files["http.conf"], "general")
        assert (http["bindaddr"], http["enable_static"], http["enable_status"]) == ("127.0.0.1", "no", "no")
        for path in ("/ari", "/media"):
            assert f"[{path}]\ntype=restriction\ndeny=0.0.0.0/0\ndeny=::/0\npermit=127.0.0.1/32" in files["http.conf"]
        assert "allowed_origins=" not in files["ari.conf"]
        assert section(files["rtp.conf"], "general")["strictrtp"] == "yes"
        assert section(files["ari.conf"], "general")["websocket_write_timeout"] == "5000"
        for module in ("iax", "unistim", "motif", "phoneprov", "manager", "shell", "system", "xmpp", "anonymous"):
            assert (
                module
                not in [line for line in files["modules.conf"].splitlines() if line.startswith("load=")].__repr__()
            )
        assert "a long secret" not in "".join(files.values())

    def test_restrictions_only_where_asterisk_knows_them(self) -> None:
        old = AsteriskConfig(users=(AriUser(password="x", permit=("10.0.0.0/8",)),), version="22.8.0")
        assert "type=restriction" not in render(old)["http.conf"]
        assert "permit=" not in render(old)["ari.conf"]
        assert any("firewall" in warning for warning in warnings(old))

    def test_the_dialplan_never_matches_h(self) -> None:
        dialplan = render(AsteriskConfig(users=USERS, trunks=(CARRIER,)))["extensions.conf"]
        extensions = set(re.findall(r"(?m)^exten => ([^,]+),", dialplan))
        assert extensions == {"_X.", "_+X.", "s"}
        assert "Stasis(hookflash,${FILTER(0-9+*#,${EXTEN})},${CONTEXT})" in dialplan
        assert "hangup_handler_push" in dialplan

    def test_the_fallback_stands_behind_stasis(self) -> None:
        chosen = Fallback(endpoint="PJSIP/+12125550100@carrier", ring_s=30)
        dialplan = render(AsteriskConfig(users=USERS, trunks=(CARRIER,), fallback=chosen))["extensions.conf"]
        assert dialplan.index("Stasis(") < dialplan.index("Goto(hookflash-fallback,s,1)")
        assert "Dial(PJSIP/+12125550100@carrier,30)\n same => n,Congestion(10)" in dialplan

    def test_each_trunk_has_a_context_of_its_own(self) -> None:
        trunks = (CARRIER, Trunk(name="dialer", host="192.0.2.7", match=("192.0.2.7",)))
        dialplan = render(AsteriskConfig(users=USERS, trunks=trunks))["extensions.conf"]
        assert "[from-carrier]\ninclude => hookflash\n[from-dialer]\ninclude => hookflash" in dialplan

    def test_a_trunk_by_address(self) -> None:
        pjsip = render(AsteriskConfig(users=USERS, trunks=(CARRIER,)))["pjsip.conf"]
        endpoint = section(pjsip, "carrier", "endpoint")
        assert (endpoint["media_encryption"], endpoint["context"]) == ("no", "from-carrier")
        assert "auth" not in endpoint
        assert section(pjsip, "carrier-identify")["match"] == "203.0.113.0/28"
        assert section(pjsip, "carrier", "aor")["contact"] == "sip:sip.carrier.example:5060"

    def test_a_trunk_by_digest_that_registers(self) -> None:
        trunk = Trunk(
            name="telnyx",
            host="sip.telnyx.com",
            port=5061,
            transport="tls",
            username="u",
            password="p",
            register_with_peer=True,
        )
        pjsip = render(AsteriskConfig(users=USERS, sip=Sip(certificate=KEYS), trunks=(trunk,)))["pjsip.conf"]
        endpoint = section(pjsip, "telnyx", "endpoint")
        assert (endpoint["auth"], endpoint["outbound_auth"], endpoint["media_encryption"]) == (
            "telnyx-auth",
            "telnyx-auth",
            "sdes",
        )
        assert section(pjsip, "telnyx-registration")["client_uri"] == "sip:u@sip.telnyx.com:5061\\;transport=tls"
        assert section(pjsip, "telnyx", "aor")["contact"] == "sip:sip.telnyx.com:5061\\;transport=tls"

    def test_teams_from_22_11_gives_its_name(self) -> None:
        chosen = AsteriskConfig(
            version="22.11.0",
            users=USERS,
            sip=Sip(certificate=KEYS, external_address="203.0.113.9"),
            teams=Teams(domain="sbc.example.com"),
        )
        transport = section(render(chosen)["pjsip.conf"], "transport-tls")
        assert transport["external_signaling_hostname"] == "sbc.example.com"
        assert "external_signaling_address" not in transport
        assert transport["external_media_address"] == "203.0.113.9"
        assert transport["verify_server"] == "yes"
        assert not any("SBC" in warning for warning in warnings(chosen))

    def test_teams_before_22_11_needs_an_sbc(self) -> None:
        chosen = AsteriskConfig(
            version="22.10.1", users=USERS, sip=Sip(certificate=KEYS), teams=Teams(domain="sbc.example.com")
        )
        assert "external_signaling_hostname" not in render(chosen)["pjsip.conf"]
        assert any("put an SBC" in warning for warning in warnings(chosen))

    def test_teams_tries_microsofts_hosts_in_order(self) -> None:
        pjsip = render(AsteriskConfig(users=USERS, sip=Sip(certificate=KEYS), teams=Teams(domain="sbc.example.com")))[
            "pjsip.conf"
        ]
        contacts = [section(pjsip, name, "aor")["contact"] for name in ("teams", "teams2", "teams3")]
        assert contacts == [f"sip:sip{n}.pstnhub.microsoft.com:5061\\;transport=tls" for n in ("", "2", "3")]
        assert section(pjsip, "teams-identify")["match"] == "52.112.0.0/14,52.122.0.0/15"

    def test_warnings(self) -> None:
        open_to_all = AsteriskConfig(
            users=USERS,
            http=Http(bind="10.0.0.5"),
            trunks=(
                Trunk(name="unknown", host="h.example"),
                Trunk(name="leaky", host="h.example", srtp=True, match=("192.0.2.1",)),
            ),
        )
        said = "\n".join(warnings(open_to_all))
        assert "in the clear" in said
        assert "Trunk unknown has neither" in said
        assert "Trunk leaky sends its SRTP keys" in said
        assert "No fallback endpoint" in said
        quiet = AsteriskConfig(users=USERS, trunks=(CARRIER,), fallback=Fallback(endpoint="PJSIP/reception"))
        assert warnings(quiet) == []

    def test_in_a_container_it_logs_to_stdout_and_finds_every_file(self) -> None:
        files = render(AsteriskConfig(users=USERS))
        assert "security.log => security" in files["logger.conf"]
        assert "cdr.conf" not in files
        files = render(AsteriskConfig(users=USERS, container=True))
        assert ".log =>" not in files["logger.conf"]
        assert re.search("(?m)^console => .*security", files["logger.conf"])
        assert "enabled=no" in files["manager.conf"]
        assert "chan_websocket.so" in files["modules.conf"]

    def test_music_comes_from_a_folder_of_choice(self) -> None:
        assert "directory=/var/lib/asterisk/moh" in render(AsteriskConfig(users=USERS))["musiconhold.conf"]
        files = render(AsteriskConfig(users=USERS, music=Path("/srv/music")))
        assert "directory=/srv/music\n" in files["musiconhold.conf"]

    def test_a_template_is_filled_wholly(self) -> None:
        with pytest.raises(KeyError, match="missing"):
            fill("a=@{missing}", {})
        with pytest.raises(KeyError, match="unused"):
            fill("a", {"unused": 1})
        assert fill("${EXTEN}@{a}", {"a": 1}) == "${EXTEN}1"
        assert "Stasis(world" in template("world.conf")


@pytest.mark.parametrize("password", ["a", "Hello world!", "x" * 100, "pass word"])
def test_crypt_agrees_with_openssl(password: str, installation: Installation) -> None:
    told = subprocess.run(
        installation.openssl("passwd", "-6", "-salt", "saltstring", password),
        capture_output=True,
        text=True,
        check=True,
        env=installation.env,
    )
    assert sha512_crypt(password, "saltstring") == told.stdout.strip()


def test_crypt_agrees_with_its_specification() -> None:
    hashed = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    assert sha512_crypt("Hello world!", "saltstring") == hashed


@pytest.mark.asterisk
async def test_asterisk_takes_all_of_it(installation: Installation) -> None:
    """Trunks of every kind, phones, Teams, a crypted password and a fallback, taken without a complaint."""

    def choose(config: AsteriskConfig) -> AsteriskConfig:
        return config.model_copy(
            update={
                "users": (*config.users, AriUser(name="crypted", password="a long secret", permit=("127.0.0.0/8",))),
                "trunks": (
                    CARRIER,
                    Trunk(name="digest", host="192.0.2.1", username="u", password="p", from_domain="d.example"),
                    Trunk(name="secure", host="192.0.2.2", port=5061, transport="tls", match=("192.0.2.2",)),
                    Trunk(
                        name="tcp",
                        host="192.0.2.3",
                        transport="tcp",
                        match=("192.0.2.3", "192.0.2.8:5080"),
                        qualify_s=0,
                    ),
                ),
                "teams": Teams(domain="sbc.example.com", hosts=("192.0.2.4", "192.0.2.5")),
                "phones": (Phone(name="reception", password="p", caller_id='"Front desk" <100>'),),
                "fallback": Fallback(endpoint="PJSIP/reception"),
            }
        )

    async with sandbox.start(choose=choose, installation=installation) as alone:
        log = (alone.log / "full.log").read_text().split("Asterisk Ready")[0]
        assert [line for line in log.splitlines() if "ERROR[" in line or "WARNING[" in line] == []
        shown = await alone.cli("pjsip show endpoints")
        for name in ("carrier", "digest", "secure", "tcp", "teams", "teams2", "reception"):
            assert f" Endpoint:  {name}" in shown
        assert "Dial(PJSIP/reception,45)" in await alone.cli("dialplan show hookflash-fallback")
        token = base64.b64encode(b"crypted:a long secret").decode()
        async with aiohttp.ClientSession(headers={"Authorization": f"Basic {token}"}) as http:
            for _ in range(3):
                async with http.get(f"{alone.ari_url}/asterisk/ping") as answer:
                    assert answer.status == 200
