"""What the kernel says: of this machine, and of processes that are measured."""

import ctypes
import os
import platform
import re
import resource
import time
from pathlib import Path

# The server has one processor and the load another, so neither takes the
# other's cache or time. On a machine with one they have to share it.
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[-1]

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def raise_descriptor_limit():
    """For this script and all it starts; the soft limit is often 1024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pin(*cpus):
    return lambda: os.sched_setaffinity(0, cpus)


def processes(pid):
    """`pid` and every process it started that still runs."""
    yield pid
    for child in children(pid):
        yield from processes(child)


def children(pid):
    """The processes `pid` started and has not waited for."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def adopt_orphans():
    """Has processes come to this script whose parent ends before them.

    Some servers don't wait for all they start; their time would go to init.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_of_orphan(pid):
    """The processor time of an adopted process that has ended; None until then."""
    ended, _, usage = os.wait4(pid, os.WNOHANG)
    return usage.ru_utime + usage.ru_stime if ended else None


def cpu_seconds(pid):
    """Processor time of a server: all threads, running and ended, all processes.

    Every process has a clock of its own that counts nanoseconds on a processor;
    clock_getcpuclockid(3) names it this way. A child that ended and was waited
    for is in its parent's cutime and cstime instead, in clock ticks.
    """
    total = 0
    for process in processes(pid):
        total += time.clock_gettime((~process << 3) | 2)
        after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        cutime, cstime = after_name[13:15]  # fields 16 and 17 of proc(5); this starts at 3
        total += (int(cutime) + int(cstime)) / os.sysconf("SC_CLK_TCK")
    return total


def ended_children_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def private_bytes(pid):
    """Memory that would come back if the server ended: pages no one else maps."""
    total = 0
    for process in processes(pid):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        for kilobytes in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB$", rollup, re.M):
            total += int(kilobytes) * 1024
    return total


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "kernel": platform.release(),
        "processor": model[1] if model else platform.machine(),
        "processors": len(CPUS),
        "load average": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
