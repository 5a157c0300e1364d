"""What must hold of the chart's objects whatever is chosen: nothing is unsafe, and every reference leads somewhere."""

from __future__ import annotations

from pathlib import Path

from rendering import NAME, Object, containers, pod_of, workload

CLOSED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def unsafe(found: list[Object]) -> list[str]:
    """What could become root, write where it should not, take a token, or run nobody knows what."""
    problems = []
    for each in found:
        pod = pod_of(each)
        if pod is None:
            continue
        spec = pod["spec"]
        security = spec["securityContext"]
        if not security["runAsNonRoot"] or security["runAsUser"] < 1 or security["runAsGroup"] < 1:
            problems.append(f"{each['kind']} may be root")
        if security["seccompProfile"] != {"type": "RuntimeDefault"}:
            problems.append(f"{each['kind']} may make any system call")
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        if forbidden := kinds - {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}:
            problems.append(f"{each['kind']} has volumes of the kind {forbidden}")
        if spec["automountServiceAccountToken"] or spec["enableServiceLinks"]:
            problems.append(f"{each['kind']} is told of the cluster")
        for container in containers(pod):
            image, _, tag = container["image"].rpartition(":")
            if not image or tag in ("", "latest"):
                problems.append(f"{container['name']} runs {container['image']}")
            if container["securityContext"] != CLOSED:
                problems.append(f"{container['name']} has {container['securityContext']}")
            if "memory" not in container["resources"]["limits"] or "cpu" in container["resources"]["limits"]:
                problems.append(f"{container['name']} has limits {container['resources']['limits']}")
    return problems


THEIRS = {
    "Secret": {"telephony-keys", "sip-certificate", "google-account", "calls-certificate", "registry"},
    "ConfigMap": {"our-flows", "company-ca", "site"},
}
"""What the values of the tests say to be there already."""


def dangling(found: list[Object]) -> list[str]:
    """References that lead to nothing."""
    there = {(each["kind"], each["metadata"]["name"]) for each in found}
    there |= {(kind, name) for kind, names in THEIRS.items() for name in names}
    there |= {("Secret", each["metadata"]["name"]) for each in found if each["kind"] == "ExternalSecret"}
    problems = [f"{each['kind']} twice: {each['metadata']['name']}" for each in found if found.count(each) > 1]
    for each in found:
        for kind, name in references(each):
            if (kind, name) not in there:
                problems.append(f"{each['kind']} {each['metadata']['name']} names {kind} {name}")
        if each["kind"] in ("Service", "NetworkPolicy", "PodDisruptionBudget"):
            problems += aimless(each, workload(found))
        if (pod := pod_of(each)) is not None:
            problems += loose(pod, each)
    return problems


def references(found: Object) -> list[tuple[str, str]]:
    """The objects that this one names."""
    names: list[tuple[str, str]] = []
    if (pod := pod_of(found)) is not None:
        for volume in pod["spec"].get("volumes", []):
            names += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
            names += [("Secret", volume["secret"]["secretName"])] if "secret" in volume else []
            claim = volume.get("persistentVolumeClaim")
            names += [("PersistentVolumeClaim", claim["claimName"])] if claim else []
        names += [("Secret", each["name"]) for each in pod["spec"].get("imagePullSecrets", [])]
        if "serviceAccountName" in pod["spec"]:
            names.append(("ServiceAccount", pod["spec"]["serviceAccountName"]))
        for container in containers(pod):
            for variable_ in container.get("env", []):
                for kind, source in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                    if source in variable_.get("valueFrom", {}):
                        names.append((kind, variable_["valueFrom"][source]["name"]))
    spec = found.get("spec", {})
    names += [("Service", spec["serviceName"])] if found["kind"] == "StatefulSet" else []
    if found["kind"] == "Ingress":
        names += [("Service", path["backend"]["service"]["name"]) for path in spec["rules"][0]["http"]["paths"]]
        names += [("Secret", each["secretName"]) for each in spec.get("tls", [])]
    if found["kind"] == "HTTPRoute":
        names += [("Service", each["name"]) for rule in spec["rules"] for each in rule["backendRefs"]]
    return names


def aimless(found: Object, engines: Object) -> list[str]:
    """A selector that finds no pod of ours, a port that none has."""
    spec, pod = found["spec"], engines["spec"]["template"]
    selector = dict(spec.get("selector") or spec["podSelector"])
    selector = selector.get("matchLabels", selector)
    ordinal = selector.pop("statefulset.kubernetes.io/pod-name", f"{NAME}-0").removeprefix(f"{NAME}-")
    problems = []
    if not selector.items() <= pod["metadata"]["labels"].items() or int(ordinal) >= engines["spec"]["replicas"]:
        problems.append(f"{found['kind']} {found['metadata']['name']} selects no pod")
    if found["kind"] == "Service":
        named = {port["name"] for container in containers(pod) for port in container.get("ports", [])}
        targets = {port["targetPort"] for port in spec["ports"]}
        unknown = {target for target in targets - named if isinstance(target, str)}
        problems += [f"Service {found['metadata']['name']} leads to the port {target}" for target in unknown]
        names = [port["name"] for port in spec["ports"]]
        problems += [f"a port of {found['metadata']['name']} twice"] if len(set(names)) < len(names) else []
    return problems


def loose(pod: Object, found: Object) -> list[str]:
    """Mounts without a volume, volumes that nobody mounts, files that are looked for where nothing is."""
    templates = found.get("spec", {}).get("volumeClaimTemplates", [])
    volumes = [each["name"] for each in pod["spec"].get("volumes", [])]
    volumes += [each["metadata"]["name"] for each in templates]
    mounts = [mount for container in containers(pod) for mount in container.get("volumeMounts", [])]
    mounted = {mount["name"] for mount in mounts}
    problems = [f"no volume {name}" for name in mounted - set(volumes)]
    problems += [f"nobody mounts {name}" for name in set(volumes) - mounted]
    problems += [f"volume {name} twice" for name in volumes if volumes.count(name) > 1]
    for container in containers(pod):
        folders = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        problems += [f"{folder} is mounted twice" for folder in folders if folders.count(folder) > 1]
        for each in container.get("env", []):
            path = each.get("value", "")
            if path.startswith("/") and str(Path(path).parent) not in folders:
                problems.append(f"{each['name']} of {container['name']}: nothing is mounted at {path}")
    return problems
