#!/usr/bin/env python3
"""Steps of LLaDA-8B's shape on a GPU: ours against the floor of the card and against the reference's loop, in turns.

    bench/gpu/run.py BENCH OUT     BENCH: gpu_step_bench; writes OUT/report.md and OUT/report.json

The floor is what the card itself reaches, measured in the same run: the greater of the bytes that a step must read over
the bandwidth of a copy, and of its FLOP over the rate of a large product."""

import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = int(os.environ.get("UNMASK_BENCH_ROUNDS", "15"))
# sequences, context, rows of each, sampled rows of each; whether the reference takes part; the bound of ours / floor.
CASES = [(1, 512, 512, 32, True, 1.3), (1, 512, 32, 32, True, 1.4)] + [
    (n, 512, 32, 32, False, None) for n in (2, 4, 8, 16, 32, 64)] + [(n, 512, 512, 32, False, None) for n in (2, 4, 8)]
WANTED_RATIO = 1.5  # The reference / ours, of the whole canvas.


class Instrument:
    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == "ready", command

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def main():
    bench, out = sys.argv[1], sys.argv[2]
    os.makedirs(out, exist_ok=True)
    reference = Instrument(sys.executable, os.path.join(HERE, "reference.py"))
    card = reference.ask("ceilings")
    ours = Instrument(bench)
    rows, numerics = [], None
    for sequences, context, computed, sampled, compared, bound in CASES:
        line = f"case {sequences} {context} {computed} {sampled}"
        numerics = ours.ask(line)["numerics"]
        engines = [ours] + ([reference] if compared else [])
        if compared:
            reference.ask(line)
        times = {id(engine): [] for engine in engines}
        for engine in engines:
            for _ in range(4):  # Kernels load, algorithms are chosen, the graph is captured.
                engine.ask("step")
        last = ours.ask("step")
        for _ in range(ROUNDS):
            for engine in engines + engines[::-1]:
                times[id(engine)].append(engine.ask("step")["ms"])
        ms = statistics.median(times[id(ours)])
        floor = 1e3 * max(last["gbyte"] * 1e9 / card["bytes_per_second"], last["tflop"] * 1e12 / card["flop_per_second"])
        rows.append({"sequences": sequences, "context": context, "rows": computed, "sampled": sampled, "ms": ms,
                     "floor_ms": floor, "over_floor": ms / floor, "bound": bound, "tflops": last["tflop"] / ms * 1e3,
                     "gbps": last["gbyte"] / ms * 1e3, "quartiles": statistics.quantiles(times[id(ours)], n=4)[::2],
                     "reference_ms": statistics.median(times[id(reference)]) if compared else None})
    with open(os.path.join(out, "report.json"), "w") as file:
        json.dump({"card": card, "numerics": numerics, "rows": rows}, file, indent=1)
    with open(os.path.join(out, "report.md"), "w") as file:
        file.write(f"{card['card']}, PyTorch {card['torch']}, {numerics}. Copy {card['bytes_per_second'] / 1e12:.2f} TB/s, "
                   f"product {card['flop_per_second'] / 1e12:.0f} TFLOP/s. Medians of {2 * ROUNDS} steps.\n\n")
        file.write("| sequences × rows of context | ms (quartiles) | floor | ms ÷ floor | TFLOP/s | GB/s | reference, ms | "
                   "reference ÷ ours |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
        for r in rows:
            ratio = f"{r['reference_ms'] / r['ms']:.2f}" if r["reference_ms"] else ""
            target = f" (target {r['bound']})" if r["bound"] else ""
            file.write(f"| {r['sequences']} × {r['rows']} of {r['context']} | {r['ms']:.2f} ({r['quartiles'][0]:.2f} to "
                       f"{r['quartiles'][1]:.2f}) | {r['floor_ms']:.2f} | {r['over_floor']:.2f}{target} | {r['tflops']:.0f} "
                       f"| {r['gbps']:.0f} | {r['reference_ms'] or 0:.2f} | {ratio} |\n")
        whole = rows[0]
        file.write(f"\nThe reference ÷ ours on the whole canvas: {whole['reference_ms'] / whole['ms']:.2f}, wanted "
                   f"{WANTED_RATIO}.\n")
    print(open(os.path.join(out, "report.md")).read())


if __name__ == "__main__":
    main()
