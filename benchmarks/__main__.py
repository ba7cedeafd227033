"""Command line: ``python -m benchmarks [name ...] [--markdown] [--out FILE]``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.bounded_training import BATCH, STEPS, bounded_text, trained
from benchmarks.bounds import Comparison
from benchmarks.bounds_table import markdown_table, text_table
from benchmarks.catalogue import COMPARISONS, GROUPS, PROBLEMS, expanded
from benchmarks.clip_compared import CLIPPED, FOOTER, MODES, clip_compared, clip_text
from benchmarks.digit_networks import DIGIT_NETWORKS
from benchmarks.forecast import forecast_main
from benchmarks.markdown import markdown
from benchmarks.neighbours import AIM, DEFAULT, beside, beside_text
from benchmarks.networks_compared import (
    SEEDS,
    compared,
    compared_heading,
    compared_text,
)
from benchmarks.networks_lipschitz import CONSTANTS, constant_of, constants_text
from benchmarks.networks_spectra import NETWORKS, measured_apart, text
from benchmarks.problem import Result, Unavailable
from benchmarks.record import write
from benchmarks.runner import run
from benchmarks.sources import MODELS, Read, read_all, sources_text
from benchmarks.sweeps import CHECKPOINTS, sweep_text, swept
from benchmarks.table import table
from benchmarks.trained_layers import COUNTS, LAYERS
from benchmarks.trained_layers import line as layer_line
from benchmarks.trained_layers import problem as layer_problem
from benchmarks.trained_layers import text as layers_text

__all__ = ["main"]

LAYER_REPEATS = 5
RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run problems, print their tables, write JSON.

    Returns:
        0, or 1 if a method was wrong or a problem could not be run.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] and given[0] in PARTS:
        return PARTS[given[0]](given[1:])
    chosen = _parse(given)
    results: list[Result] = []
    comparisons: list[Comparison] = []
    missing = False
    for name in chosen.names:
        try:
            if name in COMPARISONS:
                found = COMPARISONS[name](chosen.repeats)
                comparisons.append(found)
                print(text_table(found), end="\n\n", flush=True)
                if chosen.out is None:
                    write([], RESULTS / f"{name}.json", [found])
                continue
            result = run(PROBLEMS[name](), chosen.repeats)
        except Unavailable as reason:
            missing = True
            print(f"{name}: not run; {reason}", end="\n\n", flush=True)
            continue
        results.append(result)
        print(table(result), end="\n\n", flush=True)
        if result.problem.remark is not None:
            print(result.problem.remark(), end="\n\n", flush=True)
        if chosen.out is None:
            write([result], RESULTS / f"{name}.json")
    if chosen.out is not None:
        write(results, chosen.out, comparisons)
    for line in _over_floors(results):
        print(line, end="\n\n")
    if chosen.markdown:
        print("\n\n".join([markdown(results), *map(markdown_table, comparisons)]).strip())
    accurate = all(result.accurate for result in results)
    accurate = accurate and all(found.accurate for found in comparisons)
    return 0 if accurate and not missing else 1


def _over_floors(results: list[Result]) -> list[str]:
    """The geometric mean of time over the floor, if any problem aims at one."""
    limits = [r.problem.target.over_floor for r in results]
    aims = [(r, limit) for r, limit in zip(results, limits, strict=True) if limit]
    found = [(r.over_floor, limit) for r, limit in aims if r.over_floor]
    if not found:
        return []
    mean = math.exp(sum(math.log(ratio) for ratio, _ in found) / len(found))
    limit = min(limit for _, limit in found)
    return [
        f"target: geometric mean of time over the floor at most {limit:g}; {mean:.3f} "
        f"over {len(found)} problems, {'met' if mean <= limit else 'missed'}"
    ]


def _sources(names: list[str]) -> int:
    """Read models from all of their formats; 0, or 1 if one says something else."""
    if names:
        print(f"there is nothing to choose; got {', '.join(names)}")
        return 2
    found, missing = list[Read](), False
    for name in MODELS:
        try:
            found += read_all(name)
        except Unavailable as reason:
            missing = True
            print(f"{name}: not run; {reason}", end="\n\n", flush=True)
    print(sources_text(found))
    return int(missing or not all(each.is_right for each in found))


def _networks(names: list[str]) -> int:
    """Analyse networks one after the other; 0, or 1 if one was wrong or not run."""
    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        print(f"networks are {', '.join(NETWORKS)}; got {', '.join(unknown)}")
        return 2
    found, missing = [], False
    for name in names or NETWORKS:
        try:
            found.append(measured_apart(name))
        except Unavailable as reason:
            missing = True
            print(f"{name}: not run; {reason}", end="\n\n", flush=True)
            continue
        print(text(found[-1:]), end="\n\n", flush=True)
    print(text(found))
    return int(missing or any(each.wrong for each in found))


def _constants(names: list[str]) -> int:
    """Bound the constants of networks; 0, or 1 if an aim was missed or one not run."""
    unknown = [name for name in names if name not in CONSTANTS]
    if unknown:
        print(f"networks are {', '.join(CONSTANTS)}; got {', '.join(unknown)}")
        return 2
    failed = False
    for name in names or CONSTANTS:
        try:
            found = constant_of(name)
        except Unavailable as reason:
            failed = True
            print(f"{name}: not run; {reason}", end="\n\n", flush=True)
            continue
        print(constants_text([found]), end="\n\n", flush=True)
        aim = CONSTANTS[name].aim
        failed |= aim is not None and math.log10(found.bound.upper) > aim
    return int(failed)


def _compared(names: list[str]) -> int:
    """Put published methods beside ours; 0, or 1 if a number was wrong or none there."""
    unknown = [name for name in names if name not in DIGIT_NETWORKS]
    if unknown:
        print(f"networks are {', '.join(DIGIT_NETWORKS)}; got {', '.join(unknown)}")
        return 2
    wrong = False
    print(compared_heading(), flush=True)
    for name in names or DIGIT_NETWORKS:
        for seed in SEEDS:
            try:
                found = compared(name, seed)
            except Unavailable as reason:
                print(f"not run; {reason}")
                return 1
            print(compared_text(found), flush=True)
            wrong |= bool(found.wrong)
    return int(wrong)


def _training(numbers: list[str]) -> int:
    """Train with bounds and without; 0, or 1 if a bound was broken."""
    if len(numbers) > 2 or not all(map(str.isdigit, numbers)):
        print(f"a batch size and a number of steps; got {', '.join(numbers)}")
        return 2
    batch, steps = [*map(int, numbers), *(BATCH, STEPS)[len(numbers) :]]
    found = trained(batch, steps)
    print(bounded_text(found))
    return int(not found.is_right)


def _swept(counts: list[str]) -> int:
    """Sweep over a training; 0, or 1 if a row was wrong."""
    if len(counts) > 1 or not all(count.isdigit() and int(count) for count in counts):
        print(f"a number of checkpoints; got {', '.join(counts)}")
        return 2
    found = swept(int(counts[0]) if counts else CHECKPOINTS)
    print(sweep_text(found))
    return int(bool(found.wrong))


def _beside(names: list[str]) -> int:
    """Analyse a network among neighbours; 0, or 1 if a norm changed or it took long."""
    if len(names) > 1 or not set(names) <= set(NETWORKS):
        print(f"one network of {', '.join(NETWORKS)}; got {', '.join(names)}")
        return 2
    found = beside(names[0] if names else DEFAULT)
    print(beside_text(found))
    return int(not found.same or median(found.ratios) > AIM)


def _clipped(names: list[str]) -> int:
    """Put published ways to lower norms beside ours; 0, or 1 if ours is above."""
    unknown = [name for name in names if name not in CLIPPED]
    if unknown:
        print(f"layers are {', '.join(CLIPPED)}; got {', '.join(unknown)}")
        return 2
    failed = False
    for name in names or CLIPPED:
        for mode in MODES:
            try:
                found = clip_compared(name, mode)
            except Unavailable as reason:
                failed = True
                print(f"{name}: not run; {reason}", end="\n\n", flush=True)
                break
            print(clip_text(found), end="\n\n", flush=True)
            failed |= not found.is_right
    print(FOOTER)
    return int(failed)


def _layers(counts: list[str]) -> int:
    """Time trained layers against ARPACK; 0, or 1 if one was wrong or not run."""
    chosen = [int(count) for count in counts if count.isdigit()] or list(COUNTS)
    if len(chosen) < len(counts) or not set(chosen) <= set(COUNTS):
        print(f"counts are {', '.join(map(str, COUNTS))}; got {', '.join(counts)}")
        return 2
    tables, failed = [], False
    for count in chosen:
        results: list[Result] = []
        for name in LAYERS:
            try:
                results.append(run(layer_problem(name, count), LAYER_REPEATS))
            except Unavailable as reason:
                failed = True
                print(f"{name}: not run; {reason}", flush=True)
                continue
            print(layer_line(results[-1]), flush=True)
        tables.append(layers_text(count, results))
        failed |= not all(result.accurate for result in results)
    print("", *tables, sep="\n\n")
    return int(failed)


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
        help=f"what to run, by default all: {', '.join(PROBLEMS | COMPARISONS)}; or "
        f"groups of them: {', '.join(GROUPS)}; or one of {', '.join(PARTS)}, and what it "
        "takes, which it says if it is given anything else",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write all results to this one JSON file (default: results/NAME.json)",
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument(
        "--markdown", action="store_true", help="print tables in Markdown at the end"
    )
    chosen = parser.parse_args(arguments)
    try:
        chosen.names = expanded(chosen.names or PROBLEMS | COMPARISONS)
    except ValueError as error:
        parser.error(str(error))
    if chosen.repeats < 1:
        parser.error(f"--repeats must be at least 1; got {chosen.repeats}")
    return chosen


# what has arguments of its own
PARTS: dict[str, Callable[[list[str]], int]] = {
    "networks-spectra": _networks,
    "trained-layers": _layers,
    "networks": _constants,
    "networks-compared": _compared,
    "sources": _sources,
    "bounded-training": _training,
    "clip": _clipped,
    "sweep": _swept,
    "neighbours": _beside,
    "forecast": forecast_main,
}


if __name__ == "__main__":
    sys.exit(main())
