#!/usr/bin/env python3
"""report.py OUT.html RUN.json...: one page of load runs. A run is what `ghz -O json` wrote, or what run.py made of it
(the same, with the coordinator's gauges while it ran)."""

import html
import json
import sys

FONT = 'font-family="sans-serif" font-size="12"'
WIDTH, HEIGHT, LEFT, BOTTOM = 460, 220, 56, 34
COLOURS = ["#3b6ea5", "#d98e04", "#8fb339", "#a23b72"]
STYLE = """body { font: 15px sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: 3px 12px 3px 0; text-align: right } td:first-child, th:first-child { text-align: left }
th { border-bottom: 1px solid #999 } section { margin-top: 2.5em } figure { display: inline-block; margin: 1em 1em 0 0 } .bad { color: #b00020 }"""


def milliseconds(nanoseconds):
    value = nanoseconds / 1e6
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms" if value < 10000 else f"{value / 1000:.1f} s"


def percentile(run, which):
    for point in run.get("latencyDistribution") or []:
        if point["percentage"] == which:
            return milliseconds(point["latency"])
    return "–"


def frame(title, x_label, y_label, largest, parts):
    middle = (LEFT + WIDTH) / 2
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT + 24}" role="img">'
            f'<text x="{LEFT}" y="14" {FONT} font-weight="bold">{html.escape(title)}</text>'
            f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH}" y2="{HEIGHT - BOTTOM}" stroke="#999"/>'
            f'<text x="{LEFT - 6}" y="30" {FONT} text-anchor="end">{largest:g}</text>'
            f'<text x="{LEFT - 6}" y="{HEIGHT - BOTTOM}" {FONT} text-anchor="end">0</text>'
            f'<text x="{middle}" y="{HEIGHT + 14}" {FONT} text-anchor="middle">{html.escape(x_label)}</text>'
            f'<text x="12" y="{HEIGHT / 2}" {FONT} text-anchor="middle" transform="rotate(-90 12 {HEIGHT / 2})">'
            f'{html.escape(y_label)}</text>' + "".join(parts) + "</svg>")


def histogram(run):
    """ghz's buckets: the count of calls up to each mark."""
    buckets = run.get("histogram") or []
    if not buckets:
        return ""
    largest = max(bucket["count"] for bucket in buckets) or 1
    step = (WIDTH - LEFT) / len(buckets)
    parts = []
    for i, bucket in enumerate(buckets):
        tall = (HEIGHT - BOTTOM - 24) * bucket["count"] / largest
        x = LEFT + i * step
        parts.append(f'<rect x="{x + 2:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" width="{step - 4:.1f}" height="{tall:.1f}" fill="{COLOURS[0]}">'
                     f'<title>{bucket["count"]} calls up to {milliseconds(bucket["mark"] * 1e9)}</title></rect>')
        if i % 2 == 0:
            parts.append(f'<text x="{x + step / 2:.1f}" y="{HEIGHT - BOTTOM + 14}" {FONT} text-anchor="middle">'
                         f'{milliseconds(bucket["mark"] * 1e9)}</text>')
    return frame("Latency", "a call's latency, up to", "calls", largest, parts)


def timeline(title, y_label, lines):
    """lines: name -> [(seconds, value)]."""
    points = [point for line in lines.values() for point in line]
    if len(points) < 2:
        return ""
    longest, largest = max(x for x, _ in points) or 1, max(y for _, y in points) or 1
    parts = []
    for i, (name, line) in enumerate(lines.items()):
        path = " ".join(f"{LEFT + (WIDTH - LEFT - 6) * x / longest:.1f},{HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 24) * y / largest:.1f}"
                        for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[i]}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - 8}" y="{30 + 15 * i}" {FONT} text-anchor="end" fill="{COLOURS[i]}">{html.escape(name)}</text>')
    parts.append(f'<text x="{WIDTH - 6}" y="{HEIGHT - BOTTOM + 14}" {FONT} text-anchor="end">{longest:.0f} s</text>')
    return frame(title, "seconds", y_label, largest, parts)


def queue(run):
    samples = run.get("samples") or []
    if not samples:
        return ""
    begin = samples[0]["at"]
    names = {"unmask_queued_requests": "waiting", "unmask_running_requests": "running"}
    lines = {text: [(s["at"] - begin, s[name]) for s in samples if name in s] for name, text in names.items()}
    return timeline("The coordinator's own gauges", "requests", {k: v for k, v in lines.items() if v})


def throughput(run):
    per_second = {}
    for second in run.get("ended_by_second") or []:
        for code, count in second["codes"].items():
            per_second.setdefault(code, []).append((second["second"], count))
    return timeline("Answers a second", "answers", per_second)


def codes(run):
    return ", ".join(f'{count} <span class="{"" if code == "OK" else "bad"}">{html.escape(code)}</span>'
                     for code, count in sorted(run["statusCodeDistribution"].items(), key=lambda pair: -pair[1]))


def page(runs):
    rows = "".join(
        f'<tr><td><a href="#{i}">{html.escape(run.get("name") or run["options"]["call"])}</a></td><td>{run["count"]}</td>'
        f'<td>{run["rps"]:.0f}</td><td>{percentile(run, 50)}</td><td>{percentile(run, 99)}</td><td>{codes(run)}</td>'
        f'<td>{run.get("calls_per_core_second", 0) or "–"}</td></tr>' for i, run in enumerate(runs))
    sections = "".join(
        f'<section id="{i}"><h2>{html.escape(run.get("name") or run["options"]["call"])}</h2><p>{codes(run)}. '
        f'{html.escape(run["options"]["call"])}, {run["options"].get("concurrency", "?")} at once, {run["date"][:19]}.</p>'
        + "".join(f"<figure>{figure}</figure>" for figure in (histogram(run), queue(run), throughput(run)) if figure)
        + "".join(f'<p class="bad">{count} × {html.escape(error)}</p>' for error, count in (run.get("errorDistribution") or {}).items())
        + "</section>" for i, run in enumerate(runs))
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Load on Unmask</title><style>{STYLE}</style>'
            "<h1>Load on Unmask</h1><table><tr><th>run</th><th>calls</th><th>calls/s</th><th>p50</th><th>p99</th><th>codes</th>"
            f"<th>calls per second of coordinator core</th></tr>{rows}</table>{sections}</html>\n")


def main(out, *files):
    runs = []
    for file in files:
        with open(file) as source:
            runs.append(json.load(source))
    with open(out, "w") as target:
        target.write(page(runs))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
