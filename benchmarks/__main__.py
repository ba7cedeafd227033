"""Command line: ``python -m benchmarks [name ...] [--out FILE] [--repeats N]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.catalogue import PROBLEMS
from benchmarks.record import write
from benchmarks.runner import run
from benchmarks.table import table

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run problems, print their tables, write JSON; 1 if a method was wrong."""
    chosen = _parse(arguments)
    results = []
    for name in chosen.names:
        result = run(PROBLEMS[name](), chosen.repeats)
        results.append(result)
        print(table(result), end="\n\n", flush=True)
        if chosen.out is None:
            write([result], RESULTS / f"{name}.json")
    if chosen.out is not None:
        write(results, chosen.out)
    return 0 if all(result.accurate for result in results) else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """The checked command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare convspec with the usual ways: accuracy first, then time.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"problems to run, by default all: {', '.join(PROBLEMS)}",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write all results to this one JSON file (default: results/NAME.json)",
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="default 5")
    chosen = parser.parse_args(arguments)
    chosen.names = chosen.names or list(PROBLEMS)
    for name in chosen.names:
        if name not in PROBLEMS:
            parser.error(f"the problems are {', '.join(PROBLEMS)}; got {name!r}")
    if chosen.repeats < 1:
        parser.error(f"--repeats must be at least 1; got {chosen.repeats}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
