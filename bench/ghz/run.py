#!/usr/bin/env python3
"""Runs ghz with configurations of configs/ and writes one page, build/ghz/report.html.

    run.py [NAME...]                   against a coordinator of its own with replicas without a model: what is measured is
                                       the service around the model (calls unary stream mixed deadline cancel overload)
    run.py --server HOST:PORT [--admin HOST:PORT] [--protoset FILE] [--token TOKEN] NAME...
                                       against yours

Overload offers twice what the service was just seen to answer. Ends with 1 if a run got a code that it should not."""

import argparse
import collections
import datetime
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import report
from service import Service, Watch

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = ROOT / "tests/goldens/models/tiny-tp"  # Only its name matters: requests hold ids.
# What a run may end in; others are errors.
CODES = {"deadline": {"DeadlineExceeded", "ResourceExhausted"}, "cancel": {"OK", "Canceled"}, "overload": {"OK", "ResourceExhausted"}}
STEP_US, ROW_NS = 2000, 2000  # Of a replica under overload: some 25 such calls a second.


def ghz(binary, config, server, out, *flags):
    done = subprocess.run([binary, "--config", config, "-O", "json", "-o", out, *flags, server], capture_output=True, text=True)
    if done.returncode or not out.exists():
        raise RuntimeError(f"ghz {config}: {done.stdout}{done.stderr}")
    return json.loads(out.read_text())


def condense(run):
    """Answers by second and code in place of every call."""
    by_second = collections.defaultdict(collections.Counter)
    details = run.pop("details") or []
    ends = [(datetime.datetime.fromisoformat(d["timestamp"][:26].rstrip("Z").split("+")[0]).timestamp() + d["latency"] / 1e9, d["status"])
            for d in details]
    begin = min((end for end, _ in ends), default=0)
    for end, status in ends:
        by_second[int(end - begin)][status] += 1
    run["ended_by_second"] = [{"second": second, "codes": dict(codes)} for second, codes in sorted(by_second.items())]
    return run


def measure(binary, name, server, admin, folder, flags=(), processor=None):
    watch = Watch(admin) if admin else None
    before = processor() if processor else 0
    try:
        run = condense(ghz(binary, HERE / f"configs/{name}.json", server, folder / f"{name}.json", *flags))
    finally:
        samples = watch.close() if watch else []
    run["samples"] = samples
    if processor:
        run["coordinator_seconds"] = processor() - before
        run["calls_per_core_second"] = round(run["count"] / max(run["coordinator_seconds"], 0.01))
    (folder / f"{name}.json").write_text(json.dumps(run))
    wrong = set(run["statusCodeDistribution"]) - CODES.get(name, {"OK"})
    print(f"{name}: {run['count']} calls, {run['rps']:.0f}/s, p50 {report.percentile(run, 50)}, p99 {report.percentile(run, 99)}, "
          f"{run['statusCodeDistribution']}" + (f", {run['calls_per_core_second']} calls per second of coordinator core" if processor else "")
          + (f" WRONG: {sorted(wrong)}" if wrong else ""), flush=True)
    return run, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--build", default=ROOT / "build", type=pathlib.Path)
    parser.add_argument("--server")
    parser.add_argument("--admin")
    parser.add_argument("--protoset")
    parser.add_argument("--token")
    parser.add_argument("--total", type=int, help="calls of each run, in place of its own number")
    arguments = parser.parse_args()
    found = subprocess.run([HERE / "fetch.sh"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        print(found.stdout.strip())
        return found.returncode
    binary, folder = found.stdout.strip(), arguments.build / "ghz"
    folder.mkdir(parents=True, exist_ok=True)
    flags = []
    if arguments.protoset:
        flags += ["--protoset", arguments.protoset]
    if arguments.token:
        flags += ["--metadata", json.dumps({"authorization": "Bearer " + arguments.token})]
    if arguments.total:
        flags += ["--total", str(arguments.total)]
    wrong, done = set(), []

    def go(name, server, admin, more=(), processor=None):
        run, bad = measure(binary, name, server, admin, folder, [*flags, *more], processor)
        done.append(name)
        wrong.update(bad)
        return run

    if arguments.server:
        for name in arguments.names or ["unary", "stream"]:
            go(name, arguments.server, arguments.admin)
    else:
        names = arguments.names or ["calls", "unary", "stream", "mixed", "deadline", "cancel", "overload"]
        with Service(arguments.build, MODEL) as service:
            for name in [n for n in names if n not in ("overload", "ramp", "deadline", "cancel")]:
                go(name, service.address["grpc"], service.address["admin"], processor=service.processor_seconds)
        if slow := [n for n in names if n in ("overload", "ramp", "deadline", "cancel")]:
            with Service(arguments.build, MODEL, step_us=STEP_US, row_ns=ROW_NS) as service:
                for name in slow:
                    more = []
                    if name == "overload":
                        capacity = go("unary", service.address["grpc"], service.address["admin"])["rps"]
                        more = ["--rps", str(round(2 * capacity))]
                    go(name, service.address["grpc"], service.address["admin"], more)
    report.main(folder / "report.html", *[folder / f"{name}.json" for name in dict.fromkeys(done)])
    print(folder / "report.html")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
