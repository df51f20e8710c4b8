#!/usr/bin/env python3
"""The reference's loop as an instrument, with step_bench's commands: `begin`, `step`, `canvas`."""

import json
import sys
import time

import torch

import llada


def main():
    folder, dtype, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(threads)
    model = llada.Model(folder, {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype])
    prompt = torch.tensor([[1 + i * 37 % 16000 for i in range(64)]])
    steps, canvas = None, None

    def answer(**fields):
        print(json.dumps(fields), flush=True)

    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            command = line.split()[0]
            if command == "begin":
                steps, canvas = llada.generate(model, prompt, 64, 32, 64), None
                answer(numerics="PyTorch " + torch.__version__)
            elif command == "step":
                begin = time.perf_counter()
                canvas = next(steps, None)
                if canvas is None:  # The generation is over: the next one.
                    steps = llada.generate(model, prompt, 64, 32, 64)
                    canvas = next(steps)
                answer(ms=(time.perf_counter() - begin) * 1e3, done=not (canvas == model.mask).any().item())
            else:
                answer(canvas=[] if canvas is None else canvas[0].tolist())


if __name__ == "__main__":
    main()
