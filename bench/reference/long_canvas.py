#!/usr/bin/env python3
"""long_canvas.py: records tests/goldens/long_canvas.json with the transcription that check.py proves: logits of a few positions
of a canvas of 4096 tokens on the tiny-mha checkpoint, whose rotary angles reach as far as one asks."""

import json
import os
import sys

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import llada

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens")
LENGTH, PROMPT, POSITIONS = 4096, 2048, [0, 1337, 2500, 4095]


@torch.inference_mode()
def main():
    model = llada.Model(os.path.join(GOLDENS, "models", "tiny-mha"), torch.float32)
    ids = [(7 * i * i + 3 * i + 5) % 300 for i in range(PROMPT)] + [model.mask] * (LENGTH - PROMPT)
    logits = model.forward(torch.tensor([ids]))[0, POSITIONS]
    with open(os.path.join(GOLDENS, "long_canvas.json"), "w") as out:
        json.dump({"model": "tiny-mha", "ids": "(7 i i + 3 i + 5) mod 300, then masks", "length": LENGTH, "prompt": PROMPT,
                   "positions": POSITIONS, "logits": [[float(f"{x:.7g}") for x in row] for row in logits.tolist()]}, out)
        out.write("\n")


main()
