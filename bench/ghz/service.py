"""What a load run looks at besides the calls: the coordinator's own metrics while they run, and the processor time that it
takes. And a service to run against: a coordinator with replicas without a model (instant_replica)."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

GAUGES = ("unmask_queued_requests", "unmask_running_requests", "unmask_queued_work_units")


def scrape(admin):
    """{sample name with labels: value} of /metrics."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line and line[0] != "#")}


def ready(metrics):
    return sum(value for name, value in metrics.items() if name.startswith("unmask_replica_state") and 'state="ready"' in name)


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Samples the gauges of a coordinator, and what `extra` makes of its metrics, until it is closed."""

    def __init__(self, admin, interval=0.25, extra=lambda metrics: {}):
        self.admin, self.interval, self.extra, self.samples = admin, interval, extra, []
        self._begin, self._end = time.time(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._end.wait(self.interval):
            metrics = scrape(self.admin)
            sample = {"at": time.time(), "ready": ready(metrics), **self.extra(metrics)}
            sample.update({name: metrics[name] for name in GAUGES if name in metrics})
            self.samples.append(sample)

    def close(self):
        self._end.set()
        self._thread.join()
        return self.samples


class Service:
    """A coordinator and `replicas` replicas that take step_us a step and row_ns a row, on free loopback ports."""

    def __init__(self, build, model, replicas=1, step_us=0, row_ns=0, flags=()):
        self.build, self.step = pathlib.Path(build), (step_us, row_ns)
        self.folder = tempfile.TemporaryDirectory()
        addresses = pathlib.Path(self.folder.name) / "addresses.json"
        self.log = open(f"{self.folder.name}/log", "w+")
        self.processes = []
        self.coordinator = self._start(self.build / "bin/unmask-coordinator", "--model", model, "--model-name", "bench",
                                       "--listen", "127.0.0.1:0", "--fleet-listen", "127.0.0.1:0",
                                       "--admin-listen", "127.0.0.1:0", "--address-file", addresses, *flags)
        self._until(addresses.exists)
        self.address = json.loads(addresses.read_text())
        self.replicas = []
        for _ in range(replicas):
            self.add_replica()

    def add_replica(self):
        """Returns when it is ready."""
        before = len(self.replicas)
        step_us, row_ns = self.step
        self.replicas.append(self._start(self.build / "bench/bin/instant_replica", "--coordinator", self.address["fleet"],
                                         "--name", f"instant-{before}", "--step-us", step_us, "--row-ns", row_ns))
        self._until(lambda: ready(scrape(self.address["admin"])) > before)

    def remove_replica(self):
        """The newest finishes what it has."""
        replica = self.replicas.pop()
        replica.send_signal(signal.SIGTERM)
        replica.wait(timeout=60)

    def processor_seconds(self):
        return processor_seconds(self.coordinator.pid)

    def _start(self, *command):
        process = subprocess.Popen([str(word) for word in command], stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process

    def _until(self, condition, limit=60):
        give_up = time.time() + limit
        while not condition():
            if time.time() > give_up or self.coordinator.poll() is not None:
                self.log.seek(0)
                raise RuntimeError("the service does not come up:\n" + self.log.read())
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        self.log.close()
        self.folder.cleanup()
