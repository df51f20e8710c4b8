"""An operator's first hour with the chart on a real kubelet, by the commands of helm/README.md and of the notes that helm prints. Writes what
was typed and what came back to docs/kubernetes-walk.md; ends badly if a command does."""

import os
import pathlib
import re
import subprocess
import time

from kube import CHART, PATIENCE, ROOT, Kube, until
from release import IMAGE, VERSION, cluster

NAMESPACE = "models"
# Of one line each, as an operator types them; {…} is said beside what comes back.
STEPS = [
    ("Nothing but the chart and an image that the nodes can pull. The default is the embedded model on CPUs: one coordinator, one replica.", [
        "helm install unmask helm/unmask --set image.repository=localhost/unmask --set replicas.resources.requests.cpu=100m --wait --timeout 10m",
        "kubectl get pods,services,poddisruptionbudgets,networkpolicies"]),
    ("The next commands are those of the notes above.", [
        "kubectl rollout status deployment/unmask-coordinator",
        "helm test unmask --timeout 10m",
        'kubectl exec deploy/unmask-coordinator -- unmask generate --server 127.0.0.1:50051 --gen-length 48 --seed 7 "What is a diffusion language model?"',
        "kubectl exec deploy/unmask-coordinator -- unmask status --server 127.0.0.1:50051"]),
    ("More replicas: they dial in by themselves.", [
        "helm upgrade unmask helm/unmask --reuse-values --set replicas.count=3 --wait --timeout 10m >/dev/null",
        "kubectl rollout status statefulset/unmask-replica --timeout 10m",
        "kubectl exec deploy/unmask-coordinator -- unmask status --server 127.0.0.1:50051"]),
    ("Another version (here the same image under another tag): replicas one by one, the coordinator as a whole.", [
        "helm upgrade unmask helm/unmask --reuse-values --set image.tag=next --wait --timeout 10m >/dev/null",
        "kubectl rollout status statefulset/unmask-replica --timeout 10m",
        "kubectl get pods -o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[0].image,READY:.status.containerStatuses[0].ready",
        'kubectl exec deploy/unmask-coordinator -- unmask generate --server 127.0.0.1:50051 --gen-length 48 --seed 7 "What is a diffusion language model?"',
        "helm history unmask"]),
    ("What goes wrong when typed wrong.", [
        "! helm upgrade unmask helm/unmask --reuse-values --set replicas.cuont=4",
        "! helm upgrade unmask helm/unmask --reuse-values --set replicas.tensorParallel=3,replicas.nodes=2"]),
    ("And back, and away.", [
        "helm rollback unmask 2 --wait --timeout 10m",
        "kubectl rollout status statefulset/unmask-replica --timeout 10m",
        "helm uninstall unmask --wait",
        "kubectl get all,secrets,networkpolicies,poddisruptionbudgets"]),
]


def typed(kube, command):
    """Exit code and what came back, with nothing that changes from run to run but for times and addresses."""
    wrong = command.startswith("! ")
    if command.startswith("kubectl get all"):  # Helm waits for its own objects, not for the pods of those.
        until(lambda: not kube.get("pods"), "all pods have ended", limit=120)
    begin = time.time()
    done = subprocess.run(["bash", "-c", command.removeprefix("! ")], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=700 * PATIENCE)
    assert wrong == bool(done.returncode), f"{command} ended with {done.returncode}: {done.stdout}"
    return f"$ {command.removeprefix('! ')}\n{done.stdout.rstrip()}\n# {time.time() - begin:.0f} s\n"


def main():
    cluster()
    kube = Kube(NAMESPACE)
    before = kube.inventory()
    links = cluster().folder / "bin"
    links.mkdir()
    (links / "helm").symlink_to(os.environ["HELM"])
    os.environ["PATH"] = f"{links}:{os.environ['PATH']}"
    os.environ["HELM_NAMESPACE"] = NAMESPACE
    subprocess.run(["kubectl", "config", "set-context", "--current", f"--namespace={NAMESPACE}"], check=True, stdout=subprocess.DEVNULL)
    parts = []
    for story, commands in STEPS:
        said = "\n".join(typed(kube, command) for command in commands)
        parts.append(f"{story}\n\n```console\n{said}```\n")
        print(said, flush=True)
    text = "\n".join(parts)
    answers = re.findall(r"--seed 7 .*\n((?:.|\n)*?)\n# ", text)
    assert len(answers) == 2 and answers[0] == answers[1], f"the same seed after an upgrade: {answers}"
    assert "No resources found" in text.split("helm uninstall")[1]
    until(lambda: kube.inventory() == before, "nothing is left")
    version = subprocess.run(["kubectl", "version"], capture_output=True, text=True).stdout.split("Server Version: ")[1].strip()
    (ROOT / "docs/kubernetes-walk.md").write_text(f"""# A first hour on Kubernetes, as it went

Written by `scripts/test-cluster.sh walk`, and not touched since: a kubelet {version} with containerd on one machine of two cores (kept busy by
other work), Pod Security `restricted` enforced, the image {IMAGE} of `scripts/image.sh` on the node. Times are what a command took.

{text}""")


if __name__ == "__main__":
    main()
