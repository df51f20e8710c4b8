#!/usr/bin/env python3
"""check_reference.py UNMASK: the embedded model in bench/reference's transcription of LLaDA's own code (PyTorch) gives token for
token what the service gives, in fp32 with the reference's options."""

import json
import pathlib
import random
import subprocess
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "bench" / "reference"), str(ROOT / "models" / "train"), str(ROOT / "bench" / "quality")]

import llada
from tasks import lists, papers, translation
from tokenizer import Tokenizer

DEMO = ROOT / "models" / "demo"


def main(unmask):
    r = random.Random(4)
    examples = [papers.conversation(case, 0) for case in papers.CASES]
    examples += [lists.reversing(r, test=True) for _ in range(4)] + [translation.draw(r, test=True) for _ in range(4)]
    tokenizer, model = Tokenizer(DEMO), llada.Model(str(DEMO), torch.float32)
    same = 0
    with torch.inference_mode():
        for example in examples:
            prompt = tokenizer.prompt(example.messages)
            for canvas in llada.generate(model, torch.tensor([prompt]), gen_length=64, block_length=32, steps=64):
                theirs = canvas[0, len(prompt):].tolist()
            reply = subprocess.run([unmask, "generate", "--model", DEMO, "--dtype", "fp32", "--json", "--token-ids", "--reference-parity",
                                    "--gen-length", "64", "--prompt-ids", ",".join(map(str, prompt))],
                                   capture_output=True, text=True, check=True)
            ours = json.loads(reply.stdout)["token_ids"]
            same += ours == theirs
            if ours != theirs:
                print(f"differs: {example.messages[-1][1]!r}\n  {tokenizer.decode(theirs)!r}\n  {tokenizer.decode(ours)!r}")
    print(f"{same} of {len(examples)} answers are the same, token for token")
    return 0 if same == len(examples) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
