#!/usr/bin/env python3
"""run.py BUILD [PARTS]: measures everything of docs/performance.md side by side, prints a table, writes BUILD/bench/report.md and
plots beside it. PARTS: some of the letters abcdefgh. Two threads, prompt 64, gen 64, block 32, steps 64; one machine, one run; medians over interleaved rounds.

Peers that are missing under BUILD/peers are reported, not fatal. UNMASK_BENCH_ROUNDS: rounds a comparison;
UNMASK_BENCH_BURSTS: see instruments.Burst."""

import json
import os
import platform
import statistics
import subprocess
import sys

import plots
from instruments import BURSTS, Burst, Instrument, LlamaCpp, Ratio, interleave
from roofline import Roofline

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("UNMASK_BENCH_ROUNDS", "24"))
MODEL = os.path.join(BUILD, "bench", "model")
STEP = os.path.join(BUILD, "bench", "bin", "step_bench")
PYTHON = os.path.join(BUILD, "peers", "venv", "bin", "python")
LLAMA = os.path.join(BUILD, "peers", "llama.cpp")

rows = []      # (letter, what, target, measured text, value)
sections = []  # Markdown.
files = {}     # Plots by name.
profiles = {}  # dtype -> {operation: share}
speeds = {}    # engine -> steps a second


def ours(dtype, threads, ranks=1, more=()):
    argv = [STEP, "--model", MODEL, "--dtype", dtype, "--threads", str(threads), *more]
    if ranks > 1:
        argv = [os.path.join(ROOT, "scripts", "mpirun.sh"), str(ranks)] + argv
    instrument = Instrument(argv)
    instrument.ask("begin none")
    for _ in range(2):
        instrument.ask("step")
    return instrument


def warm_step(engine):
    """A step right after another one: its threads are awake and on processors of their own, as amid a generation."""
    engine.ask("step")
    return engine.ask("step")


def result(letter, what, target, ratio, digits=2, best=max):
    value = ratio.median if isinstance(ratio, Ratio) else ratio
    met = "" if target is None else "met" if best(value, target) == value else "MISSED"
    text = str(ratio) if isinstance(ratio, Ratio) else f"{ratio:.{digits}f}"
    rows.append((letter, what, "" if target is None else str(target), text, met))
    print(f"({letter}) {what}: {text}" + (f", target {target}: {met}" if met else ""), flush=True)


def products_and_profile(dtype):
    """(a) and (b), SwiGLU with the product that it is a part of: wall clock on two threads, and the processor's time on one, which other programs change less."""
    for threads, clock in ((2, "ms"), (1, "cpu_ms")):
        with ours(dtype, threads) as engine:
            values = interleave([("step", lambda: warm_step(engine)), ("bare", lambda: engine.ask("onednn 128 16"))],
                                ROUNDS, f"{dtype}, products and profile, {threads} thread(s)")
        rates, bare, shares, parts = [], [], [], []
        for step, alone in zip(values["step"], values["bare"]):
            head = 2 * step["sampled"] * 16384 * 1024 * 1e-9
            share = step["operations"]["layer products"] / step["ms"]
            rates.append((step["gflop"] - head) / (step[clock] * share) * 1e3)
            bare.append(alone["gflop"] / alone[clock] * 1e3)
            shares.append(share)
            parts.append({name: time / step["ms"] for name, time in step["operations"].items()})
        how = "2 threads, wall" if threads == 2 else "1 thread, processor time"
        result("a", f"layers' products ÷ oneDNN alone, {dtype}, {how}", 0.92 if dtype != "int8" else None,
               Ratio(rates, bare))
        result("b", f"layers' products' share of a step, {dtype}, {how}", 0.85 if dtype != "int8" else None,
               statistics.median(shares))
        sections.append(f"{dtype}, {how}: layers {statistics.median(rates):.0f} GFLOP/s, oneDNN alone "
                        f"{statistics.median(bare):.0f}.")
        if threads == 1:
            profiles[dtype] = {name: statistics.median(part[name] for part in parts) for name in parts[0]}


def peers(dtype):
    """(c)"""
    targets = {"fp32": (2.6, 1.7), "bf16": (1.9, 2.2)}[dtype]
    with ours(dtype, 2) as engine:
        if os.path.exists(PYTHON):
            argv = [PYTHON, os.path.join(ROOT, "bench", "reference", "step.py"), MODEL, dtype, "2"]
            with Instrument(argv) as torch:
                name = torch.ask("begin")["numerics"]
                for _ in range(2):
                    torch.ask("step")
                engine.ask("begin none")
                values = interleave([("ours", lambda: warm_step(engine)["ms"]), ("torch", lambda: warm_step(torch)["ms"])],
                                    min(ROUNDS, 60), f"{dtype}, against {name}")
            result("c", f"steps/s ÷ the reference's loop in {name}, {dtype}", targets[0],
                   Ratio(values["torch"], values["ours"]))
            speeds[f"Unmask {dtype}"] = 1e3 / statistics.median(values["ours"])
            speeds[f"reference, PyTorch {dtype}"] = 1e3 / statistics.median(values["torch"])
        else:
            sections.append(f"No PyTorch under {os.path.relpath(PYTHON, ROOT)}: the reference's loop was not measured.")
        model = os.path.join(LLAMA, f"bench-{'f32' if dtype == 'fp32' else 'bf16'}.gguf")
        if os.path.exists(model):
            llama = LlamaCpp(os.path.join(LLAMA, "out", "bin", "llama-diffusion-cli"), model, 2)
            mean = lambda: statistics.median(engine.ask("step")["ms"] for _ in range(8))
            values = interleave([("ours", mean), ("llama", llama.ms_a_forward)], max(3, ROUNDS // 5),
                                f"{dtype}, against llama.cpp")
            result("c", f"steps/s ÷ llama.cpp's diffusion example, {dtype}", targets[1],
                   Ratio(values["llama"], values["ours"]))
            speeds[f"llama.cpp {dtype}"] = 1e3 / statistics.median(values["llama"])
        else:
            sections.append(f"No {os.path.relpath(model, ROOT)}: llama.cpp was not measured.")


def ranks(dtype):
    """(d)"""
    with ours(dtype, 1) as one, ours(dtype, 1, ranks=2) as two:
        values = interleave([("one", lambda: warm_step(one)["ms"]), ("two", lambda: warm_step(two)["ms"])], ROUNDS,
                            f"{dtype}, one rank and two")
    result("d", f"two ranks of one thread ÷ one, {dtype}", 1.7, Ratio(values["one"], values["two"]))


def coordinator():
    """(e)"""
    runs = []
    for _ in range(3):
        with Burst():
            run = subprocess.run([os.path.join(BUILD, "bench", "bin", "coordinator_bench")], check=True, text=True,
                                 capture_output=True)
        runs.append(json.loads(run.stdout))
    for kind, name in (("generate", "Generate"), ("stream", "GenerateStream")):
        result("e", f"coordinator and gRPC, ms a step, {name}", 0.3, statistics.median(r[f"{kind}_ms"] for r in runs), 3, min)
        result("e", f"the same, the quietest request", None, min(r[f"{kind}_best_ms"] for r in runs), 3)
    for windows in runs[0]["wait_us"]:
        result("e", f"ms from a replica's answer to its next step, of {windows} window(s)", None,
               statistics.median(r["wait_us"][windows] for r in runs) / 1e3, 3)


def caches(dtype):
    """(f): whole generations, step by step in turn."""
    engines = {policy: ours(dtype, 2) for policy in ("none", "prefix", "dual")}
    for policy, engine in engines.items():
        engine.ask("begin " + policy)
    bare = engines["none"].ask("onednn 128 16")
    bandwidth = engines["none"].ask("bandwidth")["bytes_per_second"]

    def eight_steps(engine):
        return sum(engine.ask("step")["ms"] for _ in range(8))

    values = interleave([(p, lambda e=e: eight_steps(e)) for p, e in engines.items()], 16, f"{dtype}, cache policies")
    for engine in engines.values():
        engine.close()
    masks = [32 - i for i in range(32)] * 2
    computed = {"none": [128] * 64, "prefix": [128] + [64] * 31 + [128] + [32] * 31, "dual": ([128] + [32] * 31) * 2}
    total = {p: sum(v) / 2 for p, v in values.items()}  # Two generations.
    roofline = Roofline(MODEL, dtype, bare["gflop"] / bare["ms"] * 1e12, bandwidth)
    ideal = {p: roofline.seconds(zip(c, masks)) for p, c in computed.items()}
    for policy in ("prefix", "dual"):
        result("f", f"{policy.upper()} ÷ NONE, steps/s, {dtype} (roofline {ideal['none'] / ideal[policy]:.2f})", None,
               total["none"] / total[policy])
    files[f"caches-{dtype}.svg"] = plots.bars(
        f"Steps a second by cache policy, {dtype}",
        [(p.upper() + tail, 64 / seconds, c) for p in computed
         for tail, seconds, c in (("", total[p] / 1e3, 0), (", roofline of the products", ideal[p], 4))], "steps/s")


def int8():
    """(g)"""
    with ours("bf16", 2) as bf16, ours("int8", 2) as small:
        values = interleave([("bf16", lambda: warm_step(bf16)["ms"]), ("int8", lambda: warm_step(small)["ms"])], ROUNDS,
                            "int8 and bf16")
    result("g", "int8 ÷ bf16, steps/s", 1.5, Ratio(values["bf16"], values["int8"]))
    speeds["Unmask int8"] = 1e3 / statistics.median(values["int8"])
    print("  precision: every recorded case in fp32, bf16 and int8 ...", file=sys.stderr)
    precision = json.loads(subprocess.run(
        [os.path.join(BUILD, "bench", "bin", "precision"), os.path.join(ROOT, "tests", "goldens"), MODEL], check=True,
        text=True, capture_output=True).stdout)
    lines = ["| against fp32 | logits: rms error (of rms) | largest | best token differs, same canvas | tokens changed in the end |",
             "|---|---|---|---|---|"]
    for dtype, cases in precision.items():
        for where, c in cases.items():
            lines.append(f"| {dtype}, {where} | {c['rms_error']:.3f} ({c['rms_logit']:.2f}) | {c['worst_error']:.2f} | "
                         f"{100 * c['best_changed']:.1f} % of {c['positions']} | {100 * c['tokens_changed']:.0f} % of {c['tokens']} |")
    sections.append("\n".join(lines))


def pages(dtype):
    """(h)"""
    with ours(dtype, 2) as huge, ours(dtype, 2, more=["--small-pages"]) as small:
        values = interleave([("huge", lambda: warm_step(huge)["ms"]), ("small", lambda: warm_step(small)["ms"])], ROUNDS,
                            f"{dtype}, pages of 2 MiB and of 4 KiB")
    result("h", f"pages of 2 MiB ÷ pages of 4 KiB, steps/s, {dtype}", None, Ratio(values["small"], values["huge"]))


def machine():
    with open("/proc/cpuinfo") as info:
        name = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    return (f"{name}, {os.cpu_count()} cores, Linux {platform.release()}, load average {os.getloadavg()[0]:.1f}, "
            f"{ROUNDS} rounds{', in bursts of priority' if BURSTS else ''}")


def write_report(before):
    """After each part, so that a run that is cut short leaves what it measured."""
    if profiles:
        files["profile.svg"] = plots.shares("Where a step's time goes, one thread", list(profiles.items()))
    if speeds:
        files["engines.svg"] = plots.bars("Steps a second, 2 threads, 252 M parameters, canvas of 128",
                                          [(n, s, 0 if n.startswith("Unmask") else 4) for n, s in speeds.items()], "steps/s")
    report = ["# Benchmark report", "", f"Before: {before}. After: load average {os.getloadavg()[0]:.1f}.", "",
              "| | result | target | measured (quartiles) | |", "|---|---|---|---|---|"]
    report += ["| " + " | ".join(row) + " |" for row in sorted(rows, key=lambda row: row[0])]
    report += [""] + [part + "\n" for part in sections]
    if profiles:
        names = list(next(iter(profiles.values())))
        report += ["| share of a step | " + " | ".join(profiles) + " |", "|---|" + "---|" * len(profiles)]
        report += [f"| {n} | " + " | ".join(f"{100 * p[n]:.1f} %" for p in profiles.values()) + " |" for n in names]
    folder = os.path.join(BUILD, "bench")
    for name, content in files.items():
        with open(os.path.join(folder, name), "w") as out:
            out.write(content)
    with open(os.path.join(folder, "report.md"), "w") as out:
        out.write("\n".join(report) + "\n")
    return "\n".join(report)


def main():
    before = machine()
    print(before)
    chosen = sys.argv[2] if len(sys.argv) > 2 else "abcdefgh"
    both, all_three = ("bf16", "fp32"), ("bf16", "fp32", "int8")
    parts = [("ab", products_and_profile, all_three), ("c", peers, both), ("d", ranks, both), ("e", coordinator, (None,)),
             ("f", caches, both), ("g", int8, (None,)), ("h", pages, all_three)]
    for letters, measure, dtypes in parts:
        for dtype in dtypes if set(letters) & set(chosen) else ():
            measure(*([dtype] if dtype else []))
            write_report(before)
    print(write_report(before))


if __name__ == "__main__":
    main()
