"""All certified ends of one number meet: no column says what another one excludes.

``sigma_1`` of a layer is enclosed by several theorems, and so is its supremum over all
input sizes. One end may exclude part of what another leaves open:

* sigma_1 at the size of a row is at most the supremum, and so at least as much is the
  supremum: both ends of the row's norm and of its worst case are ends of one another;
* with zero padding the operator on a smaller image is a submatrix of that on a larger
  one, whose norm is at least as large: rows of one kernel on several sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convspec.bounds import WorstCase
from convspec.operators.operator import ConvOperator
from convspec.operators.submatrix import is_submatrix
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.draft import Draft

__all__ = ["WORST", "agree", "agreed", "met", "supremum_of"]

WORST = "the worst case over input sizes"


def agree(drafts: Sequence[Draft]) -> None:
    """Let the ends of all rows of a kernel meet, of those that have a norm."""
    rows: dict[int, list[Draft]] = {}
    for draft in drafts:
        if draft.known.norm is not None:
            rows.setdefault(draft.call.kernel, []).append(draft)
    for some in rows.values():
        failures = len(some[0].failures)
        with some[0].step("agreement of all ends"):
            _meet(some)
        for other in some[1:]:
            for failure in some[0].failures[failures:]:
                other.fail(failure)


def _meet(rows: Sequence[Draft]) -> None:
    """Let the ends of some rows of one kernel meet."""
    known = [draft.known.norm for draft in rows]
    norms = agreed(
        [norm for norm in known if norm is not None], [draft.operator for draft in rows]
    )
    for draft, norm in zip(rows, norms, strict=True):
        kernel = draft.kernel
        worst = None if kernel is None else kernel.worst_case
        if kernel is not None and worst is not None:
            worst = supremum_of(worst, norms)
            most = Enclosure(0.0, worst.upper)
            norm = met(norm, most, f"upper end: {WORST}")
            draft.kernel = replace(kernel, worst_case=worst)
        if draft.norm is not None:
            draft.norm = norm


def met(norm: Bound, other: Enclosure, words: str) -> Bound:
    """The norm with what another enclosure of it excludes taken away.

    Args:
        norm: What is known.
        other: Certified, of the same number.
        words: What a better upper end comes from.

    Raises:
        ValueError: If the two exclude one another: one of them is false.
    """
    both = Enclosure(*norm) & Enclosure(*other)
    if both == tuple(norm):
        return norm
    used = words if both.upper < norm.upper else norm.assumptions
    return replace(norm, lower=both.lower, upper=both.upper, assumptions=used)


def agreed(norms: Sequence[Bound], operators: Sequence[ConvOperator]) -> list[Bound]:
    """The norms of one kernel at several sizes, each with what the others say of it."""
    found = list(norms)
    for i, small in enumerate(operators):
        for j, large in enumerate(operators):
            if i != j and is_submatrix(small, large):
                most = Enclosure(0.0, found[j].upper)
                least = Enclosure(found[i].lower, float("inf"))
                found[i] = met(found[i], most, "upper end: the norm on a larger image")
                found[j] = met(found[j], least, "")
    return found


def supremum_of(worst: WorstCase, norms: Sequence[Bound]) -> WorstCase:
    """The worst case, at least what the layer has at the sizes that it saw."""
    most = max(norm.lower for norm in norms)
    return worst if most <= worst.lower else replace(worst, lower=most)
