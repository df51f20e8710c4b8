"""Whether company pays: 32 mixed requests at once against one after another, tokens a second, in one run of one service.

    bench/batching.py UNMASK [MODEL [ROUNDS]]     MODEL: a checkpoint, models/demo by default
"""
import pathlib
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "quality"))
from service import ROOT, Service, generation_options, inference  # noqa: E402

STRATEGIES = ["LOW_CONFIDENCE", "RANDOM", "CONFIDENCE_THRESHOLD", "ENTROPY", "MARGIN", "LEFT_TO_RIGHT"]
TARGET = 2.5


def requests():
    """32 of one cache policy, else mixed: lengths, strategies, temperatures, prompts."""
    for i in range(32):
        length = 32 * (1 + i % 3)
        yield inference.GenerateRequest(
            text="Once upon a time " * (1 + i % 4),
            options=generation_options({
                "gen_length": length, "block_length": 32, "steps": length, "remasking": STRATEGIES[i % 6], "cache": "DUAL",
                "temperature": 0.5 * (i % 2), "seed": i, "logits_eos_inf": True}))


def main():
    unmask = sys.argv[1]
    model = sys.argv[2] if len(sys.argv) > 2 else ROOT / "models" / "demo"
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    with Service(unmask, model) as service:
        ask = service.stub.Generate
        mix = list(requests())
        service.together(ask, mix)  # Steps are measured, pages are touched.
        ratios = []
        for _ in range(rounds):
            rates, answers = {}, {}
            for way in ("alone", "together"):
                begin = time.monotonic()
                answers[way] = list(map(ask, mix)) if way == "alone" else service.together(ask, mix)
                rates[way] = sum(a.usage.completion_tokens for a in answers[way]) / (time.monotonic() - begin)
            if [a.text for a in answers["alone"]] != [a.text for a in answers["together"]]:
                sys.exit("batching.py: company changed a text")
            ratios.append(rates["together"] / rates["alone"])
            print(f"one after another {rates['alone']:.0f} tokens/s, {len(mix)} at once {rates['together']:.0f}: {ratios[-1]:.2f}",
                  flush=True)
    print(f"ratio: median {statistics.median(ratios):.2f} (target {TARGET})")
    return 0 if statistics.median(ratios) >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
