"""The chart, rendered by Helm's own code, as the tests of it need it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "helm" / "hookflash"
NAMESPACE = "telephony"
RELEASE = "acme"
NAME = "acme-hookflash"

Values = dict[str, Any]
Object = dict[str, Any]


@cache
def chart() -> helm_python.Chart:
    """The chart, read once for each process."""
    return helm_python.Chart.load(CHART)


def texts(values: Mapping[str, Any] | None = None, **options: Any) -> dict[str, str]:
    """What Helm makes of these values: by template, NOTES and hooks too. Raises helm_python.HelmError."""
    return chart().render(dict(values or {}), name=RELEASE, namespace=NAMESPACE, **{"is_install": True, **options})


def objects(values: Mapping[str, Any] | None = None, **options: Any) -> list[Object]:
    """Every object of the cluster that these values give."""
    return [
        found
        for path, text in texts(values, **options).items()
        if not path.endswith("NOTES.txt")
        for found in yaml.safe_load_all(text)
        if found
    ]


def notes(values: Mapping[str, Any] | None = None, **options: Any) -> str:
    """What Helm says after an installation."""
    return next(text for path, text in texts(values, **options).items() if path.endswith("NOTES.txt"))


def only(found: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of this kind (and name)."""
    (one,) = [each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return one


def workload(found: list[Object]) -> Object:
    """The StatefulSet or Deployment."""
    return next(each for each in found if each["kind"] in ("StatefulSet", "Deployment"))


def pod_of(found: Object) -> Object | None:
    """The pod that an object makes: its spec with its metadata; None for what makes none."""
    if found["kind"] == "Pod":
        return found
    template: Object | None = found.get("spec", {}).get("template") if found["kind"] != "ExternalSecret" else None
    return template


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, those that initialise it first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def joined(*parts: Mapping[str, Any]) -> Values:
    """Values laid over one another, as several -f of Helm are."""
    found: Values = {}
    for part in parts:
        _lay(found, part)
    return found


def _lay(below: Values, above: Mapping[str, Any]) -> None:
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(name), dict):
            _lay(below[name], value)
        else:
            below[name] = copy.deepcopy(value)


# ── What an operator may choose ───────────────────────────────────────────────────────────────────────────────────────

MODES: dict[str, Values] = {
    "host network": {"sip": {"exposure": "hostNetwork"}},
    "host port": {"sip": {"exposure": "hostPort"}, "rtp": {"start": 10000, "end": 10099}},
    "load balancer": {
        "replicas": 2,
        "sip": {"exposure": "loadBalancer", "loadBalancer": {"addresses": ["203.0.113.7", "203.0.113.8"]}},
        "rtp": {"start": 10000, "end": 10099},
    },
    "SBC": {"sip": {"exposure": "sbc"}, "replicas": 3},
    "external": {
        "mode": "external",
        "settings": {"asterisk": {"url": "https://pbx.example.com:8089", "app": "hookflash"}},
        "secrets": {"existingSecret": "telephony-keys", "keys": {"asterisk.password": "ari"}},
    },
}

KEYS = {"voices.openai.api_key": "openai", "database.url": "database"}
STORE: Values = {
    "enabled": True,
    "store": {"name": "vault", "kind": "ClusterSecretStore"},
    "data": [{"secretKey": key, "remoteRef": {"key": f"telephony/{key}"}} for key in ("openai", "database", "ari")],
}
FLOW = "flow: acme/hello\nsteps:\n  - answer: {}\n  - hangup: {}\n"

OPTIONS: dict[str, dict[str, Values]] = {
    "secrets": {
        "none": {},
        "existing": {"secrets": {"existingSecret": "telephony-keys", "keys": KEYS}},
        "external": {"secrets": {"existingSecret": "", "externalSecret": STORE, "keys": KEYS}},
    },
    "flows": {
        "none": {},
        "inline": {"flows": {"inline": {"hello.flow.yaml": FLOW}}},
        "existing": {
            "flows": {
                "existingConfigMap": "our-flows",
                "items": [{"key": "a.flow.yaml", "path": "a.flow.yaml"}, {"key": "p.md", "path": "prompts/p.md"}],
                "check": False,
            }
        },
    },
    "storage": {
        "volume": {"persistence": {"storageClass": "fast", "size": "50Gi"}},
        "none": {"persistence": {"enabled": False}},
    },
    "certificate": {
        "none": {},
        "Teams": {
            "sip": {"tls": {"existingSecret": "sip-certificate"}, "localNetworks": ["10.0.0.0/8"]},
            "asterisk": {
                "choices": {
                    "teams": {"domain": "sbc.acme.example"},
                    "trunks": [
                        {"name": "carrier", "host": "sip.carrier.example", "match": ["203.0.113.0/24"]},
                        {
                            "name": "dialer", "host": "dialer.example", "transport": "tls", "username": "acme",
                            "password_file": "/run/secrets/hookflash/dialer", "register_with_peer": True,
                        },
                    ],
                    "fallback": {"endpoint": "PJSIP/reception@carrier"},
                }
            },
        },
    },
    "cluster": {
        "plain": {},
        "everything": {
            "commonLabels": {"team": "telephony"},
            "imagePullSecrets": ["registry"],
            "image": {"digest": "sha256:" + "a" * 64},
            "asterisk": {"image": {"tag": "22.10.1"}},
            "settings": {"voice": "openai", "max_calls": 150, "log": {"numbers": False},
                         "voices": {"openai": {"model": "gpt-realtime"}}},
            "extraEnv": [
                {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
                {"name": "TZ", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "zone"}}},
            ],
            "extraMounts": [
                {"name": "authorities", "configMap": "company-ca", "mountPath": "/etc/company"},
                {"name": "google", "secret": "google-account", "mountPath": "/etc/google"},
            ],
            "podLabels": {"tier": "voice"},
            "nodeSelector": {"telephony": "yes"},
            "tolerations": [{"key": "telephony", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}]}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
                 "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": RELEASE}}}],
            "priorityClassName": "telephony",
            "serviceAccount": {"name": "telephony", "annotations": {"a": "b"}},
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": True},
        },
    },
}  # fmt: skip
PUBLISHED: Values = {
    "ingress": {"enabled": True, "host": "calls.acme.example", "className": "nginx", "annotations": {"a": "b"},
                "tlsSecret": "calls-certificate"},
    "httpRoute": {"enabled": True, "hostnames": ["calls.acme.example"],
                  "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}]},
}  # fmt: skip
"""For one engine alone: a request must reach the one whose calls it is about."""
POLICY: Values = {
    "networkPolicy": {
        "enabled": True,
        "http": {"namespaces": ["monitoring", "ingress"]},
        "sip": {"cidrs": ["203.0.113.0/24"]},
        "egressTo": ["0.0.0.0/0"],
    }
}


def matrix() -> Iterator[tuple[str, Values]]:
    """Every mode with every combination of options: (what it is, its values)."""
    combinations: list[tuple[str, Values]] = list(MODES.items())
    for option, kinds in OPTIONS.items():
        combinations = [
            (f"{name}, {option} {kind}", joined(values, chosen))
            for name, values in combinations
            for kind, chosen in kinds.items()
        ]
    for name, values in combinations:
        exposed = values.get("sip", {}).get("exposure") != "hostNetwork"
        if "everything" in name and (exposed or values.get("mode") == "external"):
            values = joined(values, POLICY)
        if "everything" in name and values.get("replicas", 1) == 1:
            values = joined(values, PUBLISHED)
        if "secrets none, " in name and "certificate Teams" in name:
            continue  # a trunk's password is in the Secret
        yield name, values
