"""A replica of two ranks in two pods, as a LeaderWorkerSet on a real kubelet (level L2): mpirun starts the second rank through `unmask
node`, without a shell in between; the group lives and dies as one, and its requests outlive it."""

import json
import unittest

import node
from kube import ROOT, until
from release import BIN, Callers, ReleaseTest, cluster, generate


class GroupTest(ReleaseTest):
    replicas, settings, calm_seeds = 1, ("--set=replicas.nodes=2",), (1, 2)

    @classmethod
    def setUpClass(cls):
        cluster().start_leader_worker_sets()
        super().setUpClass()

    def uids(self):
        return {name: pod["metadata"]["uid"] for name, pod in self.release.pods("replica").items()}

    def ranks(self):
        (replica,) = self.release.fleet()
        return replica["ranks"]

    def test_two_pods_are_one_replica_and_answer_as_one_pod_does(self):
        self.assertEqual(sorted(self.uids()), ["unmask-replica-0", "unmask-replica-0-1"])
        self.assertEqual([rank["rank"] for rank in self.ranks()], [0, 1])
        hosts = [rank["host"] for rank in self.ranks()]
        self.assertEqual(len(set(hosts)), 2, hosts)
        for name in self.uids():  # Each pod has a rank, and none has a shell to log in to.
            seen = self.release.kubectl("exec", name, "--", "sh", "-c", "cat /proc/[0-9]*/comm").stdout.split()
            self.assertEqual(seen.count("unmask-worker"), 1, seen)
            self.assertEqual("mpirun" in seen, name == "unmask-replica-0", seen)
            self.assertFalse({"sshd", "ssh"} & set(seen), seen)
        folder = cluster().folder
        cluster().start("alone", BIN / "unmask", "serve", "--model", ROOT / "models/demo", "--tensor-parallel=2", "--threads=1",
                        "--listen=127.0.0.1:0", "--fleet-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--ready-file", folder / "alone.json")
        cluster().answers("alone", (folder / "alone.json").exists, limit=120)
        alone = generate(json.loads((folder / "alone.json").read_text())["grpc"], 1)
        self.assertEqual((self.calm[1]["token_ids"], self.calm[1]["numerics"]), (alone["token_ids"], alone["numerics"]))

    def after(self, victim, end, other):
        """The callers while `end` ends a pod of the group that computes, and until the group is whole again with as many `other` pods."""
        self.whole()
        before = self.uids()
        pod = self.release.pods("replica")[victim]
        with Callers(self.release, self.calm) as callers:
            self.release.stop_at_work("unmask-replica-0", pod)
            end(pod)
            until(lambda: len(now := self.uids()) == 2 and now[victim] != before[victim] and len(set(now.values()) - set(before.values())) >= other,
                  f"{other} other pods are there", limit=300)
            until(lambda: len(self.release.ready("replica")) == 2, "both are ready", limit=300)
            self.whole()
        return callers

    def test_a_killed_pod_restarts_the_group_and_costs_no_request(self):
        for victim in ("unmask-replica-0-1", "unmask-replica-0"):
            with self.subTest(killed=victim):
                self.assertGreater(self.after(victim, node.kill, other=2).replays(), 0)

    def test_a_pod_deleted_by_force_costs_no_request(self):
        # The leader takes the other pod with it, which it owns. One of the others may go alone: the group's controller starts a group
        # anew that it sees restart or being deleted, and this pod is gone at once.
        for victim, other in (("unmask-replica-0-1", 1), ("unmask-replica-0", 2)):
            with self.subTest(deleted=victim):
                delete = lambda _: self.release.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
                self.assertGreater(self.after(victim, delete, other).replays(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
