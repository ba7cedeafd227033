"""The results of problems as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.bounds import Comparison
from benchmarks.bounds_table import as_dict
from benchmarks.environment import environment
from benchmarks.problem import Result, Timing

__all__ = ["write"]


def write(
    results: Sequence[Result], path: Path, comparisons: Sequence[Comparison] = ()
) -> None:
    """Write the results and where they were measured to a JSON file."""
    document = {
        "environment": environment(),
        "problems": [_problem(result) for result in results],
    }
    if comparisons:
        document["comparisons"] = [as_dict(found) for found in comparisons]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")


def _problem(result: Result) -> dict[str, Any]:
    """One problem with all its methods."""
    problem = result.problem
    return {
        "name": problem.name,
        "title": problem.title,
        "ours": problem.ours,
        "target": asdict(problem.target),
        "over_floor": result.over_floor,
        "methods": [_method(result, timing) for timing in result.timings],
    }


def _method(result: Result, timing: Timing) -> dict[str, Any]:
    """One method: seconds as measured, min and median scaled to the whole problem."""
    method = timing.method
    return {
        "name": method.name,
        "idea": method.idea,
        "computes_instead": method.other,
        "accurate": timing.accurate,
        "error_over_allowed": _number(timing.error),
        "setting": timing.setting,
        "setting_name": method.setting if method.settings else "",
        "extrapolated": bool(method.part),
        "part": method.part,
        "scale": method.scale,
        "seconds_measured": list(timing.seconds),
        "min_s": timing.minimum,
        "median_s": timing.median,
        "median_over_ours": result.ratio(timing),
        "peak_bytes": timing.peak_bytes,
    }


def _number(value: float | None) -> float | str | None:
    """A number that JSON can hold; infinities and NaN as strings."""
    return value if value is None or math.isfinite(value) else str(value)
