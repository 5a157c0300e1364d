"""What the objects look like that Kubernetes itself does not know: no more than the chart may write.

After the definitions of external-secrets.io/v1, monitoring.coreos.com/v1 and gateway.networking.k8s.io/v1.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
WORDS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Schema = {"type": "string", "pattern": r"^[0-9]+(s|m|h)$"}


def _closed(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def _object(version: str, kind: str, spec: Schema) -> Schema:
    metadata = _closed(["name", "labels"], name=TEXT, labels=WORDS, annotations=WORDS)
    return _closed(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": version}, kind={"const": kind}, metadata=metadata, spec=spec,
    )  # fmt: skip


_REFERENCE = _closed(["key"], key=TEXT, property=TEXT, version=TEXT)
_RULE = _closed(
    ["alert", "expr", "labels", "annotations"],
    alert={"type": "string", "pattern": "^Hookflash[A-Z][A-Za-z]+$"}, expr=TEXT, labels=WORDS, annotations=WORDS,
    **{"for": DURATION},
)  # fmt: skip
_PATH = _closed(["type", "value"], type={"enum": ["Exact", "PathPrefix"]}, value={"type": "string", "pattern": "^/"})

CRDS: dict[str, Schema] = {
    "ExternalSecret": _object(
        "external-secrets.io/v1",
        "ExternalSecret",
        _closed(
            ["refreshInterval", "secretStoreRef", "target", "data"],
            refreshInterval=DURATION,
            secretStoreRef=_closed(["name", "kind"], name=TEXT, kind={"enum": ["SecretStore", "ClusterSecretStore"]}),
            target=_closed(["name", "creationPolicy"], name=TEXT, creationPolicy={"const": "Owner"}),
            data=_list(_closed(["secretKey", "remoteRef"], secretKey=TEXT, remoteRef=_REFERENCE)),
        ),
    ),
    "ServiceMonitor": _object(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _closed(
            ["selector", "endpoints"],
            selector=_closed(["matchLabels"], matchLabels=WORDS),
            endpoints=_list(
                _closed(["port", "path", "interval"], port=TEXT, path={"const": "/metrics"}, interval=DURATION)
            ),
        ),
    ),
    "PrometheusRule": _object(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        _closed(["groups"], groups=_list(_closed(["name", "rules"], name=TEXT, rules=_list(_RULE)))),
    ),
    "HTTPRoute": _object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        _closed(
            ["parentRefs", "hostnames", "rules"],
            parentRefs=_list(_closed(["name"], name=TEXT, namespace=TEXT, sectionName=TEXT, port={"type": "integer"})),
            hostnames=_list(TEXT),
            rules=_list(
                _closed(
                    ["matches", "backendRefs"],
                    matches=_list(_closed(["path"], path=_PATH)),
                    backendRefs=_list(_closed(["name", "port"], name=TEXT, port={"type": "integer"})),
                )
            ),
        ),
    ),
}
