"""How the coordinator's cost grows with open sequences: runs scale_bench, prints a table, draws a plot.

    bench/scale.py BUILD [SVG]
"""
import json
import os
import subprocess
import sys

import plots

TARGETS = {"windows/s": (20_000, min), "bytes a sequence": (40_000, max)}


def main():
    build = sys.argv[1]
    run = subprocess.run([os.path.join(build, "bench", "bin", "scale_bench")], check=True, text=True, stdout=subprocess.PIPE)
    report = json.loads(run.stdout)
    print(f"{report['replicas']} replicas, one thread\n")
    print("| open sequences | windows/s | us a step | windows a step | us a submission | bytes a sequence |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for r in report["runs"]:
        print(f"| {r['sequences']:,} | {r['windows_per_second']:,.0f} | {r['us_per_step']:.1f} | {r['windows_per_step']:.1f} | "
              f"{r['us_per_submission']:.0f} | {r['bytes_per_sequence']:,} |")
        rows.append((f"{r['sequences']:,} open sequences", r["us_per_window"], 0))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as file:
            file.write(plots.bars(f"What deciding costs a window, {report['replicas']:,} replicas, one core", rows, "us"))
    worst = {"windows/s": min(r["windows_per_second"] for r in report["runs"]),
             "bytes a sequence": max(r["bytes_per_sequence"] for r in report["runs"])}
    missed = [name for name, (bound, side) in TARGETS.items() if side(worst[name], bound) != bound]
    for name in missed:
        print(f"missed: {worst[name]:,.0f} {name}, the target is {TARGETS[name][0]:,}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
