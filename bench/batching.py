"""Whether company pays: 32 mixed requests at once against one after another, tokens a second, in one run of one service.

    bench/batching.py UNMASK [--model FOLDER] [--dtype bf16] [--rounds 3] [--step-bench build/bench/bin/step_bench]

MODEL is models/demo by default, and the ratio is to reach 2.5. With --step-bench the ratio is compared to the one that the
matrix products alone would have (roofline.py) where each forward pass of a request shares its step with those of all
others that are as far: 0.85 of it is asked for. Run it with grpcio-tools, as in build/quality/venv.
"""
import argparse
import pathlib
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "quality"))
from instruments import Instrument  # noqa: E402
from roofline import Roofline  # noqa: E402
from service import ROOT, Service, generation_options, inference  # noqa: E402

STRATEGIES = ["LOW_CONFIDENCE", "RANDOM", "CONFIDENCE_THRESHOLD", "ENTROPY", "MARGIN", "LEFT_TO_RIGHT"]
TARGET, SHARE = 2.5, 0.85
BLOCK = 32


def requests():
    """32 of one cache policy, else mixed: lengths, strategies, temperatures, prompts."""
    for i in range(32):
        length = BLOCK * (1 + i % 3)
        yield inference.GenerateRequest(
            token_ids={"ids": [1 + (i + 7 * n) % 200 for n in range(6 * (1 + i % 4))]}, output={"token_ids": True},
            options=generation_options({
                "gen_length": length, "block_length": BLOCK, "steps": length, "remasking": STRATEGIES[i % 6], "cache": "DUAL",
                "temperature": 0.5 * (i % 2), "seed": i, "logits_eos_inf": True}))


def windows(answer):
    """(rows computed, rows chosen from) of each forward pass under DUAL: a block's first takes the whole canvas, the others
    the block. The passes are spread over the blocks evenly, and so are the reveals over a block's passes."""
    canvas = answer.usage.prompt_tokens + answer.usage.completion_tokens
    blocks = answer.usage.completion_tokens // BLOCK
    passes = [answer.usage.forward_passes * (b + 1) // blocks - answer.usage.forward_passes * b // blocks
              for b in range(blocks)]
    return [(BLOCK if step else canvas, BLOCK - BLOCK * step // count) for count in passes for step in range(count)]


def ideal_ratio(answers, roofline):
    """One after another ÷ all at once, by the products alone."""
    alone = [windows(answer) for answer in answers]
    shared = []
    for step in range(max(map(len, alone))):
        company = [steps[step] for steps in alone if step < len(steps)]
        shared.append((sum(computed for computed, _ in company), sum(sampled for _, sampled in company)))
    return sum(map(roofline.seconds, alone)) / roofline.seconds(shared)


def measure_roofline(step_bench, model, dtype):
    with Instrument([step_bench, "--model", model, "--dtype", dtype, "--threads", "2"]) as engine:
        alone = [engine.ask("onednn 1024 256") for _ in range(3)]
        rate = statistics.median(a["gflop"] / a["ms"] for a in alone) * 1e12
        bandwidth = statistics.median(engine.ask("bandwidth")["bytes_per_second"] for _ in range(3))
    print(f"oneDNN alone {rate / 1e9:.0f} GFLOP/s, memory {bandwidth / 1e9:.1f} GB/s", flush=True)
    return Roofline(model, dtype, rate, bandwidth)


def main():
    parser = argparse.ArgumentParser(description="What company is worth", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unmask")
    parser.add_argument("--model", default=str(ROOT / "models" / "demo"))
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step-bench")
    options = parser.parse_args()

    roofline = options.step_bench and measure_roofline(options.step_bench, options.model, options.dtype)
    ratios = []
    with Service(options.unmask, options.model, "--dtype", options.dtype) as service:
        ask = service.stub.Generate
        mix = list(requests())
        service.together(ask, mix)  # Steps are measured, pages are touched.
        for _ in range(options.rounds):
            rates, answers = {}, {}
            for way in ("alone", "together"):
                begin = time.monotonic()
                answers[way] = list(map(ask, mix)) if way == "alone" else service.together(ask, mix)
                rates[way] = sum(a.usage.completion_tokens for a in answers[way]) / (time.monotonic() - begin)
            if [list(a.token_ids) for a in answers["alone"]] != [list(a.token_ids) for a in answers["together"]]:
                sys.exit("batching.py: company changed a text")
            ratios.append(rates["together"] / rates["alone"])
            print(f"one after another {rates['alone']:.1f} tokens/s, {len(mix)} at once {rates['together']:.1f}: "
                  f"{ratios[-1]:.2f}", flush=True)
    ratio, target, what = statistics.median(ratios), TARGET, "ratio"
    if roofline:
        ideal = ideal_ratio(answers["alone"], roofline)
        print(f"ratio: median {ratio:.2f}; of the products alone {ideal:.2f}")
        ratio, target, what = ratio / ideal, SHARE, "share of it"
    print(f"{what}: median {ratio:.2f} (target {target})")
    return 0 if ratio >= target else 1


if __name__ == "__main__":
    sys.exit(main())
