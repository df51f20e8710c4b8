#!/usr/bin/env python3
"""report.py RESULTS DOCS [LOSS_CSV]: writes DOCS/quality.md and its plots from run.py's results.json and train.py's loss.csv."""

import csv
import json
import math
import pathlib
import sys

from curves import chart

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "models" / "train"))

from plot_loss import plot


def percent(value):
    return f"{100 * value:.0f} %"


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def grid(results, settings=None):
    """Tasks down, settings across: the share that is right, and forward passes an answer."""
    settings = settings or list(next(iter(results.values())))
    return table(["", *settings], [[task, *(f"{percent(row[s]['right'])} ({row[s]['passes']:.0f})" for s in settings)]
                                   for task, row in results.items()])


def steps_section(r, images):
    each = list(next(iter(r["steps"].values())))
    series = {task: [(i, row[e]["right"]) for i, e in enumerate(each)] for task, row in r["steps"].items()}
    labels = [*each[:-1], "all"]
    (images / "quality_steps.svg").write_text(chart("Accuracy by tokens revealed a step", series, "tokens revealed in each step", "right",
                                                    list(enumerate(labels)), 1.0))
    rows = [[task, *(f"{percent(x['right'])} ({x['passes']:.0f})" for x in row.values())] for task, row in r["steps"].items()]
    return "## Steps\n\nThe whole answer is one block. In brackets: forward passes an answer; the service stops when the text up to its " \
           "end is decided.\n\n![Accuracy by tokens revealed a step](images/quality_steps.svg)\n\n" \
           + table(["tokens a step", *each[:-1], "all at once"], rows)


def strategies_section(r):
    short = r["strategies"]
    names = list(next(iter(short.values())))
    head = ["", *short]
    rows = [[f"`{name}`" if "," not in name else f"`{name.split(',')[0]}`,{name.split(',')[1]}",
             *(f"{percent(short[task][name]['right'])} ({short[task][name]['passes']:.1f}, {short[task][name]['tokens_per_pass']:.1f})"
               for task in short)] for name in names]
    return "## Strategies\n\nBlocks of 32. In brackets: forward passes an answer, tokens a forward pass (up to and with the first EOS).\n\n" \
           + table(head, rows)


def shape_section(r):
    """What the papers say of options, and whether it came out so here."""
    def mean(pick):
        return sum(pick(row) for row in r["strategies"].values()) / len(r["strategies"])

    def right(name):
        return mean(lambda row: row[name]["right"])
    full, passes = right("LOW_CONFIDENCE, 1 a step"), mean(lambda row: row["LOW_CONFIDENCE, 1 a step"]["passes"])
    lines = [f"* Low-confidence remasking: {percent(full)} at one token a step, {percent(right('LOW_CONFIDENCE, 4 a step'))} at four; random: "
             f"{percent(right('RANDOM, 1 a step'))} and {percent(right('RANDOM, 4 a step'))}."]
    for name in (n for n in next(iter(r["strategies"].values())) if "," not in n):
        share = mean(lambda row: row[name]["passes"]) / passes
        lines.append(f"* `{name.split()[0]}` ({name.split()[1]}): {percent(right(name))} with {percent(share)} of the forward passes.")
    best = [f"* {task}: the fewest forward passes at the best accuracy ({percent(top)}) came with {name.replace('_', ' ').lower()} "
            f"({row[name]['passes']:.1f})."
            for task, row in r["strategies"].items() for top in [max(x["right"] for x in row.values())]
            for name in [min((n for n in row if row[n]["right"] == top), key=lambda n: row[n]["passes"])]]
    return "Means over the tasks of the table:\n\n" + "\n".join(lines) + "\n\n**Best setting by task** (within the noise of so few " \
           "problems):\n\n" + "\n".join(best) + "\n"


def interval(share, count):
    """Agresti and Coull's: fair also where all or nothing is right."""
    centre = (share * count + 2) / (count + 4)
    half = 1.96 * math.sqrt(centre * (1 - centre) / (count + 4))
    return f"{100 * max(0, centre - half):.0f} to {100 * min(1, centre + half):.0f} %"


def tasks_section(r):
    rows = [[task, percent(x["right"]), x["problems"], x["options"]["gen_length"], f"{x['passes']:.0f}",
             interval(x["right"], x["problems"])]
            for task, x in {**r["tasks"], **r.get("follow_ups", {})}.items()]
    return table(["task", "right", "problems", "gen_length", "forward passes", "95 % interval"], rows)


def papers_section(r):
    text = ["## The papers' own cases\n\nKnown by heart: they stand in the training data, in this project's words, and prove only that the "
            "service brings back what the model knows. The fox's sentence was read, never asked about; its gaps are infilled.\n"]
    for row in r["papers"]:
        if row["turn"] == 0:
            text.append(f"\n**{row['case']}**\n")
        text.append(f"> {row['question']}\n>\n> " + row["answer"].replace("\n", "\n> ").replace("    ", "&nbsp;&nbsp;&nbsp;&nbsp;") +
                    f"\n\n{'As learnt' if row['right'] else 'NOT as learnt'}, {row['passes']} forward passes.\n")
    return "\n".join(text)


def loss_section(path, images):
    last = list(csv.DictReader(open(path)))[-1]
    (images / "quality_loss.svg").write_text(plot(path))
    return f"{int(last['tokens']) / 1e6:.1f} million tokens, {int(last['seconds']) / 3600:.1f} hours"


def report(results, docs, loss=None):
    r = json.loads(pathlib.Path(results).read_text())
    docs = pathlib.Path(docs)
    images = docs / "images"
    trained = loss_section(loss, images) if loss else ""
    n, g = r["settings"]["problems"], r["settings"]["grid"]
    parts = [f"""# Quality

What the embedded model ([models/demo](../models/demo)) can do, and what each option of a request does to it. Every figure comes
through a running service, over gRPC, on problems that training never saw; temperature 0. {n} problems a task in the first table, {g} in
the others: differences of less than {100 * 1 / math.sqrt(g):.0f} points in those are noise.

`make quality` measures all of it again and writes this page (`QUALITY_PROBLEMS=200 QUALITY_GRID=100` for narrower intervals).

## By task

One token a step, low-confidence remasking, blocks of 32.
"""]
    parts.append(tasks_section(r))
    if "lines_infilled" in r:
        parts.append(f"""The poems counted here were read whole in pre-training and never asked about; other poems were, in both directions. The same
lines as gaps beside their neighbour, without a question: after {percent(r['lines_infilled']['after'])}, before {percent(r['lines_infilled']['before'])}.
""")
    if trained:
        parts.append(f"## The training run\n\n{trained}; see the [model card](../models/demo/README.md).\n\n![Loss by task](images/quality_loss.svg)\n")
    if "steps" in r:
        parts.append(steps_section(r, images))
    if "strategies" in r:
        parts.append(strategies_section(r))
        parts.append(shape_section(r))
    if "blocks" in r:
        parts.append("## Block length\n\n`gen_length`/`block_length`, one token a step; in brackets forward passes an answer.\n\n" + grid(r["blocks"]))
    if "policies" in r:
        parts.append("## K/V policies and guidance\n\nBlocks of 16; in brackets forward passes (guidance computes two branches in each).\n\n"
                     + grid(r["policies"]))
    if "ends" in r:
        rows = [[name, percent(x["ended"]), percent(x["right"])] for name, x in r["ends"].items()]
        parts.append("## Early ends\n\nReversing, `gen_length` 32: the share of EOS and EOT among the first quarter of reveals.\n\n"
                     + table(["", "EOS and EOT", "right"], rows))
    if "infilling" in r:
        shares = list(next(iter(r["infilling"].values())))
        rows = [[name, *(percent(row[s]) for s in shares)] for name, row in r["infilling"].items()]
        parts.append("## Infilling\n\nTokens masked at random and filled one a step, the share that is right word for word (of sentences in three "
                     "languages, each other's translations).\n\n" + table(["masked", *(percent(float(s)) for s in shares)], rows))
    if "likelihood" in r:
        rows = [[name, f"{x['bits']:.2f} ± {x['error']:.2f}", x["texts"], x["tokens"]] for name, x in r["likelihood"].items()]
        parts.append("## Likelihood\n\nBits a token by `Score` (128 samples a text; ± its standard error): an upper bound in expectation, and "
                     "the one that training lowers. Sentences alone, answers after their question, each without what ends it.\n\n"
                     + table(["", "bits a token", "texts", "tokens"], rows))
    if "few_shot" in r:
        parts.append(f"## Few-shot\n\nFour pairs of a relation (`cat -> cats`, `cat -> Katze`, …) and a fifth word, as plain text. Pre-training "
                     f"has such lines, no conversation has: {percent(r['few_shot'])} right.\n")
    if "papers" in r:
        parts.append(papers_section(r))
    parts.append("## Not here yet\n\nThe autoregressive twin beside all this: the training program has the switch (`--autoregressive`), no twin has "
                 "been trained.\n")
    (docs / "quality.md").write_text("\n".join(parts))


if __name__ == "__main__":
    report(*sys.argv[1:])
