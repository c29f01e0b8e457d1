"""What people get to see: options, tables and plots that every command shares."""

import math
import os

from .machine import CPUS
from .programs import Problem, progress


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def positives(text):
    return [positive(word) for word in text.split(",")]


def names(text, known):
    """The comma-separated names in `text`, each of which must be known."""
    chosen = text.split(",")
    for name in chosen:
        if name not in known:
            raise Problem(f"there is no {name}: choose from {', '.join(known)}")
    return chosen


def warn_if_busy():
    if os.getloadavg()[0] > 0.5 * len(CPUS):
        progress("note: the machine is busy with something else; measure again later")


def table(lines):
    """Prints rows of words, the first of them headings, in straight columns."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for first, *rest in lines:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:])]
        print("  ".join([first.ljust(widths[0]), *cells]))


# -------------------------------------------------------------------- plots

WIDTH, HEIGHT = 860, 520
LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 70, 40, 560, 420


def plot(title, across, up, lines):
    """An SVG with two logarithmic axes. `lines` are (label, colour, dashes, points).

    Without a background and in middling colours, it can be read on light and
    on dark pages alike.
    """
    points = [point for *_, line in lines for point in line]
    x = scale([point[0] for point in points], LEFT, PLOT_WIDTH)
    y = scale([point[1] for point in points], TOP + PLOT_HEIGHT, -PLOT_HEIGHT)
    parts = [text(LEFT, 16, title, size=15)]
    parts.append(text(LEFT + PLOT_WIDTH / 2, HEIGHT - 12, across, "middle"))
    parts.append(text(LEFT, TOP - 6, up))
    for value in y.marks:
        parts.append(stroke([(LEFT, y(value)), (LEFT + PLOT_WIDTH, y(value))], "#808080", 0.3))
        parts.append(text(LEFT - 8, y(value) + 4, f"{value:,g}", "end"))
    for value in x.marks:
        parts.append(stroke([(x(value), TOP), (x(value), TOP + PLOT_HEIGHT)], "#808080", 0.3))
        parts.append(text(x(value), TOP + PLOT_HEIGHT + 18, f"{value:,g}", "middle"))
    for row, (label, colour, dashes, line) in enumerate(lines):
        parts.append(stroke([(x(a), y(b)) for a, b in line], colour, 2, dashes))
        at = TOP + 14 + 20 * row
        key = LEFT + PLOT_WIDTH + 16
        parts.append(stroke([(key, at - 4), (key + 34, at - 4)], colour, 2, dashes))
        parts.append(text(key + 42, at, label))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def scale(values, start, length):
    """Maps whole decades that hold all `values` to `length` pixels from `start`."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def place(value):
        return start + length * (math.log10(value) - low) / (high - low)

    place.marks = [10.0**exponent for exponent in range(low, high + 1)]
    return place


def stroke(points, colour, width, dashes=""):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
        f' stroke-dasharray="{dashes}"/>'
    )


def text(x, y, words, anchor="start", size=12):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="#808080" font-size="{size}"'
        f' text-anchor="{anchor}">{words}</text>'
    )
