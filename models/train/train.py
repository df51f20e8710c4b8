#!/usr/bin/env python3
"""Trains a LLaDA from noise, pre-trains one on text files or fine-tunes one on prompts and responses.

    train.py OUT --tokenizer models/demo                      # the embedded model: texts and conversations of tasks/
    train.py OUT --tokenizer models/demo --autoregressive     # its twin
    train.py OUT --from CHECKPOINT --texts a.txt b.txt        # pre-training on files
    train.py OUT --from CHECKPOINT --jsonl pairs.jsonl        # SFT: {"prompt": ..., "response": ...} a line

OUT/state.pt is the run itself: the same command goes on where it stopped. OUT/model is a checkpoint that `unmask` serves.
OUT/loss.csv is the record; plot_loss.py draws it."""

import argparse
import collections
import csv
import os
import pathlib
import time
import zlib

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import checkpoint
import objective
from model import Block, Network, Shape
from optimizer import Optimizer
from stream import LENGTHS, Stream
from tokenizer import Tokenizer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="folder of tokenizer.json; default: that of --from")
    parser.add_argument("--from", dest="start", type=pathlib.Path, help="a checkpoint to start from, instead of noise")
    parser.add_argument("--texts", nargs="+", help="pre-train on these files alone")
    parser.add_argument("--jsonl", help="fine-tune on these prompts and responses alone")
    parser.add_argument("--autoregressive", action="store_true", help="causal attention, next-token prediction")
    for name, value in (("d-model", 192), ("layers", 6), ("heads", 6), ("mlp", 512), ("max-length", 512)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--steps", type=int, default=12000, help="in all, decay included")
    parser.add_argument("--decay", type=int, default=10000, help="how many of the last steps lower the rate to 0")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.4, help="factor of every learning rate")
    parser.add_argument("--tokens", type=int, default=4096, help="of a step, per worker")
    parser.add_argument("--text-share", type=float, default=0.25, help="of texts among the rows")
    parser.add_argument("--weights", default="", help="of tasks, as sorting=30,problems=20")
    parser.add_argument("--long-share", type=float, default=0.1, help="of answers padded to long windows")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each that share the batch")
    parser.add_argument("--threads", type=int, default=0, help="of a worker; 0: PyTorch's choice for one worker, else 1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--compile", action="store_true", help="torch.compile the blocks")
    parser.add_argument("--save-every", type=float, default=120, help="seconds between checkpoints")
    parser.add_argument("--print-every", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def rate(options, step):
    warm = min(1, (step + 1) / max(1, options.warmup))
    return options.rate * warm * min(1, (options.steps - step) / max(1, options.decay))


class Record:
    """The mean loss, in all and by task, since the last line."""

    def __init__(self, path, fresh):
        self.path, self.began = path, time.time()
        if fresh or not path.exists():
            path.write_text("step,tokens,seconds,task,loss\n")
        self.clear()

    def clear(self):
        self.total, self.batches, self.tokens = 0.0, 0, 0
        self.sums, self.counts = collections.Counter(), collections.Counter()

    def add(self, value, rows, batch, each):
        self.total += value
        self.batches += 1
        by_row = torch.zeros(len(rows)).index_add_(0, batch.tasks, each.cpu())
        counts = torch.zeros(len(rows)).index_add_(0, batch.tasks, torch.ones_like(batch.weights))
        for row, s, n in zip(rows, by_row.tolist(), counts.tolist()):
            self.sums[row.task] += s
            self.counts[row.task] += n

    def line(self, step, options, tokens, seconds, speed, factor):
        mean = self.total / max(1, self.batches)
        tasks = {task: self.sums[task] / self.counts[task] for task in self.sums if self.counts[task]}
        print(f"step {step}/{options.steps}  loss {mean:.4f}  rate {factor:.2f}  {speed:.0f} tokens/s  {tokens / 1e6:.1f} M tokens  "
              f"{seconds / 60:.1f} min | " + "  ".join(f"{task} {value:.3f}" for task, value in sorted(tasks.items())), flush=True)
        with open(self.path, "a", newline="") as out:
            csv.writer(out).writerows([step, tokens, round(seconds), task, f"{value:.5f}"]
                                      for task, value in [("all", mean), *sorted(tasks.items())])
        self.clear()


def save(options, network, optimizer, tokenizer, progress):
    state = {"shape": vars(network.shape), "optimizer": optimizer.state_dict(), "progress": progress}
    torch.save(state, options.out / "state.tmp")
    os.replace(options.out / "state.tmp", options.out / "state.pt")
    checkpoint.write(options.out / "model", network.shape, optimizer.master, tokenizer, options.tokenizer)


def build(options, tokenizer):
    """The network, and what the run's state says of it."""
    path = options.out / "state.pt"
    saved = torch.load(path, map_location="cpu") if path.exists() else None
    torch.manual_seed(options.seed)
    if saved:
        network = Network(Shape(**saved["shape"]))
    elif options.start:
        network = checkpoint.network(options.start, options.autoregressive)
    else:
        network = Network(Shape(options.d_model, options.layers, options.heads, options.mlp, (tokenizer.size + 63) // 64 * 64,
                                options.max_length, causal=options.autoregressive))
    return network.to(options.device), saved


def work(rank, options):
    torch.set_num_threads(options.threads or (1 if options.workers > 1 else torch.get_num_threads()))
    if options.workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{options.out.resolve()}/rendezvous", rank=rank,
                                world_size=options.workers)
    tokenizer = Tokenizer(options.tokenizer)
    network, saved = build(options, tokenizer)
    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    optimizer = Optimizer(network, dtype)
    progress = {"step": 0, "tokens": 0, "seconds": 0.0}
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
        progress = saved["progress"]
    network.to(dtype)
    plain = Block.forward
    compiled = torch.compile(Block.forward, dynamic=True) if options.compile else plain

    seed = f"{options.seed}/{rank}/{progress['step']}"
    weights = {name: float(value) for name, value in (pair.split("=") for pair in options.weights.split(",") if pair)}
    share = 1.0 if options.texts else 0.0 if options.jsonl else options.text_share
    stream = Stream(tokenizer, seed, options.tokens, share, weights, options.jsonl, options.texts,
                    0 if options.autoregressive else options.long_share)
    generator = torch.Generator().manual_seed(zlib.crc32(seed.encode()))
    record = Record(options.out / "loss.csv", fresh=saved is None) if rank == 0 else None
    parameters = dict(network.named_parameters())
    printed, saved_at, printed_tokens = time.time(), time.time(), progress["tokens"]

    for step in range(progress["step"], options.steps):
        began = time.time()
        rows, length = stream.batch()
        Block.forward = compiled
        if not rows[0].answer and stream.random.random() < 0.01:  # A hundredth of the texts has a random length.
            length = stream.random.randint(2, length)
            rows = [objective.Row(row.task, row.ids[:length], 0) for row in rows]
            Block.forward = plain
        batch = (objective.shift(rows, length, tokenizer.eos) if options.autoregressive else
                 objective.diffuse(rows, length, tokenizer.mask, tokenizer.eos, generator))
        moved = objective.Batch(*(t.to(options.device) for t in vars(batch).values()))
        value, each = objective.loss(network, moved, dtype)
        value.backward()
        gradients = {name: p.grad.float() for name, p in parameters.items()}
        tokens = torch.tensor([float(len(rows) * length)])
        if options.workers > 1:
            flat = torch.cat([g.flatten() for g in gradients.values()] + [tokens])
            dist.all_reduce(flat)
            tokens = flat[-1:]
            flat = flat / options.workers
            pieces = flat[:-1].split([g.numel() for g in gradients.values()])
            gradients = {name: piece.view_as(g) for (name, g), piece in zip(gradients.items(), pieces)}
        norm = torch.sqrt(sum(g.pow(2).sum() for g in gradients.values()))
        for g in gradients.values():
            g.mul_(1 / max(1.0, float(norm)))
        factor = rate(options, step)
        optimizer.step(gradients, factor)
        for p in parameters.values():
            p.grad = None
        now = time.time()
        progress = {"step": step + 1, "tokens": progress["tokens"] + int(tokens), "seconds": progress["seconds"] + now - began}
        if rank:
            continue
        record.add(float(value), rows, batch, each)
        if (step + 1) % options.print_every == 0 or step + 1 == options.steps:
            speed = (progress["tokens"] - printed_tokens) / (now - printed)
            record.line(step + 1, options, progress["tokens"], progress["seconds"], speed, factor)
            printed, printed_tokens = now, progress["tokens"]
        if now - saved_at > options.save_every or step + 1 == options.steps:
            save(options, network, optimizer, tokenizer, progress)
            saved_at = now


def main():
    options = arguments()
    options.tokenizer = options.tokenizer or options.start
    if options.tokenizer is None:
        raise SystemExit("train.py: name a folder with a tokenizer.json by --tokenizer, or a checkpoint by --from")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rendezvous").unlink(missing_ok=True)
    if options.workers == 1:
        work(0, options)
    else:
        mp.spawn(work, (options,), nprocs=options.workers)


if __name__ == "__main__":
    main()
