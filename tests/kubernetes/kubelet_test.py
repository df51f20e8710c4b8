"""The chart with the project's own image on a real kubelet with containerd (level L2): it serves, and what Kubernetes or chance does to its
pods costs no request and changes no text."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import node
from kube import PATIENCE, ROOT, is_ready, run, until
from release import BIN, HERE, Callers, Load, ReleaseTest

VICTIM = "unmask-replica-0"


def containers(pod):
    return {c["name"]: (c["containerID"], c["restartCount"]) for c in pod["status"]["containerStatuses"]}


class ServiceTest(ReleaseTest):
    def another(self, uid):
        until(lambda: (pod := self.release.pods("replica").get(VICTIM)) and pod["metadata"]["uid"] != uid, "another pod in its place", limit=300)

    def test_it_generates_over_the_service_and_by_name(self):
        ask = ["unmask", "generate", "--json", "--gen-length=16", "--seed=1", "Once upon a time", "--server"]
        here = json.loads(run(BIN / ask[0], *ask[1:], self.release.server).stdout)
        self.assertTrue(here["text"])
        inside = json.loads(self.release.kubectl("exec", "deploy/unmask-coordinator", "--", *ask, "unmask:50051").stdout)
        self.assertEqual((inside["text"], inside["numerics"]), (here["text"], here["numerics"]))
        self.release.helm("test", "unmask", f"--timeout={200 * PATIENCE:.0f}s", limit=210)

    def test_a_killed_worker_process_costs_nothing(self):
        drill = next(line.split("`")[1] for line in (ROOT / "docs/kubernetes.md").read_text().splitlines() if "grep -qs unmask-worker" in line)
        command = drill.replace("RELEASE-unmask", "unmask").replace("kubectl exec unmask-replica-0 -- sh -c ", "").strip("'")
        pod = self.release.pods("replica")[VICTIM]
        before = {pid for pid, name in node.processes(pod).items() if name == "unmask-worker"}
        self.assertEqual(len(before), 2)
        with Callers(self.release, self.calm) as callers:
            self.release.stop_at_work(VICTIM, pod)
            self.release.kubectl("exec", VICTIM, "--", "sh", "-c", command, check=False)  # It ends as its last grep does.
            until(lambda: len({pid for pid, name in node.processes(pod).items() if name == "unmask-worker"} - before) == 2, "new ranks")
            self.whole()
        self.assertGreater(callers.replays(), 0)
        self.assertEqual(containers(self.release.pods("replica")[VICTIM]), containers(pod))  # The supervisor did it, not Kubernetes.

    def test_a_pod_whose_machine_dies_costs_nothing(self):
        pod = self.release.pods("replica")[VICTIM]
        with Callers(self.release, self.calm) as callers:
            self.release.stop_at_work(VICTIM, pod)
            killed = node.kill(pod)
            self.assertLessEqual({"program", "tini", "unmask", "mpirun", "unmask-worker"}, set(killed.values()))  # The sandbox's too.
            until(lambda: (c := self.release.pods("replica")[VICTIM]) and containers(c) != containers(pod) and is_ready(c), "it is back", limit=180)
            self.whole()
        self.assertGreater(callers.replays(), 0)

    def test_a_pod_deleted_by_force_costs_nothing(self):
        uid = self.release.pods("replica")[VICTIM]["metadata"]["uid"]
        with Callers(self.release, self.calm) as callers:
            until(lambda: VICTIM in self.release.busy(), "it computes")
            self.release.kubectl("delete", "pod", VICTIM, "--grace-period=0", "--force")
            self.another(uid)
            self.whole()
        self.assertGreater(len(callers.answers), len(self.calm))

    def test_a_pod_asked_to_end_finishes_first(self):
        with Callers(self.release, self.calm) as callers:
            for _ in range(8):  # What it has may end before it is asked.
                uid = self.release.pods("replica")[VICTIM]["metadata"]["uid"]
                drained = []
                until(lambda: VICTIM in self.release.busy(), "it computes")
                self.release.kubectl("delete", "pod", VICTIM, "--wait=false")
                until(lambda: (r := self.release.replica(VICTIM)) and r["state"] == "REPLICA_STATE_DRAINING" and not drained.append(r), "it drains", pause=0.05)
                self.another(uid)
                self.whole()
                if int(drained[0]["running"]) > 0:
                    break
        self.assertGreater(int(drained[0]["running"]), 0, "it had work when it was asked")
        self.assertEqual(callers.replays(), 0)

    def test_replicas_roll_under_load_and_no_call_fails(self):
        before = {pod["metadata"]["uid"] for pod in self.release.pods("replica").values()}
        with Load(self.release, callers=4) as load:
            self.release.upgrade("--set=replicas.podAnnotations.rolled=yes")
            self.release.kubectl("rollout", "status", "statefulset/unmask-replica", f"--timeout={300 * PATIENCE:.0f}s", limit=310)
            self.whole()
        self.assertFalse({pod["metadata"]["uid"] for pod in self.release.pods("replica").values()} & before)
        self.assertEqual(set(load.codes), {"OK"}, load.codes)
        print(f"rolled under load: {load.codes}")

    def test_the_coordinator_is_upgraded_and_callers_that_retry_lose_nothing(self):
        (before,) = self.release.pods("coordinator").values()
        log = tempfile.NamedTemporaryFile("w")
        self.addCleanup(log.close)
        client = subprocess.Popen([os.environ["UNMASK_CLIENT_PYTHON"], HERE / "retrying_client.py", self.release.server, "4"],
                                  stdin=subprocess.PIPE, stdout=log, stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.kill)
        answered = lambda: [json.loads(line) for line in pathlib.Path(log.name).read_text().split("\n")[:-1]]
        until(lambda: self.release.busy() or client.poll() is not None, "calls are under way")

        def end():
            serves = lambda: "unmask-coordina" in node.processes(before).values()
            self.assertTrue(serves())
            until(lambda: not serves(), "the old one has ended", limit=200, pause=0.05)
            return time.time()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            ended = pool.submit(end)
            self.release.upgrade("--set=image.tag=next,coordinator.podAnnotations.upgraded=yes", "--wait", f"--timeout={200 * PATIENCE:.0f}s")
            ended = ended.result()
        (after,) = self.release.pods("coordinator").values()
        self.whole()
        self.assertNotEqual(before["metadata"]["uid"], after["metadata"]["uid"])
        # A busy replica does not say so: it may have the calls that waited, and each caller would end with its own.
        until(lambda: client.poll() is not None or [1 for b, *_ in answered() if b > ended], "calls that began since are answered")
        _, complaints = client.communicate("", timeout=200 * PATIENCE)
        self.assertEqual(client.returncode, 0, complaints)
        calls = answered()
        self.assertEqual({code for _, _, code, _ in calls}, {"OK"})
        texts = {text for _, _, _, text in calls}
        self.assertEqual(len(texts), 4, texts)  # Of each caller, always the same.
        # Some were answered by the old one, some by the new one, and some were refused by the one and answered by the other.
        self.assertTrue([1 for b, e, _, _ in calls if e < ended])
        self.assertTrue([1 for b, e, _, _ in calls if b > ended])
        waited = [e - b for b, e, _, _ in calls if b < ended < e]
        self.assertTrue(waited, f"ended at {ended}: {[(b, e) for b, e, _, _ in calls]}")
        print(f"{len(calls)} calls over an upgrade of the coordinator; {len(waited)} waited, the longest {max(waited):.1f} s")


if __name__ == "__main__":
    unittest.main(verbosity=2)
