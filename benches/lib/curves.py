"""Curves as an SVG: both axes logarithmic, so that what grows with its cause is a line as steep as the dotted one, and what does not is flat."""
import math

WIDTH, HEIGHT, LEFT, TOP, ROW = 330, 210, 44, 26, 270
COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#8c564b', '#e377c2', '#7f7f7f']


def svg(panels):
    """Panels of (title, [(label of x, x)], {name: [y]}), two in a row."""
    rows = -(-len(panels) // 2)
    inside = ''.join(panel(*of, LEFT + n % 2 * (WIDTH + 150), TOP + n // 2 * ROW) for n, of in enumerate(panels))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * (WIDTH + 150)} {rows * ROW}" font-family="sans-serif" font-size="11">'
            f'<rect width="100%" height="100%" fill="#fff"/>{inside}</svg>\n')


def panel(title, xs, curves, left, top):
    positions = [x for _, x in xs]
    values = [max(y, 1e-3) for ys in curves.values() for y in ys]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values) * 1.001))

    def at(x, y):
        across = math.log(x / positions[0]) / math.log(positions[-1] / positions[0]) if len(positions) > 1 else 0
        return left + across * WIDTH, top + HEIGHT - math.log(max(y, low) / low) / math.log(high / low) * HEIGHT
    parts = [f'<text x="{left}" y="{top - 10}" font-weight="bold">{title}</text>',
             f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    tick = low
    while tick <= high * 1.001:
        _, y = at(positions[0], tick)
        parts.append(f'<path d="M{left} {y:.0f}h{WIDTH}" stroke="#ddd"/><text x="{left - 4}" y="{y + 4:.0f}" text-anchor="end">{tick:g}</text>')
        tick *= 10
    for label, x in xs:
        parts.append(f'<text x="{at(x, low)[0]:.0f}" y="{top + HEIGHT + 14}" text-anchor="middle">{label}</text>')
    # as much more as there is more of it, up to the top
    end = min(positions[-1], positions[0] * high / low)
    (x1, y1), (x2, y2) = at(positions[0], low), at(end, low * end / positions[0])
    parts.append(f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="#999" stroke-dasharray="2 4"/>')
    names = sorted(curves, key=lambda name: -curves[name][-1])
    for n, name in enumerate(names):
        colour = COLOURS[list(curves).index(name)]
        line = ' '.join(f'{a:.0f},{b:.0f}' for a, b in (at(x, y) for x, y in zip(positions, curves[name])))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
                     f'<text x="{left + WIDTH + 8}" y="{top + 12 + 15 * n}" fill="{colour}">{name}</text>')
    return ''.join(parts)
