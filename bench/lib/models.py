"""`models`: what an echo costs under every model of `hythe_net::Server`."""

import statistics

from . import report
from .machine import CPUS, LOAD_CPU, SERVER_CPU
from .programs import HOST, EchoLoad, build, build_floor_mux, free_port, progress, running

HELP = "processor time per round trip and round trips per second, by model"

# Each name and up to how many connections it is measured. `select` takes
# descriptors below 1024, of which the server keeps a quarter in reserve.
MODELS = {
    "floor": 1000,
    "sequential": 1,
    "threads": 1000,
    "forks": 1000,
    "select": 700,
    "poll": 1000,
    "epoll-level": 1000,
    "epoll-edge": 1000,
    "cores": 1000,
    "listen": 1000,
}


def add_options(sub, _):
    sub.add_argument("--rounds", type=report.positive, default=5, help="per point")
    sub.add_argument("--trips", type=report.positive, default=50_000, help="per round")
    sub.add_argument("--bytes", type=report.positive, default=64, help="of a message")
    sub.add_argument("--connections", type=report.positives, default="1,64,1000")
    sub.add_argument("--only", metavar="NAMES", default=",".join(MODELS))


def run(options, temp):
    """Measures; prints the table and gives what `--json` keeps."""
    names = report.names(options.only, MODELS)
    programs = build("hythe", "hythe-bench") | {"floor-mux": build_floor_mux(temp)}
    samples = {
        (name, connections): []
        for connections in options.connections
        for name in names
        if connections <= MODELS[name]
    }
    report.warn_if_busy()
    for number in range(1, options.rounds + 1):
        for (name, connections), values in samples.items():
            values.append(measure(programs, name, connections, options, temp))
            cost, rate = values[-1]
            progress(
                f"round {number}/{options.rounds}  {name}, {connections} connections:"
                f" {cost:.2f} µs/trip, {rate:.0f} trips/s"
            )
    rows = [row(key, samples) for key in samples]
    table(rows)
    return {"points": rows}


def measure(programs, name, connections, options, temp):
    """The server's processor time per round trip, µs, and round trips per second."""
    address = f"{HOST}:0"
    command = [programs["echo"], name, address]
    if name == "floor":
        command = [programs["floor-mux"], "epoll-edge", address]
    port = None
    if name == "listen":
        port = free_port()
        command = [programs["hythe"], "listen", f"{HOST}:{port}", "--service", "echo"]
    cpus = CPUS if name == "cores" else [SERVER_CPU]
    with running(name, command, temp, port, cpus) as server:
        load = EchoLoad(
            programs["load-echo"], server, LOAD_CPU, active=connections, bytes=options.bytes
        )
        with load:
            load.exchange(max(1, options.trips // 10))  # to warm up
            spent, seconds = load.exchange(options.trips)
    return spent * 1e6 / options.trips, options.trips / seconds


def row(key, samples):
    name, connections = key
    costs = [cost for cost, _ in samples[key]]
    row = {
        "model": name,
        "connections": connections,
        "µs/trip": statistics.median(costs),
        "min": min(costs),
        "max": max(costs),
        "trips/s": statistics.median(rate for _, rate in samples[key]),
        "rounds": samples[key],
    }
    floor = samples.get(("floor", connections))
    if floor:
        # Round by round: what slowed one of the two slowed the other.
        ratios = [cost / bare for cost, (bare, _) in zip(costs, floor)]
        row["ratio to floor"] = statistics.median(ratios)
    return row


def table(rows):
    lines = [["model", "connections", "µs/trip", "min–max", "× floor", "trips/s"]]
    for row in rows:
        ratio = row.get("ratio to floor")
        lines.append([
            row["model"],
            str(row["connections"]),
            f"{row['µs/trip']:.2f}",
            f"{row['min']:.2f}–{row['max']:.2f}",
            f"{ratio:.2f}" if ratio else "",
            f"{row['trips/s']:.0f}",
        ])
    report.table(lines)
