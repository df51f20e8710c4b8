"""What tests say to a cluster: kubectl, helm, and waiting for what they caused."""

import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/unmask"
# Limits are for a machine that does nothing else; on a busy one they are multiplied.
PATIENCE = float(os.environ.get("UNMASK_PATIENCE", "4"))


def run(*command, limit=60, check=True, **options):
    """Output as text; a failure holds what was said."""
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit * PATIENCE, **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command[:12])} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def until(condition, what, limit=60, pause=0.2):
    """The first true value of `condition`; exceptions of commands count as false while there is time."""
    give_up, last = time.monotonic() + limit * PATIENCE, None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {limit * PATIENCE:.0f} s in vain: {what}; at last: {last}")
        time.sleep(pause)


class Kube:
    """A namespace of the cluster that $KUBECONFIG names, with the level of Pod Security that it enforces."""

    def __init__(self, namespace, security="restricted"):
        self.namespace = namespace
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": namespace, "labels": {"pod-security.kubernetes.io/enforce": security}}})
        until(lambda: self.get("serviceaccount", "default"), "the namespace's own service account")

    def kubectl(self, *words, **options):
        return run("kubectl", "--namespace", self.namespace, *words, **options)

    def helm(self, *words, **options):
        return run(os.environ["HELM"], "--namespace", self.namespace, *words, **options)

    def apply(self, *documents):
        return self.kubectl("apply", "--server-side", "--filename", "-", input="\n---\n".join(map(json.dumps, documents)))

    def get(self, kind, name=None, **labels):
        """One object, or the list of those with the labels (component="replica" for the chart's own)."""
        if name:
            return json.loads(self.kubectl("get", kind, name, "--output", "json").stdout)
        wanted = ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())
        return json.loads(self.kubectl("get", kind, "--output", "json", "--selector", wanted).stdout)["items"]

    def pods(self, component):
        """Those that are not on their way out, by name."""
        return {pod["metadata"]["name"]: pod for pod in self.get("pods", component=component)
                if "deletionTimestamp" not in pod["metadata"]}

    def ready(self, component):
        """Names of pods that are ready."""
        return sorted(name for name, pod in self.pods(component).items() if is_ready(pod))

    def events(self, reason):
        return [event["message"] for event in json.loads(
            self.kubectl("get", "events", "--output", "json", "--field-selector", f"reason={reason}").stdout)["items"]]

    def inventory(self):
        """Every object of the namespace but its own furniture, as KIND/NAME."""
        kinds = self.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").stdout.split()
        kinds = [kind for kind in kinds if kind.split(".")[0] not in ("events", "leases") and "metrics" not in kind]
        found = self.kubectl("get", ",".join(kinds), "--output=name", "--ignore-not-found").stdout.split()
        return sorted(name for name in found if name not in ("serviceaccount/default", "configmap/kube-root-ca.crt"))


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))
