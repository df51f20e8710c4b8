"""One to four replicas under constant load from ghz. The replicas have no model and take a step's time doing nothing, so that the
machine's cores do not bound what four of them can do; all else is the product, in its own image, by its own chart. First by hand: what
each adds to the throughput and takes from the queue. Then by a HorizontalPodAutoscaler, with Kubernetes' own controller and the metric that the coordinator exports: each of its
decisions is held against the formula of docs/kubernetes.md. Writes two plots to docs/images, and prints the figures."""

import concurrent.futures
import json
import math
import os
import pathlib
import sys
import time

import node
from kube import ROOT, run, until
from metrics_adapter import Adapter
from release import Release, cluster, ghz

sys.path.insert(0, str(ROOT / "bench"))
import plots  # noqa: E402
from service import Watch  # noqa: E402

MOST = 4
PHASE = 30  # Seconds with each number of replicas.
STABILIZATION = 60  # Seconds, in place of the chart's 600.
METRIC = "unmask_queued_work_units"
POSITIONS, STEPS = 24, 16  # Of a call of configs/scaling.json: as many work units as their product.
ROW_NS, AT_ONCE = 200_000, 8  # What a replica takes for a row, and how many calls it has room for: 13 calls a second.
IMAGE = "localhost/unmask:scripted"
# In the image, before the real one in the PATH: `unmask replica` is one without a model, which dials once, and says that it is ready.
SCRIPTED = f"""#!/bin/sh
[ "$1" = replica ] || exec /usr/bin/unmask "$@"
for word; do case $word in --coordinator=* | --name=*) flags="$flags $word" ;; esac; done
until /usr/bin/unmask status --server unmask:50051 >/dev/null 2>&1; do sleep 1; done
(while echo ready >/tmp/replica.new && mv /tmp/replica.new /tmp/replica.state; do sleep 1; done) &
exec /usr/local/bin/instant_replica $flags --model demo --row-ns {ROW_NS} --kv-positions {AT_ONCE * POSITIONS}
"""


def offer(release, seconds, rate):
    """ghz, so many calls a second whatever becomes of them."""
    folder = pathlib.Path(os.environ["UNMASK_CLUSTER_STATE"])
    done, wrong = ghz.measure(os.environ["GHZ"], "scaling", release.server, None, folder, [
        "--async", f"--rps={rate}", f"--duration={seconds}s", "--duration-stop=wait", "--total=1000000"])
    assert not wrong, wrong
    return done


def capacity(release):
    """Calls a second of one replica that always has work."""
    folder = pathlib.Path(os.environ["UNMASK_CLUSTER_STATE"])
    done, _ = ghz.measure(os.environ["GHZ"], "scaling", release.server, None, folder, [
        "--duration=15s", "--duration-stop=wait", "--total=1000000", "--concurrency=16"])
    return done["rps"]


def finished(metrics):
    return sum(value for name, value in metrics.items() if name.startswith("unmask_requests_total") and 'code="OK"' in name)


class Record(Watch):
    """Samples of the coordinator's metrics, with calls answered a second over the last five."""

    def lines(self, begin):
        at = [(s["at"] - begin, s) for s in self.samples if s["at"] >= begin]
        line = lambda of: [(second, of(sample)) for second, sample in at]
        rates = []
        for i, (second, sample) in enumerate(at):
            earlier = next(((s, e) for s, e in at[:i] if second - s <= 5), None)
            if earlier and second - earlier[0] > 2:
                rates.append((second, (sample["finished"] - earlier[1]["finished"]) / (second - earlier[0])))
        return {"ready": line(lambda s: s["ready"]), "waiting": line(lambda s: s["unmask_queued_requests"]),
                "work": line(lambda s: s[METRIC]), "rate": rates}


def watch(release):
    return Record(release.admin, extra=lambda metrics: {"finished": finished(metrics)})


def draw(name, title, lines, rate, seconds, more=()):
    panels = [("Replicas that are ready", {"": lines["ready"]}),
              ("Calls a second", {"offered": [(0, rate), (seconds, rate), (seconds, 0)], "answered": lines["rate"]}),
              ("Calls that wait", {"": lines["waiting"]}), *more]
    (ROOT / f"docs/images/{name}.svg").write_text(plots.timelines(title, panels))


def by_hand(release):
    one = capacity(release)
    rate = max(1, round(2.5 * one))
    record, begin = watch(release), time.time()
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            calls = pool.submit(offer, release, MOST * PHASE, rate)
            marks = []
            for replicas in range(1, MOST + 1):
                release.kubectl("scale", "statefulset/unmask-replica", f"--replicas={replicas}")
                until(lambda: len(release.ready("replica")) == replicas, f"{replicas} replicas")
                marks.append(time.time() - begin)
                time.sleep(max(0, begin + replicas * PHASE - time.time()))
            done = calls.result()
        until(lambda: release.metrics()["unmask_queued_requests"] == 0, "the queue is empty")
    finally:
        record.close()
    lines = record.lines(begin)
    print(f"{rate} calls a second offered for {MOST * PHASE} s: {done['statusCodeDistribution']}")
    for replicas, mark in enumerate(marks, 1):
        end = replicas * PHASE
        rates = [value for second, value in lines["rate"] if mark + 6 <= second <= end]
        waiting = [value for second, value in lines["waiting"] if mark <= second <= end]
        print(f"  {replicas} replicas: {sum(rates) / max(1, len(rates)):.1f} calls/s, {waiting[0]:.0f} waiting at first, {waiting[-1]:.0f} at last")
    draw("kubernetes-scaling", f"1 to {MOST} replicas under {rate} calls a second", lines, rate, MOST * PHASE)
    return one


def by_autoscaler(release, adapter, one):
    # More than three replicas can do. What one does in four seconds may wait for it.
    rate, target = round(3.4 * one), round(4 * one * POSITIONS * STEPS)
    release.kubectl("scale", "statefulset/unmask-replica", "--replicas=1")
    until(lambda: release.ready("replica") == ["unmask-replica-0"] and len(release.pods("replica")) == 1, "one replica")
    release.upgrade(f"--set=autoscaling.enabled=true,autoscaling.minReplicas=1,autoscaling.maxReplicas={MOST},"
                    f"autoscaling.scaleDownStabilizationSeconds={STABILIZATION}", f"--set-string=autoscaling.targetPerReplica={target}")
    until(lambda: adapter.readings, "the controller asks for the metric")
    record, begin, seconds, sizes = watch(release), time.time(), 100, []
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            calls = pool.submit(offer, release, seconds, rate)

            def look():
                size = release.get("statefulset", "unmask-replica")["spec"]["replicas"]
                if not sizes or sizes[-1][1] != size:
                    sizes.append((time.time(), size))
                return calls.done() and max(s for _, s in sizes) == MOST and size < MOST
            until(look, "it grows under load and shrinks after it", limit=120, pause=0.5)
            done = calls.result()
    finally:
        record.close()
    print(f"autoscaler, target {target} work units a replica: {done['statusCodeDistribution']}")
    for (_, before), (at, size) in zip(sizes, sizes[1:]):
        # Up at once, though this may have been seen a moment later; down when the largest wish of the last minute is less.
        since = at - (12 if size > before else STABILIZATION - 5)
        wanted = [min(MOST, max(1, math.ceil(value / target))) for when, value in adapter.readings if since <= when <= at]
        best = max(wanted)
        print(f"  after {at - begin:.0f} s: {before} to {size}; the formula asked for {wanted[-1]}, at most {best}")
        # Up: no more than the formula, and no faster than two more or double. Down: by one, and not below any recent wish.
        assert before < size <= min(best, max(2 * before, before + 2)) if size > before else size == before - 1 and size >= best, (before, size, wanted)
    assert {c["type"]: c["status"] for c in release.get("hpa", "unmask-replica")["status"]["conditions"]}["ScalingActive"] == "True"
    lines = record.lines(begin)
    # The metric is in the units of the target: what a call costs, and for its canvas little more.
    each = max(work / calls for (_, work), (_, calls) in zip(lines["work"], lines["waiting"]) if calls >= 50)
    assert POSITIONS * STEPS / 2 < each < 1.1 * POSITIONS * STEPS, each
    draw("kubernetes-autoscaling", f"Replicas by unmask_queued_work_units under {rate} calls a second", lines, rate, seconds,
         [("Work units that wait", {"": lines["work"], "target of all replicas": [(s, r * target) for s, r in lines["ready"]]})])


def main():
    archive = cluster().folder / "scripted.tar"
    node.make_image(archive, IMAGE, {"usr/local/bin/unmask": SCRIPTED.encode(),
                                     "usr/local/bin/instant_replica": (ROOT / "build/bench/bin/instant_replica").read_bytes()},
                    ROOT / "build/image/unmask-cpu.tar")
    run("ctr", "--namespace", "k8s.io", "images", "import", archive)
    release = Release("scaling", "--set=image.tag=scripted", replicas=1)
    one = by_hand(release)
    by_autoscaler(release, Adapter(cluster(), release, METRIC), one)


if __name__ == "__main__":
    main()
