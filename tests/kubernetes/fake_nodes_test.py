"""The chart on a real control plane whose nodes, with eight GPUs each, are not there (level L1): what Kubernetes' own API server,
scheduler and controllers make of it, from install to uninstall. Nothing runs in these pods; kubelet_test.py is for that."""

import json
import os
import pathlib
import subprocess
import unittest

from cluster import Cluster
from kube import CHART, PATIENCE, Kube, is_ready, run, until

GPUS = 8  # Of a node.
EXAMPLES = CHART / "examples"
HAVE_NO_API = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}  # The kinds of others that this cluster does not have.
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def setUpModule():
    global cluster  # Its processes live as long as it is known.
    state = pathlib.Path(os.environ["UNMASK_CLUSTER_STATE"])
    cluster = Cluster(state, os.environ["UNMASK_CLUSTER_TOOLS"])
    cluster.add_fake_nodes(
        {"name": "cpu-0"},
        *[{"name": f"gpu-{i}", "gpus": GPUS, "taints": [TAINT], "labels": {"topology.kubernetes.io/rack": f"rack-{i // 2}"}} for i in range(4)])
    cluster.start_leader_worker_sets()
    run("kubectl", "create", "--filename", "-", input='{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", '
        '"metadata": {"name": "nvidia"}, "handler": "nvidia"}')


def gpus(pod):
    return int(pod["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))


def image(pod):
    return pod["spec"]["containers"][0]["image"]


class ChartTest(unittest.TestCase):
    """Each test has a namespace and a release of its own, and shows at its end that uninstalling leaves nothing of it."""

    values, security, number = EXAMPLES / "gpu.yaml", "restricted", 0

    def setUp(self):
        ChartTest.number += 1
        self.kube = Kube(f"test-{ChartTest.number}", self.security)
        self.claim("checkpoints", "ReadOnlyMany")
        self.volume("unmask-store", "ReadWriteOnce")
        before = self.kube.inventory()
        self.assertIn("persistentvolumeclaim/checkpoints", before)
        classes = run("kubectl", "get", "priorityclasses", "--output=name").stdout

        def uninstall():
            self.assertGreater(len(self.kube.inventory()), len(before) + 10)
            self.kube.helm("uninstall", "unmask", "--wait", limit=120)
            until(lambda: self.kube.inventory() == before, f"nothing is left but {before}")
            self.assertEqual(run("kubectl", "get", "priorityclasses", "--output=name").stdout, classes)
        self.addCleanup(uninstall)

    def volume(self, claim, mode):
        """A disk for a claim that is still to come."""
        run("kubectl", "create", "--filename", "-", input=f"""{{"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {{"name": "{self.kube.namespace}-{claim}"}}, "spec": {{"capacity": {{"storage": "20Gi"}}, "accessModes": ["{mode}"],
            "hostPath": {{"path": "/nowhere"}}, "claimRef": {{"namespace": "{self.kube.namespace}", "name": "{claim}"}}}}}}""")

    def claim(self, name, mode):
        self.volume(name, mode)
        self.kube.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
                         "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "20Gi"}}}})

    def install(self, *settings):
        self.kube.helm("install", "unmask", CHART, "--values", self.values, "--wait", "--timeout=200s", *settings, limit=120)

    def upgrade(self, *settings, **options):
        return self.kube.helm("upgrade", "unmask", CHART, "--reuse-values", "--wait", "--timeout=200s", *settings, limit=120, **options)


class FleetTest(ChartTest):
    def test_ranks_get_gpus_and_pods_are_secure(self):
        self.install()
        replicas = self.kube.pods("replica")
        self.assertEqual(self.kube.ready("replica"), [f"unmask-replica-{i}" for i in range(4)])
        self.assertEqual([gpus(pod) for pod in replicas.values()], [2] * 4)
        self.assertTrue(all(pod["spec"]["nodeName"].startswith("gpu-") for pod in replicas.values()))
        (coordinator,) = self.kube.pods("coordinator").values()
        self.assertEqual((coordinator["spec"]["nodeName"], gpus(coordinator)), ("cpu-0", 0))
        self.assertEqual(coordinator["spec"]["priority"], 100000)
        # That "restricted" is enforced here, and so has taken the chart's pods:
        refused = self.kube.kubectl("run", "careless", "--image=x", "--restart=Never", check=False)
        self.assertIn("violates PodSecurity", refused.stderr)

    def test_the_hook_decides_what_helm_test_says(self):
        self.install()
        self.kube.helm("test", "unmask", "--timeout=100s")
        self.upgrade("--set=image.tag=broken")
        failed = self.kube.helm("test", "unmask", "--timeout=100s", check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn("unmask-test-generate failed", failed.stderr)
        self.kube.kubectl("delete", "pod", "unmask-test-generate")  # It is left for its log, until the next test: no hook is part of a release.

    def test_replicas_are_replaced_one_at_a_time_and_back(self):
        self.install()
        was = {name: image(pod) for name, pod in self.kube.pods("replica").items()}
        watch = subprocess.Popen(["kubectl", "--namespace", self.kube.namespace, "get", "statefulset", "unmask-replica", "--watch",
                                  "--output=jsonpath={.status.readyReplicas}{\"\\n\"}"], stdout=subprocess.PIPE, text=True)
        try:
            self.upgrade("--set=image.tag=next")
            until(lambda: {image(pod) for pod in self.kube.pods("replica").values()} == {"registry.example.com/unmask:next"} and
                  len(self.kube.ready("replica")) == 4, "all are of the new image")
        finally:
            watch.kill()
        ready = [int(line or 0) for line in watch.communicate()[0].splitlines()]
        self.assertEqual(set(ready), {3, 4})  # It was seen at work, and took one at a time.
        self.kube.helm("rollback", "unmask", "--wait", "--timeout=200s", limit=120)
        until(lambda: {name: image(pod) for name, pod in self.kube.pods("replica").items()} == was, "the old image is back")
        history = self.kube.helm("history", "unmask", "--output=json").stdout
        self.assertEqual([revision["description"] for revision in json.loads(history)], ["Install complete", "Upgrade complete", "Rollback to 1"])

    def test_an_upgrade_that_cannot_be_placed_is_taken_back(self):
        self.install()
        failed = self.upgrade("--set=replicas.tensorParallel=64", "--atomic", "--timeout=20s", check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.assertTrue(any("Insufficient nvidia.com/gpu" in message for message in self.kube.events("FailedScheduling")))
        until(lambda: [gpus(pod) for pod in self.kube.pods("replica").values()] == [2] * 4 and len(self.kube.ready("replica")) == 4,
              "the old fleet is back")

    def test_more_replicas_than_gpus_wait_and_fewer_go(self):
        self.install()
        coordinator = self.kube.pods("coordinator")
        self.kube.helm("upgrade", "unmask", CHART, "--reuse-values", "--set=replicas.count=18")
        until(lambda: len(self.kube.ready("replica")) == 16, "as many as there are GPUs for")
        waits = until(lambda: self.kube.pods("replica").keys() - set(self.kube.ready("replica")), "the others wait")
        self.assertEqual(len(waits), 2)
        used = {}
        for pod in self.kube.pods("replica").values():
            used[pod["spec"].get("nodeName")] = used.get(pod["spec"].get("nodeName"), 0) + gpus(pod)
        self.assertEqual({node: count for node, count in used.items() if node}, {f"gpu-{i}": GPUS for i in range(4)})
        self.upgrade("--set=replicas.count=1")
        until(lambda: list(self.kube.pods("replica")) == ["unmask-replica-0"], "the highest numbers go")
        self.assertEqual(list(self.kube.pods("coordinator")), list(coordinator))  # It has stayed throughout.

    def test_a_drain_waits_for_the_other_replica(self):
        self.install("--set=replicas.count=2,replicas.tensorParallel=8")
        first, second = (pod["spec"]["nodeName"] for pod in self.kube.pods("replica").values())
        self.assertNotEqual(first, second)
        spare = sorted({f"gpu-{i}" for i in range(4)} - {first, second})
        run("kubectl", "cordon", *spare)
        self.addCleanup(run, "kubectl", "uncordon", first, second, *spare)

        def drain(node, timeout, **options):
            return run("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={timeout}", **options)
        drain(first, "60s")  # One may be missing,
        until(lambda: any(not is_ready(pod) for pod in self.kube.pods("replica").values()), "there is no place for it elsewhere")
        kept = {name: pod["metadata"]["uid"] for name, pod in self.kube.pods("replica").items() if is_ready(pod)}
        self.assertEqual(len(kept), 1)
        blocked = drain(second, f"{8 * PATIENCE:.0f}s", check=False)  # and so the other must stay.
        self.assertNotEqual(blocked.returncode, 0)
        self.assertIn("would violate the pod's disruption budget", blocked.stderr)
        self.assertEqual({name: pod["metadata"]["uid"] for name, pod in self.kube.pods("replica").items() if is_ready(pod)}, kept)
        run("kubectl", "uncordon", *spare)
        until(lambda: len(self.kube.ready("replica")) == 2, "the first is elsewhere")
        drain(second, "120s")
        until(lambda: sorted(pod["spec"].get("nodeName", "") for pod in self.kube.pods("replica").values()) == spare, "both have moved")

    def test_the_server_takes_every_values_file(self):
        self.install()
        unknown = set()
        for file in sorted(EXAMPLES.glob("*.yaml")):
            with self.subTest(values=file.name):
                manifests = self.kube.helm("template", "unmask", CHART, "--values", file, "--kube-version=1.36.0").stdout.split("\n---\n")
                for manifest in manifests:
                    kind = next((line.split()[1] for line in manifest.splitlines() if line.startswith("kind: ")), None)
                    if kind in HAVE_NO_API:
                        unknown.add(kind)
                    elif kind:
                        self.kube.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-",
                                          input=manifest.replace("name: unmask", "name: dry"))
        self.assertEqual(unknown, HAVE_NO_API)
        bad = self.kube.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", check=False,
                                input='{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "datta": {}}')
        self.assertIn('unknown field "datta"', bad.stderr)


class GroupTest(ChartTest):
    """Replicas over several nodes, by the LeaderWorkerSet controller."""

    values, security = EXAMPLES / "multi-node.yaml", "privileged"  # The example shows hostPath.
    tolerate = "--set-json=replicas.tolerations=[{\"key\":\"nvidia.com/gpu\",\"operator\":\"Exists\"}]"

    def install(self, *settings):
        super().install(self.tolerate, *settings)
        until(lambda: len(self.kube.ready("replica")) == 4, "two groups of two pods")

    def members(self):
        """{group: {pod name: (uid, rack)}}"""
        racks = {f"gpu-{i}": i // 2 for i in range(4)}
        groups = {}
        for name, pod in self.kube.pods("replica").items():
            group = pod["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/group-index"]
            groups.setdefault(group, {})[name] = (pod["metadata"]["uid"], racks.get(pod["spec"].get("nodeName")))
        return groups

    def test_a_group_has_a_rack_and_goes_as_one(self):
        self.install()
        before = self.members()
        self.assertEqual({group: sorted(pods) for group, pods in before.items()},
                         {i: [f"unmask-replica-{i}", f"unmask-replica-{i}-1"] for i in "01"})
        racks = [{rack for _, rack in pods.values()} for pods in before.values()]
        self.assertEqual(sorted(racks, key=str), [{0}, {1}])
        self.kube.kubectl("delete", "pod", "unmask-replica-0-1", "--wait=false")

        def anew():
            pods = self.members().get("0", {})
            return len(pods) == 2 and not {uid for uid, _ in pods.values()} & {uid for uid, _ in before["0"].values()}
        until(anew, "leader and worker are new ones")
        until(lambda: len(self.kube.ready("replica")) == 4, "the group is whole again")
        self.assertEqual(self.members()["1"], before["1"])

    def test_an_upgrade_keeps_the_key_and_replaces_groups(self):
        self.install()
        key = self.kube.get("secret", "unmask-launch")["data"]["key"]
        before = self.members()
        self.upgrade("--set=image.tag=next")

        def all_new():
            pods = self.kube.pods("replica").values()
            return len(self.kube.ready("replica")) == 4 and all(image(pod).endswith(":next") for pod in pods)
        until(all_new, "both groups are of the new image", limit=120)
        self.assertFalse({uid for pods in self.members().values() for uid, _ in pods.values()} &
                         {uid for pods in before.values() for uid, _ in pods.values()})
        self.assertEqual(self.kube.get("secret", "unmask-launch")["data"]["key"], key)
        self.assertGreaterEqual(len(key), 40)


if __name__ == "__main__":
    unittest.main(verbosity=2)
