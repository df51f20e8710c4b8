#!/usr/bin/env python3
"""twin.py OUT: asks models/twin, the autoregressive twin of models/demo, what run.py asks the service, and writes OUT/twin.json.
The twin predicts the next token and sees none after it, so it is no model that the service serves: the training program's own
network computes it here, in fp32, and the likeliest token is taken each time. Needs PyTorch.

    --problems N   held-out problems a task (200)
    --grid N       texts whose likelihood is computed (60)"""

import argparse
import json
import math
import pathlib

import questions  # Finds models/train.
import torch
import torch.nn.functional as F

import checkpoint
from tokenizer import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Twin:
    """A causal network with the tokenizer that it was trained on."""

    def __init__(self, network, tokenizer):
        if not network.shape.causal:
            raise ValueError("this network looks ahead: it is no autoregressive twin")
        self.network, self.tokenizer = network, tokenizer

    def prompt(self, asked):
        """`asked`: messages, or a plain text."""
        return self.tokenizer.encode(asked) if isinstance(asked, str) else self.tokenizer.prompt(asked)

    def logits(self, rows, wanted):
        """Of the positions `wanted` of each row. What pads a row stands after all that is read, where a causal network is blind."""
        length = max(map(len, rows))
        ids = torch.full((len(rows), length), self.tokenizer.eos)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row)
        flat = torch.tensor([i * length + at for i, positions in enumerate(wanted) for at in positions])
        with torch.inference_mode():
            return self.network(ids, flat)

    def answers(self, asked, most, drafts):
        """The likeliest next token, one after another, until an end or `most` tokens. What a draft has right of it costs one pass."""
        rows = [self.prompt(each) for each in asked]
        starts = [len(row) for row in rows]
        drafts = [(self.tokenizer.encode(draft) + [self.tokenizer.eot])[:most] for draft in drafts]
        likeliest = self.logits([row + draft for row, draft in zip(rows, drafts)],
                                [range(start - 1, start - 1 + len(draft)) for start, draft in zip(starts, drafts)]).argmax(-1)
        for row, draft, own in zip(rows, drafts, likeliest.split([len(draft) for draft in drafts])):
            agreed = next((i for i, (a, b) in enumerate(zip(draft, own.tolist())) if a != b), len(draft) - 1)
            row += own[:agreed + 1].tolist()
        ends = (self.tokenizer.eos, self.tokenizer.eot)
        going = list(range(len(rows)))
        while going := [i for i in going if rows[i][-1] not in ends and len(rows[i]) - starts[i] < most]:
            chosen = self.logits([rows[i] for i in going], [[len(rows[i]) - 1] for i in going]).argmax(-1).tolist()
            for i, token in zip(going, chosen):
                rows[i].append(token)
        return [self.tokenizer.decode(row[start:]) for row, start in zip(rows, starts)]

    def bits(self, pairs):
        """(bits, tokens) of each text after what stands before it; a text alone follows an EOS, as in training."""
        befores = [self.prompt(before) if before else [self.tokenizer.eos] for before, _ in pairs]
        targets = [self.tokenizer.encode(text) for _, text in pairs]
        logits = self.logits([before + target for before, target in zip(befores, targets)],
                             [range(len(before) - 1, len(before) + len(target) - 1) for before, target in zip(befores, targets)])
        each = F.cross_entropy(logits, torch.tensor(sum(targets, [])), reduction="none") / math.log(2)
        return [(part.sum().item(), len(part)) for part in each.split([len(target) for target in targets])]


def measure(twin, problems, grid):
    def accuracy(task):
        examples = questions.draw(task, problems)
        answers = twin.answers([e.messages for e in examples], questions.gen_length(task), [e.answer for e in examples])
        return {"right": sum(questions.right(task, e, a) for e, a in zip(examples, answers)) / len(examples), "problems": len(examples)}

    def likelihood(pairs):
        scores = twin.bits(pairs)
        tokens = sum(count for _, count in scores)
        return {"bits": sum(bits for bits, _ in scores) / tokens, "tokens": tokens, "texts": len(scores)}

    shots = questions.few_shot(problems)
    answers = twin.answers([prompt for prompt, _ in shots], 8, [" " + answer + "\n" for _, answer in shots])
    return {"settings": {"problems": problems, "grid": grid},
            "tasks": {task: accuracy(task) for task in {**questions.TASKS, **questions.FOLLOW_UPS}},
            "few_shot": sum(questions.few_shot_right(answer, text) for (_, answer), text in zip(shots, answers)) / len(shots),
            "likelihood": {name: likelihood(pairs) for name, pairs in questions.likely(grid).items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "twin")
    parser.add_argument("--tokenizer", type=pathlib.Path, default=ROOT / "models" / "demo")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--grid", type=int, default=60)
    options = parser.parse_args()
    twin = Twin(checkpoint.network(options.model), Tokenizer(options.tokenizer))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "twin.json").write_text(json.dumps(measure(twin, options.problems, options.grid), indent=1) + "\n")


if __name__ == "__main__":
    main()
