"""A comparison of bounds as plain text, Markdown and JSON."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.bounds import OURS, Claim, Comparison, Measured
from benchmarks.markdown import escaped
from benchmarks.table import aligned

__all__ = ["as_dict", "markdown_table", "text_table"]

TITLE = (
    "bounds: every bound on sigma_1 of zero-padded layers: value over truth, and seconds"
)
FOOTER = (
    "truth: two solvers that agree to 1e-7, the larger of both, itself a lower bound",
    "WRONG: an upper bound below the truth, or a lower bound above it",
    "published: written from the formulas, float32, the authors' number of steps;",
    "they know no stride, and apply to one group",
)


def text_table(found: Comparison) -> str:
    """One row per method, ratio and seconds per layer."""
    names = [layer.name for layer in found.layers]
    header = ("method", "by", "claims", *(f"{name}, s" for name in names), "")
    rows = [
        (claim.name, claim.source, claim.claims, *map(_cell, row), "")
        for claim, row in zip(found.claims, found.measured, strict=True)
    ]
    return "\n".join([TITLE, *aligned([header, *rows]), *FOOTER])


def _cell(each: Measured) -> str:
    if each.ratio is None:
        return "not applicable"
    words = f"{_ratio(each)}, {_short(each.seconds)}"
    return f"WRONG {words}" if each.violated else words


def _ratio(each: Measured) -> str:
    """Four digits past the point; closer to 1 than that, on which side, and how far."""
    assert each.ratio is not None
    off = each.ratio - 1
    if not math.isfinite(off) or abs(off) >= 5e-4 or off == 0:
        return f"{each.ratio:.3f}"
    return f"1{'+' if off > 0 else '-'}{abs(off):.0e}"


def _short(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def markdown_table(found: Comparison) -> str:
    """The same for a README, ours in bold, wrong bounds said to be so."""
    header = ["bound", "claims", *(layer.name for layer in found.layers)]
    rows = [
        [_named(claim), claim.claims, *(f"{_cell(each)} s" for each in row)]
        for claim, row in zip(found.claims, found.measured, strict=True)
    ]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(escaped, line))} |" for line in lines)


def _named(claim: Claim) -> str:
    return f"**{claim.name}**" if claim.source == OURS else claim.name


def as_dict(found: Comparison) -> dict[str, Any]:
    """All numbers, JSON-ready."""
    return {
        "name": "bounds",
        "title": TITLE,
        "layers": [
            {"name": layer.name, "operator": str(layer.op), "sigma_1": truth}
            for layer, truth in zip(found.layers, found.truths, strict=True)
        ],
        "methods": [
            {
                "name": claim.name,
                "source": claim.source,
                "claims": claim.claims,
                "value_over_truth": [_number(each.ratio) for each in row],
                "violated": [each.violated for each in row],
                "seconds": [each.seconds for each in row],
            }
            for claim, row in zip(found.claims, found.measured, strict=True)
        ],
    }


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
