#!/usr/bin/env python3
"""Proves llada.py on the recordings of the official implementation: every `forward` and `generate` case of tests/goldens,
in float32, logits within 2e-4 and canvases token for token after every step. Exit 1 where one differs."""

import json
import os
import sys

import torch
from safetensors.torch import load_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import llada

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens")


def tensor(values):
    return None if values is None else torch.tensor(values)


def check_forward(model, case):
    ids, mask = tensor(case["input"]["input_ids"]), tensor(case["input"].get("attention_mask"))
    expected = load_file(os.path.join(ROOT, "cases", case["expected"]["file"]))["logits"]
    rows = torch.ones_like(ids).bool() if mask is None else mask.bool()
    return (model.forward(ids, mask) - expected)[rows].abs().max().item() <= 2e-4


def check_generate(model, case):
    p = case["params"]
    prompt = case["input"].get("prompt", case["input"].get("input_ids"))
    steps = llada.generate(model, tensor(prompt), p["gen_length"], p["block_length"], p["steps"],
                           p.get("cfg_scale", 0.0), tensor(case["input"].get("attention_mask")),
                           p.get("logits_eos_inf", False), p.get("confidence_eos_eot_inf", False),
                           case["ids"]["eos"], case["ids"]["eot"])
    recorded = [step["canvas"] for step in case["expected"]["steps"]]
    ours = [canvas.tolist() for canvas in steps]
    return ours == recorded and ours[-1] == case["expected"]["canvas"]


@torch.inference_mode()
def main():
    checks = {"forward": check_forward, "generate": check_generate}
    failed = passed = 0
    for name in sorted(os.listdir(os.path.join(ROOT, "cases"))):
        if not name.endswith(".json"):
            continue
        case = json.load(open(os.path.join(ROOT, "cases", name)))
        if not isinstance(case, dict) or case.get("kind") not in checks:
            continue
        model = llada.Model(os.path.join(ROOT, "models", case["model"]), torch.float32)
        if checks[case["kind"]](model, case):
            passed += 1
        else:
            failed += 1
            print(f"DIFFERS: {name}")
    print(f"{passed} cases of the official implementation reproduced, {failed} not")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
