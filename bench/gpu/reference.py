#!/usr/bin/env python3
"""The reference's loop (bench/reference/llada.py) with random weights on a GPU, with gpu_step_bench's commands, and the
card's ceilings: `ceilings`."""

import json
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
import llada  # noqa: E402


class RandomModel(llada.Model):
    def __init__(self, layers, hidden, heads, mlp, vocabulary):
        self.config = {"n_layers": layers}
        self.heads = self.kv_heads = heads
        self.head_dim = hidden // heads
        self.epsilon = 1e-5
        self.mask = vocabulary - 1
        self.frequencies = 1.0 / (500000.0 ** (torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim))

        def matrix(rows, columns):
            return torch.empty(rows, columns, dtype=torch.bfloat16).normal_(0, 0.02)

        ones = torch.ones(hidden, dtype=torch.bfloat16)
        w = {"model.transformer.wte.weight": matrix(vocabulary, hidden), "model.transformer.ln_f.weight": ones}
        for layer in range(layers):
            at = f"model.transformer.blocks.{layer}."
            w.update({at + "attn_norm.weight": ones, at + "ff_norm.weight": ones})
            w.update({f"{at}{name}_proj.weight": matrix(hidden, hidden) for name in "qkv"})
            w.update({at + "attn_out.weight": matrix(hidden, hidden), at + "ff_out.weight": matrix(hidden, mlp)})
            w.update({at + "ff_proj.weight": matrix(mlp, hidden), at + "up_proj.weight": matrix(mlp, hidden)})
        self.weights = w
        self.head = matrix(vocabulary, hidden)


def best_of(run, count=5):
    times = []
    for _ in range(count):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)


def ceilings():
    """bytes/s of a copy (read and written) and FLOP/s of a large bf16 product of random numbers."""
    a = torch.empty(1 << 30, dtype=torch.uint8)
    b = torch.empty_like(a)
    n = 8192
    x, y = (torch.empty(n, n, dtype=torch.bfloat16).normal_() for _ in range(2))
    return {"card": torch.cuda.get_device_name(), "bytes_per_second": 2 * a.numel() / best_of(lambda: b.copy_(a)),
            "flop_per_second": 2 * n**3 / best_of(lambda: x @ y), "torch": torch.__version__}


def main():
    torch.set_default_device("cuda")
    shape = [int(argument) for argument in sys.argv[1:]] or [32, 4096, 32, 12288, 126464]
    model, steps, begun = RandomModel(*shape), None, None
    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            words = line.split()
            answer = {}
            if words[0] == "ceilings":
                answer = ceilings()
            elif words[0] == "case":  # The loop knows no window: it computes the whole canvas, whatever ROWS.
                sequences, context, _, sampled = map(int, words[1:])
                begun = (torch.arange(context - sampled).repeat(sequences, 1) * 37 % 16000, sampled)
                steps = None
            else:
                torch.cuda.synchronize()
                begin = time.perf_counter()
                canvas = next(steps, None) if steps else None
                if canvas is None:
                    steps = llada.generate(model, begun[0], begun[1], begun[1], begun[1])
                    begin = time.perf_counter()
                    canvas = next(steps)
                torch.cuda.synchronize()
                answer = {"ms": (time.perf_counter() - begin) * 1e3}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
