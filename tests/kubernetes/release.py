"""A release of the chart on a real node, and its callers."""

import concurrent.futures
import json
import os
import pathlib
import signal
import sys
import threading
import time
import unittest

import node
from cluster import Cluster
from kube import CHART, PATIENCE, ROOT, Kube, run, until

sys.path.insert(0, str(ROOT / "bench/ghz"))
import run as ghz  # noqa: E402
from service import scrape  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BIN = ROOT / "build/bin"
VERSION = next(line.split('"')[1] for line in (CHART / "Chart.yaml").read_text().splitlines() if line.startswith("appVersion:"))
IMAGE = f"localhost/unmask:{VERSION}"
CLUSTER = []  # One for all tests of a program.


def cluster():
    """The cluster of this program, with one real node and the project's own image, also under the tag "next"."""
    if not CLUSTER:
        CLUSTER.append(Cluster(os.environ["UNMASK_CLUSTER_STATE"], os.environ["UNMASK_CLUSTER_TOOLS"]))
        node.start(CLUSTER[0], [ROOT / "build/image/unmask-cpu.tar"])
        node.name_image(IMAGE, "localhost/unmask:next")
    return CLUSTER[0]


def generate(server, seed):
    """The whole answer to a request that takes a while: its end is among the last tokens that are decided."""
    return json.loads(run(BIN / "unmask", "generate", "--server", server, "--json", "--token-ids", "--seed", seed, "--temperature=2", "--cache=prefix",
                          "--raw", "--logits-eos-inf", "--confidence-eos-eot-inf", "--gen-length=128", "Once upon a time", limit=300).stdout)


class Release(Kube):
    """`helm install` into a new namespace, where "restricted" is enforced; ready when it returns."""

    name = "unmask"

    def __init__(self, namespace, *settings, replicas):
        super().__init__(namespace)
        self.before = self.inventory()
        self.helm("install", "unmask", CHART, "--values", HERE / "small.yaml", f"--set=replicas.count={replicas}", "--wait",
                  f"--timeout={200 * PATIENCE:.0f}s", *settings, limit=210)
        until(lambda: len(self.fleet()) == replicas and all(r["state"] == "REPLICA_STATE_READY" for r in self.fleet()), f"{replicas} replicas are ready", limit=120)
        self.server = self.address("unmask", 50051)
        self.admin = self.address("unmask-admin", 9090)

    def address(self, service, port):
        return f"{self.get('service', service)['spec']['clusterIP']}:{port}"

    def upgrade(self, *settings, **options):
        return self.helm("upgrade", "unmask", CHART, "--reuse-values", *settings, limit=210, **options)

    def uninstall(self):
        self.helm("uninstall", "unmask", "--wait", limit=120)
        until(lambda: self.inventory() == self.before, f"nothing is left but {self.before}", limit=120)

    def fleet(self):
        return json.loads(run(BIN / "unmask", "status", "--json", "--server", self.address("unmask", 50051)).stdout)["replicas"]

    def replica(self, name):
        return next((r for r in self.fleet() if r["name"] == name), None)

    def metrics(self):
        return scrape(self.admin)

    def busy(self):
        """Names of replicas that compute."""
        return [r["name"] for r in self.fleet() if int(r["running"]) > 0]

    def stop_at_work(self, name, pod):
        """Stops the workers in this pod of a replica in the middle of a request, so that what ends them then hits it, however fast it is."""
        workers = [pid for pid, program in node.processes(pod).items() if program == "unmask-worker"]
        assert workers, f"no worker is in {pod['metadata']['name']}"

        def stopped():
            node.send(signal.SIGSTOP, workers)
            time.sleep(0.2)  # What was under way to the coordinator is there.
            if name in self.busy():
                return True
            node.send(signal.SIGCONT, workers)
        until(stopped, f"{name} computes")


class Callers:
    """Ask for the same texts as in a calm hour, over and over, each in a thread of its own, until the block ends. Then every answer has to
    be there, and be that of the calm hour."""

    def __init__(self, release, calm):
        self.release, self.calm = release, calm
        self.answers, self.wrong, self._end = [], [], threading.Event()

    def _ask(self, seed):
        while not self._end.is_set():
            answer = generate(self.release.server, seed)
            self.answers.append(answer)
            if answer["token_ids"] != self.calm[seed]["token_ids"] or answer["text"] != self.calm[seed]["text"]:
                self.wrong.append((seed, answer["text"], self.calm[seed]["text"]))

    def __enter__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(len(self.calm))
        self._asked = [self._pool.submit(self._ask, seed) for seed in self.calm]
        until(lambda: len(self.answers) >= 1 and self.release.busy(), "answers come")
        return self

    def __exit__(self, *_):
        self._end.set()
        self._pool.shutdown()
        for asked in self._asked:
            asked.result()  # Raises what a caller was refused with.
        assert not self.wrong, f"{len(self.wrong)} of {len(self.answers)} answers differ: {self.wrong[0]}"

    def replays(self):
        return sum(int(answer["replays"]) for answer in self.answers)


class Load:
    """ghz with `callers` at once, run after run of some seconds, until the block ends. codes: how its calls ended."""

    def __init__(self, release, callers, timeout="300s"):
        self.release, self.callers, self.timeout = release, callers, timeout
        self.codes, self.runs, self._end = {}, [], threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(1)

    def _run(self):
        folder = pathlib.Path(os.environ["UNMASK_CLUSTER_STATE"]) / "ghz"
        folder.mkdir(exist_ok=True)
        while not self._end.is_set():
            done, _ = ghz.measure(os.environ["GHZ"], "unary", self.release.server, None, folder, [
                "--duration=5s", "--duration-stop=wait", "--total=1000000", f"--concurrency={self.callers}", f"--timeout={self.timeout}"])
            self.runs.append(done)
            for code, count in done["statusCodeDistribution"].items():
                self.codes[code] = self.codes.get(code, 0) + count

    def __enter__(self):
        self._running = self._pool.submit(self._run)
        until(lambda: self._running.done() or self.release.busy(), "the load is there")
        return self

    def __exit__(self, *_):
        self._end.set()
        self._pool.shutdown()
        self._running.result()


class ReleaseTest(unittest.TestCase):
    """A release for all tests of a class, in the state that it was installed in when a test begins."""

    maxDiff = None
    replicas, settings, calm_seeds = 2, (), (1, 2, 3, 4)

    @classmethod
    def setUpClass(cls):
        cluster()
        cls.release = Release(cls.__name__.removesuffix("Test").lower(), *cls.settings, replicas=cls.replicas)
        cls.calm = {seed: generate(cls.release.server, seed) for seed in cls.calm_seeds}
        assert len({str(answer["token_ids"]) for answer in cls.calm.values()}) == len(cls.calm), "seeds are not heard"
        restarts = {name: [c["restartCount"] for c in pod["status"]["containerStatuses"]]
                    for component in ("coordinator", "replica") for name, pod in cls.release.pods(component).items()}
        assert all(counts == [0] for counts in restarts.values()), restarts  # Probes have waited for slow starts.

    @classmethod
    def tearDownClass(cls):
        cls.release.uninstall()

    def whole(self):
        # A pod that was deleted by force computes on for a while: its place in the fleet is not yet that of the pod in its place.
        until(lambda: self.release.ready("replica") == sorted(self.release.pods("replica")), "all pods of replicas are ready", limit=180)
        until(lambda: sorted(r["name"] for r in self.release.fleet() if r["state"] == "REPLICA_STATE_READY") ==
              [f"unmask-replica-{i}" for i in range(self.replicas)], "all replicas are ready", limit=180)

    def setUp(self):
        self.whole()
