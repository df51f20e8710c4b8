#!/usr/bin/env python3
"""run.py UNMASK OUT: measures what models/demo knows and how the options of a request change it, through a running service.
Writes OUT/results.json, after each part; report.py makes docs/quality.md of it. A part that is there already is not run again.

    --problems N   held-out problems a task in the main table (200)
    --grid N       problems a task in every other table (60)
    --parts a,b    only these parts"""

import argparse
import json
import math
import pathlib
import random
import time

import questions
from service import ROOT, Service

COMPARED = ("sorting", "reversing", "into German", "Python", "word problems")  # Where options are compared: of easy and hard ones.


def accuracy(service, task, examples, **changes):
    """What share is right, and what it took: per answer steps and forward passes, tokens per forward pass."""
    options = {"gen_length": questions.gen_length(task), "block_length": 32, "seed": 1, **changes}
    if options["block_length"] > options["gen_length"]:
        options["block_length"] = options["gen_length"]
    replies = service.generate([example.messages for example in examples], **options)
    passes = sum(reply.usage.forward_passes for reply in replies)
    return {"right": sum(questions.right(task, e, r.text) for e, r in zip(examples, replies)) / len(examples),
            "problems": len(examples), "options": options, "passes": passes / len(examples),
            "tokens_per_pass": sum(reply.usage.completion_tokens for reply in replies) / passes}


class Parts:
    def __init__(self, service, problems, grid):
        self.service, self.problems, self.grid = service, problems, grid

    def each(self, tasks, count, **changes):
        return {task: accuracy(self.service, task, questions.draw(task, count), **changes) for task in tasks}

    def tasks(self):
        """One token a step, blocks of 32: the main table."""
        return self.each(questions.TASKS, self.problems)

    def follow_ups(self):
        """The same for second turns that need the first one's answer, which is given."""
        return self.each(questions.FOLLOW_UPS, self.problems)

    def steps(self):
        """One token a step, two, four … down to the whole answer in one step."""
        table = {}
        for task in COMPARED:
            examples, length = questions.draw(task, self.grid), questions.TASKS[task][1]
            table[task] = {length // steps: accuracy(self.service, task, examples, steps=steps, block_length=length)
                           for steps in (length, length // 2, length // 4, length // 8, 1)}
        return table

    def blocks(self):
        """The whole answer as one block, 32, 8, 1, for answers of two lengths."""
        table = {}
        for task in COMPARED[1:3]:
            examples = questions.draw(task, self.grid)
            table[task] = {f"{length}/{block}": accuracy(self.service, task, examples, gen_length=length, block_length=block)
                           for length in (64, 128) for block in (length, 32, 8, 1)}
        return table

    def strategies(self):
        """Fixed-count strategies at one and at four tokens a step, adaptive ones bounded by one token a step."""
        table = {}
        for task in COMPARED:
            examples, length = questions.draw(task, self.grid), questions.TASKS[task][1]
            row = {}
            for name in ("LOW_CONFIDENCE", "RANDOM", "ENTROPY", "MARGIN", "LEFT_TO_RIGHT", "RANDOM_S_OVER_T"):
                for each in (1, 4):
                    row[f"{name}, {each} a step"] = accuracy(self.service, task, examples, remasking=name, steps=length // each)
            for name, changes in (("CONFIDENCE_THRESHOLD", {"threshold": 0.9}), ("FACTOR", {"factor": 1.0}),
                                  ("ENTROPY_BOUND", {"entropy_bound": 0.1})):
                row[f"{name} {list(changes.values())[0]}"] = accuracy(self.service, task, examples, remasking=name, **changes)
            table[task] = row
        return table

    def policies(self):
        """K/V policies and guidance."""
        settings = {"exact": {}, "prefix": {"cache": "PREFIX"}, "dual": {"cache": "DUAL"}, "guidance 0.5": {"cfg_scale": 0.5},
                    "guidance 1.5": {"cfg_scale": 1.5}}
        table = {}
        for task in COMPARED:
            examples = questions.draw(task, self.grid)
            table[task] = {name: accuracy(self.service, task, examples, block_length=16, **changes)
                           for name, changes in settings.items()}
        return table

    def ends(self):
        """The share of EOS and EOT among the first quarter of reveals, with and without blocks and each EOS switch."""
        task = COMPARED[1]
        examples = questions.draw(task, self.grid)
        table = {}
        for blocks, block in (("one block", 32), ("blocks of 8", 8)):
            for name, switch in (("no switch", {}), ("logits_eos_inf", {"logits_eos_inf": True}),
                                 ("confidence_eos_eot_inf", {"confidence_eos_eot_inf": True})):
                answers = self.service.reveals([e.messages for e in examples], gen_length=32, block_length=block, seed=1, **switch)
                first = [token for answer in answers for token in answer[:8]]
                ended = sum(token == "" or token.startswith("<|") for token in first) / len(first)  # Control tokens.
                right = accuracy(self.service, task, examples, gen_length=32, block_length=block, **switch)["right"]
                table[f"{blocks}, {name}"] = {"ended": ended, "right": right}
        return table

    def infilling(self):
        """Tokens of held-out sentences and of poems, masked at random and filled one a step: the share that is right."""
        r = random.Random(3)
        tokenized = {"held-out sentences": questions.held_out_texts(self.grid),
                     "poems never asked about": ["\n".join(poem) for poem in questions.poems.POEMS[questions.poems.LEARNT:]]}
        table = {}
        for name, texts in tokenized.items():
            ids = self.service.together(self.service.tokenize, texts)
            table[name] = {}
            for share in (0.15, 0.5, 0.85):
                hidden = [sorted(r.sample(range(len(row)), max(1, round(share * len(row))))) for row in ids]
                asked = [[segment for i, token in enumerate(row) for segment in ([1] if i in gap else [[token]])]
                         for row, gap in zip(ids, map(set, hidden))]
                replies = self.service.infill(asked)
                pairs = [(row[i], span.token_ids[0]) for row, gap, reply in zip(ids, hidden, replies)
                         for i, span in zip(gap, reply.spans)]
                table[name][share] = sum(a == b for a, b in pairs) / len(pairs)
        return table

    def likelihood(self):
        """Bits a token, as the bound by which LLaDA trains has it: of held-out sentences, and of right answers to held-out problems."""
        table = {}
        for name, pairs in questions.likely(self.grid).items():
            scores = [reply.scores[0] for reply in self.service.score(pairs, samples=128, seed=1)]
            tokens = sum(score.tokens for score in scores)
            per_token = 1 / math.log(2) / tokens
            table[name] = {"bits": -sum(score.log_likelihood for score in scores) * per_token,
                           "error": math.hypot(*(score.standard_error for score in scores)) * per_token, "tokens": tokens,
                           "texts": len(scores)}
        return table

    def lines_infilled(self):
        """The reversal test's second column: a line of a poem that was never asked about, between or beside its neighbours."""
        table = {}
        for forward in (True, False):
            asked, wanted = [], []
            for poem in questions.poems.POEMS[questions.poems.LEARNT:]:
                for i in range(len(poem) - 1):
                    gap = len(self.service.tokenize("\n" + poem[i + 1])) - 1
                    asked.append([poem[i] + "\n", gap] if forward else [gap, "\n" + poem[i + 1]])
                    wanted.append(poem[i + 1] if forward else poem[i])
            replies = self.service.infill(asked)
            table["after" if forward else "before"] = sum(r.spans[0].text.strip() == w for r, w in zip(replies, wanted)) / len(wanted)
        return table

    def few_shot(self):
        """Four pairs of a relation and a fifth word, as plain text."""
        prompts = questions.few_shot(self.problems)
        replies = self.service.generate([prompt for prompt, _ in prompts], gen_length=8, block_length=8, seed=1)
        return sum(questions.few_shot_right(answer, reply.text) for reply, (_, answer) in zip(replies, prompts)) / len(prompts)

    def papers(self):
        """Each turn of the papers' own cases."""
        table = []
        for case, turns in questions.papers.CASES.items():
            for turn in range(len(turns)):
                example = questions.papers.conversation(case, turn)
                reply = self.service.generate([example.messages], gen_length=64, seed=1)[0]
                table.append({"case": case, "turn": turn, "question": example.messages[-1][1], "answer": reply.text,
                              "right": reply.text.strip() == example.answer, "passes": reply.usage.forward_passes})
        reply = self.service.infill([["The", 1, " brown", 1, " jumps over the", 1, " dog."]])[0]
        table.append({"case": "the fox", "turn": 0, "question": "The [MASK] brown [MASK] jumps over the [MASK] dog.", "answer": reply.text,
                      "right": reply.text == questions.papers.FOX, "passes": reply.usage.forward_passes})
        return table


PARTS = ["tasks", "follow_ups", "papers", "steps", "lines_infilled", "few_shot", "ends", "infilling", "likelihood", "strategies", "policies", "blocks"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unmask")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "demo")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--grid", type=int, default=60)
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    with Service(options.unmask, options.model) as service:
        parts = Parts(service, options.problems, options.grid)
        for name in options.parts.split(","):
            if name in results:
                continue
            began = time.time()
            results[name] = getattr(parts, name)()
            results.setdefault("seconds", {})[name] = round(time.time() - began)
            results["settings"] = {"problems": options.problems, "grid": options.grid}
            path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
            print(f"{name}: {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
