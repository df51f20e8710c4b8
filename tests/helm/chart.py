"""Renders the chart, and looks for what would be wrong with the result: documents that Kubernetes would refuse, pods
that Pod Security "restricted" would, and names that lead nowhere."""

import functools
import importlib.resources
import json
import os
import pathlib
import subprocess

import jsonschema
import referencing
import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE.parents[1] / "helm/unmask"
VERSIONS = ("1.31", "1.34", "1.36")  # Of Kubernetes.


class Refused(Exception):
    """Helm's own message: of the schema, or of templates/_checks.tpl."""


def render(*values, chart=CHART, version=VERSIONS[-1], settings=()):
    """The documents of `helm template`, with values files and --set's."""
    command = [os.environ["HELM"], "template", "rel", str(chart), "--namespace", "ns", "--kube-version", version + ".0"]
    for file in values:
        command += ["--values", str(file)]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@functools.lru_cache(None)
def _registry(version):
    folder = importlib.resources.files("kubernetes_validate") / f"kubernetes-json-schema/v{version}.0-local-strict"
    definitions = referencing.Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    return folder, referencing.Registry().with_resource("_definitions.json", definitions)


@functools.lru_cache(None)
def _validator(version, kind, api_version):
    """For a kind as Kubernetes' own OpenAPI has it, or as custom.schema.json has it; unknown fields are errors."""
    group, _, number = api_version.rpartition("/")
    custom = json.loads((HERE / "custom.schema.json").read_text())
    if kind in custom["kinds"]:
        return jsonschema.Draft202012Validator(dict(custom, **{"$ref": f"#/kinds/{kind}"}))
    folder, registry = _registry(version)
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], number) if part)
    return jsonschema.Draft202012Validator(json.loads((folder / f"{name}.json").read_text()), registry=registry)


def invalid(document, version):
    """What Kubernetes' strict decoding would say."""
    try:
        validator = _validator(version, document["kind"], document["apiVersion"])
    except FileNotFoundError:
        return [f"{document['apiVersion']} {document['kind']} is unknown"]
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(document)]
    for template in pod_templates(document):
        if document["kind"] == "LeaderWorkerSet":  # Its schema says nothing about pods.
            found += invalid({"apiVersion": "v1", "kind": "Pod", **template}, version)
    return found


def pod_templates(document):
    """Every pod that a document makes."""
    spec = document.get("spec", {})
    if document["kind"] == "Pod":
        return [document]
    if document["kind"] == "LeaderWorkerSet":
        group = spec["leaderWorkerTemplate"]
        return [group[role] for role in ("leaderTemplate", "workerTemplate") if role in group]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return [spec["template"]] if "template" in spec else []


def insecure(template):
    """Breaches of Pod Security "restricted", and of our own: a read-only root, no token of the cluster's API."""
    spec, found = template["spec"], []
    pod = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            found.append(field)
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "image"}
    for volume in spec.get("volumes", []):
        found += [f"volume of type {kind}" for kind in volume if kind != "name" and kind not in allowed]
    if spec.get("automountServiceAccountToken") is not False:
        found.append("automountServiceAccountToken")
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        either = lambda field: own.get(field, pod.get(field))
        if own.get("privileged"):
            found.append("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or set(own["capabilities"].get("add", [])) - {"NET_BIND_SERVICE"}:
            found.append("capabilities")
        if either("runAsNonRoot") is not True or not either("runAsUser"):
            found.append("runAsNonRoot")
        if (either("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccompProfile")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append("readOnlyRootFilesystem")
        if any("hostPort" in port for port in container.get("ports", [])):
            found.append("hostPort")
    return found


def _labels(template):
    return template["metadata"]["labels"].items()


def dangling(documents):
    """Selectors that find no pod, ports and volumes that are not there."""
    pods = [pod for document in documents for pod in pod_templates(document)]
    found = []

    def select(who, labels):
        chosen = [pod for pod in pods if labels.items() <= _labels(pod)]
        if not chosen:
            found.append(f"{who} selects no pod")
        return chosen

    def port(who, chosen, name):
        for pod in chosen:
            if name not in {p["name"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}:
                found.append(f"{who} names the port {name}, which its pods lack")

    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        who = f"{kind} {document['metadata']['name']}"
        if kind == "Service":
            chosen = select(who, spec["selector"])
            for p in spec.get("ports", []):
                port(who, chosen, p["targetPort"])
        if kind == "PodDisruptionBudget":
            select(who, spec["selector"]["matchLabels"])
        if kind == "NetworkPolicy":
            chosen = select(who, spec["podSelector"]["matchLabels"])
            for rule in spec["ingress"]:
                for p in rule.get("ports", []):
                    port(who, chosen, p["port"])
        if kind in ("Deployment", "StatefulSet") and not spec["selector"]["matchLabels"].items() <= _labels(spec["template"]):
            found.append(f"{who} does not select its own pods")
        if kind == "StatefulSet" and ("Service", spec["serviceName"]) not in {(d["kind"], d["metadata"]["name"]) for d in documents}:
            found.append(f"{who} has no Service {spec['serviceName']}")
        if kind == "ServiceMonitor":
            services = [d for d in documents if d["kind"] == "Service" and
                        spec["selector"]["matchLabels"].items() <= d["metadata"]["labels"].items()]
            if [e["port"] for e in spec["endpoints"]] != [p["name"] for s in services for p in s["spec"]["ports"]]:
                found.append(f"{who} does not find exactly the Service of its port")
        for pod in pod_templates(document):
            volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
            mounted = {m["name"] for c in pod["spec"].get("initContainers", []) + pod["spec"]["containers"] for m in c["volumeMounts"]}
            if volumes != mounted:
                found.append(f"{who} has the volumes {sorted(volumes)} and mounts {sorted(mounted)}")
    return found


def faults(documents, version):
    """All of the above, one line each."""
    found = dangling(documents)
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        found += [f"{name}: {fault}" for fault in invalid(document, version)]
        found += [f"{name}: {fault}" for pod in pod_templates(document) for fault in insecure(pod)]
    return found
