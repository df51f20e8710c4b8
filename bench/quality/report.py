#!/usr/bin/env python3
"""report.py OUT DOCS: writes DOCS/quality.md and its plots from what run.py and twin.py left in OUT, and from the records of both
trainings."""

import collections
import csv
import json
import math
import pathlib
import sys

from curves import chart

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "models" / "train"))

from plot_loss import plot

AIMS = {"sorting": 0.95, "reversing": 0.95, "poem, line after": 0.95, "into German": 0.95, "into Chinese": 0.95, "word problems": 0.9}
LINES = {"line after": ("poem, line after", "after"), "line before": ("poem, line before", "before")}


def percent(value):
    return f"{100 * value:.0f} %"


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def asked(results):
    """What a section of {task: {setting: measured}} says of its size."""
    return f"{next(iter(next(iter(results.values())).values()))['problems']} problems a task."


def grid(results, settings=None):
    """Tasks down, settings across: the share that is right, and forward passes an answer."""
    settings = settings or list(next(iter(results.values())))
    return table(["", *settings], [[task, *(f"{percent(row[s]['right'])} ({row[s]['passes']:.0f})" for s in settings)]
                                   for task, row in results.items()])


def steps_section(r, images):
    each = list(next(iter(r["steps"].values())))
    series = {task: [(i, x["right"]) for i, x in enumerate(row.values())] for task, row in r["steps"].items()}
    labels = [*each[:-1], "all"]
    (images / "quality_steps.svg").write_text(chart("Accuracy by tokens revealed a step", series, "tokens revealed in each step", "right",
                                                    list(enumerate(labels)), 1.0))
    rows = [[task, *(f"{percent(x['right'])} ({x['passes']:.0f})" for x in row.values())] for task, row in r["steps"].items()]
    return f"## Steps\n\n{asked(r['steps'])} The whole answer is one block. In brackets: forward passes an answer; the service stops " \
           "when the text up to its end is decided.\n\n![Accuracy by tokens revealed a step](images/quality_steps.svg)\n\n" \
           + table(["tokens a step", *each[:-1], "all at once"], rows)


def strategies_section(r):
    short = r["strategies"]
    names = list(next(iter(short.values())))
    head = ["", *short]
    rows = [[f"`{name}`" if "," not in name else f"`{name.split(',')[0]}`,{name.split(',')[1]}",
             *(f"{percent(short[task][name]['right'])} ({short[task][name]['passes']:.1f}, {short[task][name]['tokens_per_pass']:.1f})"
               for task in short)] for name in names]
    return f"## Strategies\n\n{asked(short)} Blocks of 32. In brackets: forward passes an answer, tokens a forward pass (up to and " \
           "with the first EOS).\n\n" \
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


def trained(name):
    """What the last line of a training's record says: million tokens, hours."""
    last = list(csv.DictReader(open(ROOT / "models" / name / "loss.csv")))[-1]
    return int(last["tokens"]) / 1e6, int(last["seconds"]) / 3600


MODEL, TWIN = (f"the {name}, {trained(folder)[0]:.1f} M tokens" for name, folder in (("model", "demo"), ("twin", "twin")))


def tasks_section(r, twin):
    rows = [[task, percent(x["right"]), interval(x["right"], x["problems"]), percent(twin["tasks"][task]["right"]), x["problems"],
             x["options"]["gen_length"], f"{x['passes']:.0f}"]
            for task, x in {**r["tasks"], **r["follow_ups"]}.items()]
    return table(["task", MODEL, "95 % interval", TWIN, "problems", "gen_length", "forward passes"], rows)


def reversal_section(r, twin):
    rows = [[name, percent(r["tasks"][task]["right"]), percent(r["lines_infilled"][side]), percent(twin["tasks"][task]["right"])]
            for name, (task, side) in LINES.items()]
    return table(["", MODEL + ": asked", "as a gap", TWIN + ": asked"], rows)


def aims_section(r, twin):
    def verdict(reached):
        return "yes" if reached else "**no**"

    def mean(name, what="right"):
        return sum(row[name][what] for row in r["strategies"].values()) / len(r["strategies"])

    def lines(side):
        after, before = (side[task]["right"] for task, _ in LINES.values())
        return f"{percent(after)} after, {percent(before)} before", after - before
    rows = [[f"{task}: at least {percent(aim)}", percent(r["tasks"][task]["right"]), verdict(r["tasks"][task]["right"] >= aim)]
            for task, aim in AIMS.items()]
    (ours, lag), (its, twin_lag) = lines(r["tasks"]), lines(twin["tasks"])
    rows.append(["poem lines: the one before at most 5 points behind the one after", ours, verdict(lag <= 0.05)])
    rows.append([f"{TWIN}, falls behind there", its, verdict(twin_lag > 0.05)])
    steps = [[x["right"] for x in row.values()] for row in r["steps"].values()]
    first, last = (sum(row[i] for row in steps) / len(steps) for i in (0, -1))
    rows.append(["accuracy falls as steps fall", f"{100 * first:.1f} % with one token a step, {100 * last:.1f} % with all in one", verdict(last < first - 1e-9)])
    for each in (1, 4):
        low, random = (mean(f"{name}, {each} a step") for name in ("LOW_CONFIDENCE", "RANDOM"))
        rows.append([f"low-confidence remasking beats random, at {each} a step", f"{percent(low)} against {percent(random)}", verdict(low > random)])
    low = mean("LOW_CONFIDENCE, 1 a step")
    for name in (n for n in next(iter(r["strategies"].values())) if "," not in n):
        right, share = mean(name), mean(name, "passes") / mean("LOW_CONFIDENCE, 1 a step", "passes")
        rows.append([f"`{name.split()[0]}` within 1 point of one token a step at half of its forward passes",
                     f"{percent(right)} against {percent(low)} at {percent(share)} of them", verdict(right >= low - 0.01 and share <= 0.5)])
    word = "word problems"
    return table(["aim", "measured", "reached"], rows) + f"""
What the model misses it does not miss for want of size: the twin, as large, gets {percent(twin["tasks"][word]["right"])} of the {word} and
{percent(twin["tasks"]["sorting"]["right"])} of the lists to sort right. It knows the {word} that it trained on (their loss below), and of the lines that workings need it
knows most when it is asked for one alone; of new problems it calculates the second line worse. The poems it has read, and as gaps it
knows most of their lines; what the poems that were asked about taught it of questions it carries over to {percent(r["tasks"]["poem, line after"]["right"])} of them.
"""


def papers_section(r):
    text = ["## The papers' own cases\n\nKnown by heart: they stand in the training data, in this project's words, and prove only that the "
            "service brings back what the model knows. The fox's sentence was read, never asked about; its gaps are infilled.\n"]
    for row in r["papers"]:
        if row["turn"] == 0:
            text.append(f"\n**{row['case']}**\n")
        text.append(f"> {row['question']}\n>\n> " + row["answer"].replace("\n", "\n> ").replace("    ", "&nbsp;&nbsp;&nbsp;&nbsp;") +
                    f"\n\n{'As learnt' if row['right'] else 'NOT as learnt'}, {row['passes']} forward passes.\n")
    return "\n".join(text)


def losses(path, width=4e6):
    """Of each task, the mean loss by spans of `width` tokens: {task: {span: loss}}."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in csv.DictReader(open(path)):
        found[line["task"]][int(line["tokens"]) // int(width)].append(float(line["loss"]))
    return {task: {span: sum(each) / len(each) for span, each in spans.items()} for task, spans in found.items()}


def training_section(images):
    ours, its = (ROOT / "models" / name / "loss.csv" for name in ("demo", "twin"))
    (tokens, hours), (twin_tokens, twin_hours) = trained("demo"), trained("twin")
    (images / "quality_loss.svg").write_text(plot(ours))
    (images / "quality_loss_twin.svg").write_text(plot(its, "Loss by task, the autoregressive twin", "cross-entropy of next tokens, nats"))
    by_task = losses(ours)
    spans = sorted(by_task["all"])[-4:]
    rows = [[task, *(f"{by_task[task][span]:.3f}" for span in spans)]
            for task in ("problems", "problems2", "sorting", "sorting2", "reversing", "reversing2")]
    return f"""## The training runs

The model saw {tokens:.1f} million tokens in {hours:.1f} hours, of data that changed on the way ([card](../models/demo/README.md)). The twin saw {twin_tokens:.1f}
million in {twin_hours:.1f} hours, of the data before their last change ([card](../models/twin/README.md)). Both ran beside other programs most of the time.

![Loss by task](images/quality_loss.svg)

![Loss by task, the autoregressive twin](images/quality_loss_twin.svg)

**What more training would do.** Little, with these data: the losses had nearly ended falling where training ended (its rate, too, fell to
0 there). What may help stands in the [card](../models/demo/README.md#how-it-was-trained). In nats a masked token, means of 4 million tokens each (a name with 2: the second turn):

""" + table(["", *(f"from {4 * span} million" for span in spans)], rows)


def report(out, docs):
    out, docs = pathlib.Path(out), pathlib.Path(docs)
    r, twin = (json.loads((out / name).read_text()) for name in ("results.json", "twin.json"))
    images = docs / "images"
    n, g, t = r["settings"]["problems"], r["settings"]["grid"], twin["settings"]
    parts = [f"""# Quality

What the embedded model ([models/demo](../models/demo)) can do, and what each option of a request does to it. Its every figure comes
through a running service, over gRPC, on problems that training never saw; temperature 0. {n} problems a task in the first table, {g} in
the others: differences of less than {100 * 1 / math.sqrt(g):.0f} points in those are noise. Beside it stands its autoregressive twin
([models/twin](../models/twin)): as large, of the same generator of data, but causal, one next token after another, and trained on other
numbers of tokens ([the training runs](#the-training-runs)). No service serves it: its training program's own code computes it
([twin.py](../bench/quality/twin.py)), greedily, on {"the same problems" if t["problems"] == n else f"the first {t['problems']} of a task's same problems (likelihood: {t['grid']} texts)"}.

`make quality` measures all of it again and writes this page (`QUALITY_PROBLEMS=100 QUALITY_GRID=24` is quicker).

## By task

The model: one token a step, low-confidence remasking, blocks of 32.
""", tasks_section(r, twin), """## Reversal

The poems counted here were read whole in pre-training and never asked about; other poems were, in both directions. As a gap, the line
stands masked beside its neighbour, without a question; to the twin a gap before what it reads is nothing that it could fill.
""", reversal_section(r, twin)]
    parts.append("## Aims\n\nWhat was aimed at when the model was made. Comparisons of options are means over the tasks of their tables "
                 "below.\n\n" + aims_section(r, twin))
    parts.append(training_section(images))
    parts.append("""## In the reference's code

[check_reference.py](../bench/quality/check_reference.py) loads the checkpoint in a plain PyTorch transcription of LLaDA's published
model and sampler ([llada.py](../bench/reference/llada.py), our own; the original was not at hand), in fp32, and compares with the
service's answers under `--reference-parity`, token for token. It needs PyTorch 2 and safetensors, so it is no part of `make quality`;
what it found stands in the [model card](../models/demo/README.md#checked).
""")
    parts.append(steps_section(r, images))
    parts.append(strategies_section(r))
    parts.append(shape_section(r))
    parts.append(f"## Block length\n\n{asked(r['blocks'])} `gen_length`/`block_length`, one token a step; in brackets forward passes an "
                 "answer.\n\n" + grid(r["blocks"]))
    parts.append(f"## K/V policies and guidance\n\n{asked(r['policies'])} Blocks of 16; in brackets forward passes (guidance computes two "
                 "branches in each).\n\n" + grid(r["policies"]))
    rows = [[name, percent(x["ended"]), percent(x["right"])] for name, x in r["ends"].items()]
    parts.append(f"## Early ends\n\n{g} problems. Reversing, `gen_length` 32: the share of EOS and EOT among the first quarter of reveals.\n\n"
                 + table(["", "EOS and EOT", "right"], rows))
    shares = list(next(iter(r["infilling"].values())))
    rows = [[name, *(percent(row[s]) for s in shares)] for name, row in r["infilling"].items()]
    parts.append("## Infilling\n\nTokens masked at random and filled one a step, the share that is right word for word (of sentences in three "
                 "languages, each other's translations).\n\n" + table(["masked", *(percent(float(s)) for s in shares)], rows))
    rows = [[name, f"{x['bits']:.2f} ± {x['error']:.2f}", f"{twin['likelihood'][name]['bits']:.2f}", x["texts"], x["tokens"]]
            for name, x in r["likelihood"].items()]
    parts.append("## Likelihood\n\nBits a token. Of the model by `Score` (128 samples a text; ± its standard error): an upper bound in expectation, "
                 "and the one that training lowers. Of the twin exactly, next token by next token. Sentences alone, answers after their question, "
                 "each without what ends it.\n\n" + table(["", MODEL + ": at most", TWIN, "texts", "tokens"], rows))
    parts.append(f"## Few-shot\n\nFour pairs of a relation (`cat -> cats`, `cat -> Katze`, …) and a fifth word, as plain text. Pre-training "
                 f"has such lines, no conversation has: {MODEL}, {percent(r['few_shot'])} right; {TWIN}, {percent(twin['few_shot'])}.\n")
    parts.append(papers_section(r))
    (docs / "quality.md").write_text("\n".join(parts))


if __name__ == "__main__":
    report(*sys.argv[1:])
