"""What commands share that compare servers: rounds, medians, a table."""

import statistics

from . import report
from .programs import progress


def interleaved(options, measure, names=None):
    """Round after round over all servers, so that a slow minute hits all alike.
    They are those of `--only`, unless there are other `names`.

    `measure(name)` starts the server afresh: where memory happens to lie is
    then part of the spread and not of the result. It gives {column: number},
    the main one first.
    """
    samples = {name: [] for name in names or options.only}
    for number in range(1, options.rounds + 1):
        for name in samples:
            samples[name].append(measure(name))
            values = samples[name][-1].items()
            shown = ", ".join(f"{column} {value:.2f}" for column, value in values)
            progress(f"round {number}/{options.rounds}  {name}: {shown}")
    return samples


def summarise(samples):
    """The main column, and per server every column's median, and the main
    column's spread and ratio.
    """
    main = next(iter(next(iter(samples.values()))[0]))
    rows = {}
    for name, rounds in samples.items():
        values = [sample[main] for sample in rounds]
        rows[name] = {
            "median": {key: statistics.median(s[key] for s in rounds) for key in rounds[0]},
            "min": min(values),
            "max": max(values),
            "rounds": rounds,
        }
    if "floor" in rows:
        floor_median = rows["floor"]["median"][main]
        for row in rows.values():
            row["ratio to floor"] = row["median"][main] / floor_median
    return main, rows


def ratio(rows, name, beside, main):
    """The median of each round's own ratio: what slowed a whole round slowed both."""
    pairs = zip(rows[name]["rounds"], rows[beside]["rounds"])
    return statistics.median(one[main] / other[main] for one, other in pairs)


def table(main, rows, *more):
    """Prints the rows; `more` are keys of a row that are columns as well."""
    others = [key for key in next(iter(rows.values()))["median"] if key != main]
    lines = [["server", main, "min–max", "× floor", *others, *more]]
    for name, row in rows.items():
        ratio = row.get("ratio to floor")
        lines.append([
            name,
            f"{row['median'][main]:.3f}",
            f"{row['min']:.3f}–{row['max']:.3f}",
            f"{ratio:.2f}" if ratio else "",
            *(short(row["median"][key]) for key in others),
            *(str(row[key]) for key in more),
        ])
    report.table(lines)


def short(value):
    """Three digits, or all that stand before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
