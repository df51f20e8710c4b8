"""Line charts as plain SVG."""

COLOURS = ["#3b6ea5", "#d98e04", "#8fb339", "#a23b72", "#2a9d8f", "#c44536", "#7d5ba6", "#5c6b73", "#b0a084", "#1b1b1b"]
FONT = 'font-family="sans-serif" font-size="13"'
LEFT, TOP, WIDTH, HEIGHT = 60, 40, 420, 260


def chart(title, series, x_label, y_label, ticks, y_top=None, places=None):
    """`series`: {name: [(x, y)]}. `ticks`: [(x, label)], in the order in which they stand from left to right."""
    xs = [x for x, _ in ticks]
    low, high = xs[0], xs[-1]
    y_top = y_top or max(y for points in series.values() for _, y in points) * 1.05

    def at(x, y):
        return LEFT + (x - low) / (high - low) * WIDTH, TOP + HEIGHT * (1 - min(y, y_top) / y_top)

    parts = [f'<text x="10" y="22" {FONT} font-weight="bold">{title}</text>']
    for i in range(6):
        y = y_top * i / 5
        _, py = at(low, y)
        label = f"{100 * y:.0f} %" if places is None else f"{y:.{places}f}"
        parts.append(f'<line x1="{LEFT}" y1="{py:.1f}" x2="{LEFT + WIDTH}" y2="{py:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{py + 4:.1f}" {FONT} text-anchor="end">{label}</text>')
    for x, label in ticks:
        px, _ = at(x, 0)
        parts.append(f'<text x="{px:.1f}" y="{TOP + HEIGHT + 18}" {FONT} text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" {FONT} text-anchor="middle">{x_label}</text>')
    parts.append(f'<text x="{LEFT + WIDTH}" y="{TOP - 8}" {FONT} text-anchor="end">{y_label}</text>')
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(x, y) for x, y in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) < 20:
            parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in (at(x, y) for x, y in points)]
        y = TOP + 12 + 20 * i
        parts.append(f'<rect x="{LEFT + WIDTH + 20}" y="{y - 9}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + WIDTH + 38}" y="{y + 2}" {FONT}>{name}</text>')
    width, height = LEFT + WIDTH + 240, max(TOP + HEIGHT + 50, TOP + 20 + 20 * len(series))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")
