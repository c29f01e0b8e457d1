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
    muxes = report.names(options.mux, MUXES)
    makers = report.names(options.only, MAKERS)
    programs = build("hythe-bench") | {"floor-mux": build_floor_mux(temp)}
    # In an order that has those who are compared follow one another.
    samples = {
        (mux, idle, maker): []
        for mux in muxes
        for idle in options.idle
        for maker in makers
        if (mux != "select" or idle <= MOST_FOR_SELECT)
        and (mux, maker) != ("epoll-edge", "python")  # which it doesn't have
    }
    report.warn_if_busy()
    for number in range(1, options.rounds + 1):
        for (mux, idle, maker), values in samples.items():
            values.append(measure(programs, mux, maker, idle, options.events, temp))
            progress(
                f"round {number}/{options.rounds}  {mux}, {idle} idle, {maker}:"
                f" {values[-1]:.2f} µs/event"
            )
    points = [point(key, samples) for key in samples]
    table(points, makers)
    write_plot(points)
    return {"points": points}


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


def point(key, samples):
    mux, idle, maker = key
    values = samples[key]
    point = {
        "mux": mux,
        "idle": idle,
        "by": maker,
        "µs/event": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": values,
    }
    floor = samples.get((mux, idle, "floor"))
    if floor:
        # Round by round: what slowed one of the two slowed the other.
        ratios = [ours / bare for ours, bare in zip(values, floor)]
        point["ratio to floor"] = statistics.median(ratios)
    return point


def table(points, makers):
    by_row = {}
    for point in points:
        by_row.setdefault((point["mux"], point["idle"]), {})[point["by"]] = point
    lines = [["multiplexer", "idle"]]
    for maker in makers:
        lines[0] += [f"{maker}, µs/event", "min–max", *(["× floor"] if maker != "floor" else [])]
    for (mux, idle), row in by_row.items():
        cells = []
        for maker in makers:
            point = row.get(maker, {})
            ratio = point.get("ratio to floor")
            cells.append(f"{point['µs/event']:.2f}" if point else "")
            cells.append(f"{point['min']:.2f}–{point['max']:.2f}" if point else "")
            if maker != "floor":
                cells.append(f"{ratio:.2f}" if ratio else "")
        lines.append([mux, str(idle), *cells])
    report.table(lines)
    for mux in dict.fromkeys(mux for mux, _ in by_row):
        line = [row for (name, _), row in by_row.items() if name == mux]
        for maker in line[0]:
            first, last = line[0][maker], line[-1][maker]
            growth = last["µs/event"] / first["µs/event"]
            print(
                f"{mux}, {maker}: an event among {last['idle']} idle costs"
                f" {growth:.2f} times one among {first['idle']}"
            )


def write_plot(points):
    lines = {}
    for point in points:
        lines.setdefault((point["mux"], point["by"]), []).append((point["idle"], point["µs/event"]))
    shown = [
        (f"{mux}, {maker}", COLOURS[mux], DASHES[maker], line)
        for (mux, maker), line in lines.items()
    ]
    path = WORKSPACE / "bench/out/mux.svg"
    path.parent.mkdir(exist_ok=True)
    title = "Processor time of one event"
    path.write_text(report.plot(title, "idle connections", "µs/event", shown))
    progress(f"plot: {path}")
