"""Values that cannot be are refused before anything is installed, and the message names the value."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
from rendering import MODES, POLICY, PUBLISHED, joined, texts

pytestmark = pytest.mark.cluster

EXTERNAL = MODES["external"]

UNKNOWN_AND_MISTYPED: list[tuple[dict[str, Any], str]] = [
    ({"replicaCount": 3}, "replicaCount"),
    ({"mode": "standalone"}, "/mode"),
    ({"replicas": "three"}, "/replicas"),
    ({"image": {"tag": "latest"}}, "/image/tag"),
    ({"asterisk": {"image": {"tag": "latest"}}}, "/asterisk/image/tag"),
    ({"image": {"digest": "abc"}}, "/image/digest"),
    ({"runAs": {"user": 0}}, "/runAs/user"),
    ({"sip": {"exposure": "nodePort"}}, "/sip/exposure"),
    ({"sip": {"port": 506}}, "/sip/port"),
    ({"sip": {"externalAddress": "sip.acme.example"}}, "/sip/externalAddress"),
    ({"settings": {"max_cals": 5}}, "max_cals"),
    ({"settings": {"max_calls": 0}}, "/settings/max_calls"),
    ({"settings": {"asterisk": {"password": "tulips"}}}, "password"),
    ({"settings": {"voices": {"openai": {"api_key": "sk"}}}}, "/settings/voices/openai/api_key"),
    ({"settings": {"voices": {"openai": {"api_key_file": "/x"}}}}, "/settings/voices/openai/api_key"),
    (
        {"settings": {"accounts": {"acme": {"openai": {"api_key": "sk-live"}}}}},
        "/settings/accounts/acme/openai/api_key",
    ),
    ({"settings": {"accounts": {"acme": {"grok": {"token": "sk-live"}}}}}, "/settings/accounts/acme/grok/token"),
    ({"settings": {"accounts": {"ACME": {"openai": {"model": "m"}}}}}, "/settings/accounts"),
    ({"secrets": {"keys": {"accounts.acme.openai.model": "x"}}}, "/secrets/keys"),
    ({"secrets": {"keys": {"accounts.acme.api_key": "x"}}}, "/secrets/keys"),
    ({"settings": {"database": {"url": "postgresql://u:p@h/d"}}}, "database"),
    ({"settings": {"flows": ["x"]}}, "flows"),
    ({"settings": {"keep": {"records": 90}}}, "/settings/keep/records"),
    ({"settings": {"keep": {"records": "3 months"}}}, "/settings/keep/records"),
    ({"secrets": {"keys": {"max_calls": "x"}}}, "/secrets/keys"),
    ({"secrets": {"keys": {"voices.openai.model": "x"}}}, "/secrets/keys"),
    ({"secrets": {"values": {"openai": "sk-1"}}}, "values"),
    ({"secrets": {"externalSecret": {"data": [{"secretKey": "a"}]}}}, "remoteRef"),
    ({"asterisk": {"choices": {"users": []}}}, "users"),
    ({"asterisk": {"choices": {"trunks": [{"name": "a", "host": "b", "password": "tulips"}]}}}, "password"),
    ({"asterisk": {"choices": {"trunks": [{"name": "a"}]}}}, "host"),
    ({"asterisk": {"choices": {"phones": [{"name": "a"}]}}}, "password_file"),
    ({"flows": {"inline": {"prompts/a.md": "x"}}}, "/flows/inline"),
    ({"flows": {"items": [{"key": "a", "path": "../a"}]}}, "/flows/items/0/path"),
    ({"extraEnv": [{"name": "A"}]}, "/extraEnv/0"),
    ({"extraMounts": [{"name": "a", "mountPath": "/a"}]}, "/extraMounts/0"),
    ({"affinity": {"podAntiAffinty": {}}}, "podAntiAffinty"),
    ({"tolerations": [{"kye": "x"}]}, "kye"),
    ({"resources": {"limit": {}}}, "limit"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ({"persistence": {"size": "lots"}}, "/persistence/size"),
    ({"drainSeconds": -1}, "/drainSeconds"),
    ({"ingress": {"paths": []}}, "/ingress/paths"),
]

DO_NOT_FIT: list[tuple[dict[str, Any], str]] = [
    (joined(EXTERNAL, {"replicas": 2}), "replicas: mode external has one engine"),
    ({"mode": "external"}, "settings.asterisk.url: mode external needs"),
    ({"mode": "external", "settings": EXTERNAL["settings"]}, "secrets.keys: mode external needs"),
    ({"settings": {"asterisk": {"url": "http://x:8088"}}}, "settings.asterisk.url: mode bundled has its own"),
    ({"secrets": {"existingSecret": "s", "keys": {"asterisk.password": "a"}}}, "asterisk.password is made in the pod"),
    ({"persistence": {"existingClaim": "c"}}, "persistence.existingClaim: only with mode external"),
    ({"rtp": {"start": 20000, "end": 10000}}, "rtp.end: 10000 must be above"),
    ({"rtp": {"end": 10600}, "sip": {"exposure": "hostPort"}}, "rtp.end: hostPort lists each of the 601 ports"),
    ({"rtp": {"start": 5000, "end": 6000}}, "rtp: the range 5000-6000 holds port 5060"),
    ({"http": {"port": 8088}}, "http.port, asterisk.ariPort, sip.port and sip.tls.port must differ"),
    ({"sip": {"exposure": "loadBalancer"}}, "sip.loadBalancer.addresses: 0 given for 1 replicas"),
    ({"sip": {"exposure": "sbc", "externalAddress": "203.0.113.7"}}, "sip.externalAddress: not with sip.exposure sbc"),
    ({"sip": {"externalAddress": "203.0.113.7"}, "replicas": 2}, "sip.externalAddress: one address cannot be"),
    (
        {"asterisk": {"choices": {"phones": [{"name": "ann", "password_file": "/run/secrets/hookflash/ann"}]}}},
        "asterisk.choices: password_file of ann is a file of secrets.existingSecret",
    ),
    ({"networkPolicy": {"enabled": True}}, "networkPolicy.enabled: has no effect"),
    ({"sip": {"tls": {"ownAuthorities": True}}}, "sip.tls.existingSecret: sip.tls.ownAuthorities"),
    ({"asterisk": {"choices": {"teams": {}}}}, "sip.tls.existingSecret: Teams and trunks"),
    (
        {"asterisk": {"choices": {"trunks": [{"name": "a", "host": "b", "transport": "tls"}]}}},
        "sip.tls.existingSecret: Teams and trunks",
    ),
    ({"flows": {"inline": {"a": "b"}, "existingConfigMap": "c"}}, "flows.existingConfigMap: give either"),
    ({"flows": {"items": [{"key": "a", "path": "b"}]}}, "flows.items: names files of"),
    ({"secrets": {"existingSecret": "s", "externalSecret": {"enabled": True}}}, "secrets.existingSecret: give either"),
    ({"secrets": {"keys": {"voices.openai.api_key": "k"}}}, "secrets.existingSecret: secrets.keys names"),
    ({"secrets": {"externalSecret": {"enabled": True}}}, "secrets.externalSecret.store.name: which store?"),
    (
        {
            "secrets": {
                "externalSecret": {
                    "enabled": True,
                    "store": {"name": "v"},
                    "data": [{"secretKey": "other", "remoteRef": {"key": "x"}}],
                },
                "keys": {"voices.openai.api_key": "openai"},
            }
        },
        "secrets.keys: voices.openai.api_key is in the key openai, which",
    ),
    ({"ingress": {"enabled": True}}, "ingress.host: "),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: "),
    ({"replicas": 2, "ingress": PUBLISHED["ingress"]}, "replicas: not 2 with ingress or httpRoute"),
    ({"replicas": 3, "httpRoute": PUBLISHED["httpRoute"]}, "replicas: not 3 with ingress or httpRoute"),
    (
        joined(EXTERNAL, POLICY, {"settings": {"asterisk": {"media": "rtp"}}}),
        "networkPolicy.enabled: with settings.asterisk.media rtp Asterisk connects",
    ),
    (
        joined(EXTERNAL, POLICY, {"settings": {"asterisk": {"media": "audiosocket"}}}),
        "networkPolicy.enabled: with settings.asterisk.media audiosocket Asterisk connects",
    ),
    ({"prometheusRule": {"enabled": True}}, "prometheusRule.enabled: the alerts count"),
]


@pytest.mark.parametrize(("values", "said"), UNKNOWN_AND_MISTYPED, ids=[said for _, said in UNKNOWN_AND_MISTYPED])
def test_the_schema_names_what_is_unknown_or_of_the_wrong_kind(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as caught:
        texts(values)
    assert said in str(caught.value)


@pytest.mark.parametrize(("values", "said"), DO_NOT_FIT, ids=[said for _, said in DO_NOT_FIT])
def test_values_that_do_not_fit_together_are_named_with_a_cure(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        texts(values)
    assert said in str(caught.value)
