"""Peak memory of one method in a process of its own: ``python -m benchmarks.memory``.

The peak is that of resident memory over the life of the process: the interpreter and
its imports (torch, SciPy) count, the accuracy check does not.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.catalogue import find_problem

__all__ = ["main", "peak_of_method", "peak_of_process"]

ROOT = Path(__file__).resolve().parents[1]
STATUS = Path("/proc/self/status")


def peak_of_process() -> int:
    """Peak resident bytes of this process.

    Linux is asked for ``VmHWM``: its ``getrusage`` counts from before ``exec``, so a
    child would report at least the memory of the parent that started it.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_of_method(problem: str, method: str) -> int:
    """Peak resident bytes of a fresh process that builds one method of a problem once."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", problem, method],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Build one method once and print the peak resident bytes of this process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description=__doc__
    )
    parser.add_argument("problem")
    parser.add_argument("method")
    chosen = parser.parse_args(arguments)
    problem = find_problem(chosen.problem)
    methods = {method.name: method for method in problem.methods}
    if chosen.method not in methods:
        parser.error(f"{problem.name} has {', '.join(methods)}; got {chosen.method!r}")
    methods[chosen.method].build()
    print(peak_of_process())
    return 0


if __name__ == "__main__":
    sys.exit(main())
