"""Writes what would else be written three times: the chart's values.schema.json and the table of values in its README.

values.yaml holds names, defaults and descriptions; `TYPES` below what each value may be; the engine's settings and the
choices for Asterisk come from the models that check them. `make chart` runs this; a test says when it was forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml
from pydantic import SecretStr

from asterisk.config import AsteriskConfig
from engine.settings import Settings, described

Schema = dict[str, Any]

CHART = Path(__file__).parent / "hookflash"
KUBERNETES = "v1.34.0-local-strict"
SECRETS = "/run/secrets/hookflash/"

# The chart itself sets these; a user's value would be overwritten or would break it.
OWN_SETTINGS = {"config", "name", "flows", "database", "http", "storage", "drain_timeout"}
OWN_CHOICES = {"application", "users", "http", "sip", "rtp_start", "rtp_end", "folders", "music", "container"}


def text(pattern: str | None = None) -> Schema:
    """A string, of this form."""
    return {"type": "string", "pattern": pattern} if pattern else {"type": "string"}


def one_of(*words: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(words)}


def whole(least: int, most: int) -> Schema:
    """A whole number between two."""
    return {"type": "integer", "minimum": least, "maximum": most}


def each(item: Schema) -> Schema:
    """A list of such."""
    return {"type": "array", "items": item}


def named(value: Schema, names: str | None = None) -> Schema:
    """A mapping with names of the user's choice (of this form) to such values."""
    if names is None:
        return {"type": "object", "additionalProperties": value}
    return {"type": "object", "patternProperties": {names: value}, "additionalProperties": False}


def shape(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """A mapping with these fields and no other."""
    found: Schema = {"type": "object", "additionalProperties": False, "properties": fields}
    return found | ({"required": list(required)} if required else {})


def kubernetes(kind: str) -> Schema:
    """One of Kubernetes' own types."""
    return {"$ref": f"#/$defs/{kind}"}


BOOL: Schema = {"type": "boolean"}
WORDS = named(text())
NAME = text(r"^$|^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
SHORT_NAME = text(r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$")
PORT = whole(1024, 65535)  # nobody in the pods is root, and only root may open others
NETWORK = text(r"^[0-9a-fA-F.:]+/\d{1,3}$")
ADDRESS = text(r"^$|^(\d{1,3}\.){3}\d{1,3}$|^[0-9a-fA-F:]+:[0-9a-fA-F:]+$")
PULL = one_of("Always", "IfNotPresent", "Never")
# "latest" says nothing of what runs, and an upgrade to it changes nothing.
TAG = {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{0,128}$", "not": {"const": "latest"}}
DIGEST = text(r"^$|^sha256:[0-9a-f]{64}$")
IMAGE_NAME = text(r"^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?$")
FILE = text(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")
KEY = text(r"^[A-Za-z0-9._-]+$")
_SECRET = r"([a-z0-9_]+_)?(key|token|secret|password|credentials)"
SECRETS_OF_ENGINE = [path for path, field in described() if field.annotation is SecretStr]
_NAMES = "|".join(re.escape(".".join(path)) for path in sorted(SECRETS_OF_ENGINE))
_ACCOUNT = "[a-z][a-z0-9_]*"
SECRET_SETTING = rf"^({_NAMES}|(accounts\.{_ACCOUNT}|voices)\.[a-z0-9-]+\.{_SECRET})$"
ONE_FIELD = {"minProperties": 1, "maxProperties": 1}
REFERENCE = shape(("name", "key"), name=NAME, key=KEY)
DURATION = text(r"^[0-9]+(s|m|h)$")
PATHS = each(text(r"^/[^\s]*$")) | {"minItems": 1}

TYPES: dict[str, Schema] = {
    "mode": one_of("bundled", "external"),
    "replicas": whole(0, 100),
    "nameOverride": NAME,
    "fullnameOverride": NAME,
    "commonLabels": WORDS,
    "imagePullSecrets": each(NAME),
    "image.repository": IMAGE_NAME,
    "image.tag": TAG,
    "image.digest": DIGEST,
    "image.pullPolicy": PULL,
    "drainSeconds": whole(0, 86400),
    "secrets.existingSecret": NAME,
    "secrets.keys": named(KEY, SECRET_SETTING),
    "secrets.externalSecret.enabled": BOOL,
    "secrets.externalSecret.store.name": NAME,
    "secrets.externalSecret.store.kind": one_of("SecretStore", "ClusterSecretStore"),
    "secrets.externalSecret.refreshInterval": DURATION,
    "secrets.externalSecret.data": each(
        shape(
            ("secretKey", "remoteRef"),
            secretKey=KEY,
            remoteRef=shape(("key",), key=text(), property=text(), version=text()),
        )
    ),
    "flows.inline": named(text(), r"^[A-Za-z0-9._-]+$"),
    "flows.existingConfigMap": NAME,
    "flows.items": each(shape(("key", "path"), key=KEY, path=FILE)),
    "flows.check": BOOL,
    "asterisk.image.repository": IMAGE_NAME,
    "asterisk.image.tag": TAG,
    "asterisk.image.digest": DIGEST,
    "asterisk.image.pullPolicy": PULL,
    "asterisk.ariPort": PORT,
    "asterisk.resources": kubernetes("ResourceRequirements"),
    "sip.exposure": one_of("hostNetwork", "hostPort", "loadBalancer", "sbc"),
    "sip.port": PORT,
    "sip.tls.existingSecret": NAME,
    "sip.tls.ownAuthorities": BOOL,
    "sip.tls.port": PORT,
    "sip.externalAddress": ADDRESS,
    "sip.localNetworks": each(NETWORK),
    "sip.loadBalancer.addresses": each(ADDRESS | {"minLength": 1}),
    "sip.loadBalancer.annotations": WORDS,
    "sip.loadBalancer.class": text(),
    "sip.loadBalancer.sourceRanges": each(NETWORK),
    "rtp.start": PORT,
    "rtp.end": PORT,
    "persistence.enabled": BOOL,
    "persistence.existingClaim": NAME,
    "persistence.storageClass": NAME,
    "persistence.size": text(r"^[0-9]+(Mi|Gi|Ti)$"),
    "persistence.accessModes": each(one_of("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")) | {"minItems": 1},
    "http.port": PORT,
    "resources": kubernetes("ResourceRequirements"),
    "runAs.user": whole(1, 2**31 - 1),
    "runAs.group": whole(1, 2**31 - 1),
    "extraEnv": each(
        shape(
            ("name",),
            name=text(r"^[A-Za-z_][A-Za-z0-9_]*$"),
            value=text(),
            valueFrom=shape(secretKeyRef=REFERENCE, configMapKeyRef=REFERENCE) | ONE_FIELD,
        )
        | {"oneOf": [{"required": ["value"]}, {"required": ["valueFrom"]}]}
    ),
    "extraMounts": each(
        shape(("name", "mountPath"), name=SHORT_NAME, configMap=NAME, secret=NAME, mountPath=text("^/[^:]+$"))
        | {"oneOf": [{"required": ["configMap"]}, {"required": ["secret"]}]}
    ),
    "podAnnotations": WORDS,
    "podLabels": WORDS,
    "nodeSelector": WORDS,
    "tolerations": each(kubernetes("Toleration")),
    "affinity": kubernetes("Affinity"),
    "topologySpreadConstraints": each(kubernetes("TopologySpreadConstraint")),
    "priorityClassName": NAME,
    "serviceAccount.create": BOOL,
    "serviceAccount.name": NAME,
    "serviceAccount.annotations": WORDS,
    "podDisruptionBudget.enabled": BOOL,
    "podDisruptionBudget.maxUnavailable": whole(1, 100),
    "networkPolicy.enabled": BOOL,
    "networkPolicy.http.cidrs": each(NETWORK),
    "networkPolicy.http.namespaces": each(NAME),
    "networkPolicy.sip.cidrs": each(NETWORK),
    "networkPolicy.sip.namespaces": each(NAME),
    "networkPolicy.egressTo": each(NETWORK),
    "serviceMonitor.enabled": BOOL,
    "serviceMonitor.interval": DURATION,
    "serviceMonitor.labels": WORDS,
    "prometheusRule.enabled": BOOL,
    "prometheusRule.labels": WORDS,
    "dashboard.enabled": BOOL,
    "dashboard.labels": WORDS,
    "ingress.enabled": BOOL,
    "ingress.className": NAME,
    "ingress.annotations": WORDS,
    "ingress.host": text(r"^$|^[a-z0-9.*-]+$"),
    "ingress.paths": PATHS,
    "ingress.tlsSecret": NAME,
    "httpRoute.enabled": BOOL,
    "httpRoute.annotations": WORDS,
    "httpRoute.parentRefs": each(shape(("name",), name=NAME, namespace=NAME, sectionName=NAME, port=whole(1, 65535))),
    "httpRoute.hostnames": each(text(r"^[a-z0-9.*-]+$")),
    "httpRoute.paths": PATHS,
}


def settings() -> Schema:
    """The settings file without secrets and without what the chart sets."""
    whole_schema = Settings.model_json_schema()
    found = _resolved(whole_schema, whole_schema["$defs"])
    properties = {name: field for name, field in found["properties"].items() if name not in OWN_SETTINGS}
    for *groups, last in SECRETS_OF_ENGINE:
        node = properties
        for group in groups:
            node = node.get(group, {}).get("properties", {})
        node.pop(last, None)
    properties = {name: field for name, field in properties.items() if field.get("properties") != {}}
    secret = r"(^|_)(key|token|secret|password|credentials)(_file)?$"
    voice = named({"type": ["string", "number", "boolean"]}) | {"patternProperties": {secret: False}}
    properties["voices"] = named(voice)
    # An account may have its key in a file of extraMounts: there may be many, and not all in one Secret.
    tenants = named({"type": ["string", "number", "boolean"]})
    tenants["patternProperties"] = {secret.replace("(_file)?", ""): False}
    properties["accounts"] = named(named(tenants), f"^{_ACCOUNT}$")
    return {**found, "properties": properties}


def choices() -> Schema:
    """What `hookflash asterisk-config --choices` takes, with passwords in files and without what the chart sets."""
    whole_schema = AsteriskConfig.model_json_schema()
    found = _resolved(whole_schema, whole_schema["$defs"])
    del found["required"]
    properties = {name: field for name, field in found["properties"].items() if name not in OWN_CHOICES}
    for group in ("trunks", "phones"):
        item = properties[group]["items"]
        del item["properties"]["password"]
        item["properties"]["password_file"] = text(f"^{SECRETS}[A-Za-z0-9._-]+$")
        item["required"] = [name.replace("password", "password_file") for name in item["required"]]
    return {**found, "properties": properties}


def _resolved(node: Any, definitions: Schema) -> Any:
    """Pydantic's schema with its references filled in, and without titles and defaults."""
    if isinstance(node, list):
        return [_resolved(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _resolved(definitions[node["$ref"].rpartition("/")[2]], definitions)
    kept = {name: value for name, value in node.items() if name not in ("default", "$defs")}
    kept = {name: value for name, value in kept.items() if name != "title" or isinstance(value, dict)}
    if kept.get("format") in ("path", "file-path", "password"):
        del kept["format"]
    if "allOf" in kept and len(kept["allOf"]) == 1:
        kept |= kept.pop("allOf")[0]
    return {name: _resolved(value, definitions) for name, value in kept.items()}


def definitions(*kinds: str) -> Schema:
    """Kubernetes' own types, closed, with all that they use."""
    file = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / KUBERNETES / "_definitions.json"
    known = json.loads(file.read_text("utf-8"))["$defs"]
    ours = [name for name in known if re.search(r"\.core\.v1\.|\.meta\.v1\.|\.resource\.Quantity$", name)]
    long = {name.rpartition(".")[2]: name for name in ours}
    found: Schema = {}
    wanted = list(kinds)
    while wanted:
        kind = wanted.pop()
        if kind not in found:
            body = json.dumps(_undescribed(known[long[kind]]))
            wanted += re.findall(r'"\$ref": "[^"]*\.(\w+)"', body)
            found[kind] = json.loads(re.sub(r'"\$ref": "[^"]*\.(\w+)"', r'"$ref": "#/$defs/\1"', body))
    return dict(sorted(found.items()))


def _undescribed(node: Any) -> Any:
    if isinstance(node, list):
        return [_undescribed(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _undescribed(value)
        for name, value in node.items()
        if not (name.startswith("x-kubernetes") or (name in ("description", "format") and isinstance(value, str)))
    }


def explained(values: str) -> Iterator[tuple[str, str]]:
    """(name of a value, its description): the comment above it in values.yaml. Groups have none."""
    path: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        if found := re.match(r"^( *)# (.*)", line):
            comment.append(found[2])
        elif found := re.match(r"^( *)([A-Za-z]+):", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if comment:
                yield ".".join(path), " ".join(comment)
            comment = []


def schema(values: str) -> Schema:
    """The whole values.schema.json."""
    types = TYPES | {"settings": settings(), "asterisk.choices": choices()}
    # Charts that have this one in them hand their `global` down.
    root = shape(**{"global": {"type": "object", "description": "Not used."}})
    for name, description in explained(values):
        node = root
        *groups, last = name.split(".")
        for group in groups:
            node = node["properties"].setdefault(group, shape())
        node["properties"][last] = {"description": description} | types.pop(name)
    if types:
        raise KeyError(f"values.yaml says nothing of {sorted(types)}")
    kinds = ("ResourceRequirements", "Toleration", "Affinity", "TopologySpreadConstraint")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of the chart hookflash"}
    return head | root | {"$defs": definitions(*kinds)}


def table(values: str) -> str:
    """The README's table: every value, its default and its meaning."""
    defaults = yaml.safe_load(values)
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for name, description in explained(values):
        value = defaults
        for part in name.split("."):
            value = value[part]
        shown = json.dumps(value, ensure_ascii=False) if value not in ("", [], {}) else ""
        rows.append(f"| `{name}` | {f'`{shown}`' if shown else ''} | {description.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def readme(text_: str, values: str) -> str:
    """The README with its table made anew."""
    begin, end = "<!-- values: made by `make chart` -->\n", "\n<!-- end of values -->"
    head, _, rest = text_.partition(begin)
    return head + begin + table(values) + end + rest.partition(end)[2]


def files() -> dict[Path, str]:
    """What each file should hold."""
    values = (CHART / "values.yaml").read_text("utf-8")
    page = CHART / "README.md"
    return {
        CHART / "values.schema.json": json.dumps(schema(values), indent=1, ensure_ascii=False) + "\n",
        page: readme(page.read_text("utf-8"), values),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, "utf-8")
