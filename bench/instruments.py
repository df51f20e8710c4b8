"""Programs that answer one command a line (bench/step_bench.cc, bench/reference/step.py), and fair ways to compare them."""

import json
import os
import re
import statistics
import subprocess
import sys
import time


class Instrument:
    def __init__(self, argv, env=None):
        self.argv = argv
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        line = self.process.stdout.readline()
        while line and line.strip() != "ready":
            line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("did not start: " + " ".join(argv))

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("ended: " + " ".join(self.argv))
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class LlamaCpp:
    """llama.cpp's diffusion example, a process a generation. It counts blocks over prompt + generation and leaves one without
    masks after its first forward, so that `steps` over 4 blocks of 32 are steps/2 + 2 forwards; it prints their whole time."""

    STEPS = 16

    def __init__(self, binary, model, threads):
        prompt = "".join(f"<t{1 + i * 37 % 16000}>" for i in range(64))
        self.argv = [binary, "-m", model, "-p", prompt, "-t", str(threads), "-tb", str(threads), "-ub", "128", "-b", "128",
                     "-c", "128", "--diffusion-block-length", "32", "--diffusion-steps", str(self.STEPS),
                     "--diffusion-algorithm", "4", "--top-k", "40", "--temp", "0"]

    def ms_a_forward(self):
        run = subprocess.run(self.argv, capture_output=True, text=True, timeout=600)
        total = float(re.search(r"total time: ([0-9.]+)ms", run.stdout + run.stderr).group(1))
        return total / (self.STEPS / 2 + 2)


BURSTS = os.environ.get("UNMASK_BENCH_BURSTS") == "1"


class Burst:
    """With UNMASK_BENCH_BURSTS=1, on a machine that others use: this session, ours and theirs alike, has the processors first
    while a call is measured, and leaves them for as long afterwards. Linux's autogroups; needs root."""

    def _set(self, nice):
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(nice))

    def __enter__(self):
        self.begin = time.time()
        if BURSTS:
            self._set(-20)

    def __exit__(self, *_):
        if BURSTS:
            self._set(10)
            time.sleep(min(2, time.time() - self.begin))
            self._set(0)  # Of the whole session: it would outlive us.


def interleave(names_and_calls, rounds, label):
    """{name: [value a round]}. The order turns round each time, so that a drift of the machine favours nobody."""
    values = {name: [] for name, _ in names_and_calls}
    live = sys.stderr.isatty()
    for number in range(rounds):
        if live or number == 0:
            print(f"\r  {label}: round {number + 1}/{rounds} ", end="", file=sys.stderr, flush=True)
        for name, call in names_and_calls if number % 2 == 0 else reversed(names_and_calls):
            time.sleep(0.02)  # The last one's threads stop spinning.
            with Burst():
                values[name].append(call())
    print(file=sys.stderr)
    return values


class Ratio:
    """Of two interleaved series: the median of the rounds' ratios and its quartiles."""

    def __init__(self, over, under):
        ratios = sorted(a / b for a, b in zip(over, under))
        self.median = statistics.median(ratios)
        self.low, self.high = ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"
