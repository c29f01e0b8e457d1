"""`mux`: what one event costs as the connections without any grow in number."""

import statistics
import sys

from . import report
from .machine import SERVER_CPU
from .programs import WORKSPACE, EchoLoad, build, build_floor_mux, progress, running

HELP = "processor time per event, by multiplexer and number of idle connections"

MUXES = ["select", "poll", "epoll-level", "epoll-edge"]
MAKERS = ["hythe", "floor", "python"]

# Whose set is looked through at every wait, so that a fixed number of events
# takes ever longer: it is lowered until as many entries were looked at as this.
SCANNED = {"select", "poll"}
MOST_SCANNED = 2_000_000
FEWEST_EVENTS = 200

# select(2) takes descriptors below 1024, and the others need some.
MOST_FOR_SELECT = 1000
ACTIVE = 10

COLOURS = {
    "select": "#d1495b",
    "poll": "#d98a1f",
    "epoll-level": "#2e9e75",
    "epoll-edge": "#4a7fd6",
}
DASHES = {"hythe": "", "floor": "7 4", "python": "2 4"}


def add_options(sub, _):
    sub.add_argument("--rounds", type=report.positive, default=5, help="per point")
    sub.add_argument("--events", type=report.positive, default=50_000, help="per round")
    sub.add_argument("--idle", type=report.positives, default="10,100,1000,5000,15000")
    sub.add_argument("--mux", metavar="NAMES", default=",".join(MUXES))
    sub.add_argument("--only", metavar="NAMES", default=",".join(MAKERS))


def run(options, temp):
    """Measures; prints the table, writes the plot, and gives what `--json` keeps."""
    report.names(options.mux, MUXES)
    report.names(options.only, MAKERS)
    programs = build("hythe-bench") | {"floor-mux": build_floor_mux(temp)}
    lines = [
        (mux, maker)
        for mux in options.mux.split(",")
        for maker in options.only.split(",")
        if (mux, maker) != ("epoll-edge", "python")  # which it doesn't have
    ]
    samples = {
        (*line, idle): []
        for line in lines
        for idle in options.idle
        if line[0] != "select" or idle <= MOST_FOR_SELECT
    }
    report.warn_if_busy()
    for number in range(1, options.rounds + 1):
        for (mux, maker, idle), values in samples.items():
            values.append(measure(programs, mux, maker, idle, options.events, temp))
            progress(
                f"round {number}/{options.rounds}  {mux} {maker}, {idle} idle:"
                f" {values[-1]:.2f} µs/event"
            )
    rows = [row(line, samples, options.idle) for line in lines]
    table(rows, options.idle)
    write_plot(rows)
    return {"lines": rows}


def measure(programs, mux, maker, idle, events, temp):
    """Microseconds of the server's processor time per event."""
    path = temp / "socket"
    path.unlink(missing_ok=True)
    command = {
        "hythe": [programs["mux"]],
        "floor": [programs["floor-mux"]],
        "python": [sys.executable, WORKSPACE / "bench/src/mux.py"],
    }[maker]
    if mux in SCANNED:
        events = max(min(events, MOST_SCANNED // idle), FEWEST_EVENTS)
    with running(f"{mux}-{maker}", [*command, mux, f"unix:{path}"], temp) as server:
        # On one processor the two take turns. On two, every event would wake a
        # processor that sleeps, which costs several times what is measured.
        load = EchoLoad(
            programs["load-echo"], server, SERVER_CPU, active=ACTIVE, idle=idle, under_way=1
        )
        with load:
            load.exchange(max(1, events // 10))  # to warm up
            spent, _ = load.exchange(events)
    return spent * 1e6 / events


def row(line, samples, idles):
    mux, maker = line
    points = {}
    for idle in idles:
        values = samples.get((mux, maker, idle))
        if values is None:
            continue
        points[idle] = {
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
            "rounds": values,
        }
        floor = samples.get((mux, "floor", idle))
        if floor:
            # Round by round: what slowed one of the two slowed the other.
            ratios = [ours / bare for ours, bare in zip(values, floor)]
            points[idle]["ratio to floor"] = statistics.median(ratios)
    return {"mux": mux, "by": maker, "µs/event by idle connections": points}


def table(rows, idles):
    lines = [["multiplexer", "by", *(f"{idle} idle" for idle in idles), "× floor", "last/first"]]
    for row in rows:
        points = list(row["µs/event by idle connections"].values())
        cells = [
            f"{point['median']:.2f} ({point['min']:.2f}–{point['max']:.2f})" for point in points
        ]
        cells += [""] * (len(idles) - len(points))
        ratios = " ".join(f"{p['ratio to floor']:.2f}" for p in points if "ratio to floor" in p)
        growth = f"{points[-1]['median'] / points[0]['median']:.2f}" if points else ""
        lines.append([row["mux"], row["by"], *cells, ratios, growth])
    print("µs of processor time per event: median (min–max)")
    report.table(lines)


def write_plot(rows):
    lines = [
        (
            f"{row['mux']}, {row['by']}",
            COLOURS[row["mux"]],
            DASHES[row["by"]],
            [(idle, p["median"]) for idle, p in row["µs/event by idle connections"].items()],
        )
        for row in rows
    ]
    path = WORKSPACE / "bench/out/mux.svg"
    path.parent.mkdir(exist_ok=True)
    title = "Processor time of one event"
    path.write_text(report.plot(title, "idle connections", "µs/event", lines))
    progress(f"plot: {path}")
