"""Charts as plain SVG."""

COLOURS = ["#3b6ea5", "#8fb339", "#d98e04", "#a23b72", "#5c6b73", "#2a9d8f", "#c44536", "#7d5ba6", "#b0a084"]
FONT = 'font-family="sans-serif" font-size="13"'


def _document(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def bars(title, rows, unit):
    """rows: (label, value, colour index)."""
    left, width, row = 250, 720, 26
    largest = max(value for _, value, _ in rows)
    parts = [f'<text x="10" y="22" {FONT} font-weight="bold">{title}</text>']
    for i, (label, value, colour) in enumerate(rows):
        y = 40 + i * row
        length = (width - left - 110) * value / largest
        parts.append(f'<text x="{left - 8}" y="{y + 15}" {FONT} text-anchor="end">{label}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{row - 6}" fill="{COLOURS[colour]}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 15}" {FONT}>{value:.3g} {unit}</text>')
    return _document(width, 50 + len(rows) * row, parts)


def shares(title, rows):
    """rows: (label, {part: share of 1}), the same parts in each."""
    left, width, row = 110, 720, 30
    names = list(rows[0][1])
    parts = [f'<text x="10" y="22" {FONT} font-weight="bold">{title}</text>']
    for i, (label, part_of) in enumerate(rows):
        x, y = float(left), 40 + i * row
        parts.append(f'<text x="{left - 8}" y="{y + 17}" {FONT} text-anchor="end">{label}</text>')
        for j, name in enumerate(names):
            length = (width - left - 20) * part_of[name]
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{row - 8}" fill="{COLOURS[j]}"/>')
            x += length
    y = 50 + len(rows) * row
    for j, name in enumerate(names):
        at_x, at_y = left + j % 3 * 200, y + j // 3 * 20
        parts.append(f'<rect x="{at_x}" y="{at_y}" width="12" height="12" fill="{COLOURS[j]}"/>')
        parts.append(f'<text x="{at_x + 18}" y="{at_y + 11}" {FONT}>{name}</text>')
    return _document(width, y + 20 * ((len(names) + 2) // 3) + 10, parts)


def timelines(title, panels):
    """Panels over the same seconds, one below the other. panels: (label, {name: [(second, value)]}); a line keeps its value until the next."""
    left, width, tall = 60, 720, 130
    longest = max(second for _, lines in panels for line in lines.values() for second, _ in line)
    scale = (width - left - 20) / longest
    parts = [f'<text x="10" y="22" {FONT} font-weight="bold">{title}</text>']
    for i, (label, lines) in enumerate(panels):
        top = 62 + i * (tall + 36)
        largest = max(value for line in lines.values() for _, value in line) or 1
        parts.append(f'<text x="10" y="{top - 10}" {FONT}>{label}</text>')
        for value in (0, largest):
            y = top + tall * (1 - value / largest)
            parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 20}" y2="{y:.1f}" stroke="#bbb"/>')
            parts.append(f'<text x="{left - 6}" y="{y + 5:.1f}" {FONT} text-anchor="end">{float(f"{value:.3g}"):g}</text>')
        for j, (name, line) in enumerate(lines.items()):
            path, last = [], None
            for second, value in line:
                y = top + tall * (1 - value / largest)
                path += [f"{left + second * scale:.1f},{last:.1f}"] if last is not None else []
                path.append(f"{left + second * scale:.1f},{y:.1f}")
                last = y
            parts.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="{COLOURS[j]}" stroke-width="1.5"/>')
            parts.append(f'<text x="{width - 20 - 150 * (len(lines) - 1 - j)}" y="{top - 10}" {FONT} text-anchor="end" fill="{COLOURS[j]}">{name}</text>')
    bottom = 62 + len(panels) * (tall + 36)
    for second in range(0, int(longest) + 1, 30):
        parts.append(f'<text x="{left + second * scale:.1f}" y="{bottom - 16}" {FONT} text-anchor="middle">{second} s</text>')
    return _document(width, bottom, parts)
