#!/usr/bin/env python3
"""plot_loss.py LOSS_CSV OUT_SVG: the loss by task over the tokens seen."""

import csv
import math
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "quality"))

from curves import chart

POINTS = 60


def smooth(points):
    """At most POINTS points, each the mean of its neighbours."""
    width = max(1, len(points) // POINTS)
    groups = [points[i:i + width] for i in range(0, len(points), width)]
    return [tuple(sum(column) / len(group) for column in zip(*group)) for group in groups]


def plot(path, title="Loss by task", label="cross-entropy of masked tokens, nats", top=2.0):
    curves = {}
    for line in csv.DictReader(open(path)):
        if not line["task"].endswith("2"):  # Second turns are few: too noisy to draw.
            curves.setdefault(line["task"], []).append((int(line["tokens"]) / 1e6, float(line["loss"])))
    curves.pop("all", None)  # Weighted by 1 / t, so on another scale.
    last = max(x for points in curves.values() for x, _ in points)
    apart = next(apart for apart in (10 ** e * n for e in range(-3, 6) for n in (1, 2, 5)) if 10 * apart >= last)
    ticks = [(apart * i, f"{apart * i:g}") for i in range(math.ceil(last / apart) + 1)]
    drawn = {name: [(x, y) for x, y in smooth(points) if y <= top] for name, points in sorted(curves.items())}
    return chart(title, drawn, "million tokens seen", label, ticks, top, 1)


if __name__ == "__main__":
    pathlib.Path(sys.argv[2]).write_text(plot(sys.argv[1]))
