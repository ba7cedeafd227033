"""Every bound of one operator, side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from textwrap import fill
from typing import overload

from convspec.bounds.berezin_lieb import schatten
from convspec.bounds.gram import gram_iteration
from convspec.bounds.gram_zero import gram_iteration_zero
from convspec.bounds.iteration import krylov, power_iteration
from convspec.bounds.lipbound import lip_bound
from convspec.bounds.sampled import sampled_symbol
from convspec.bounds.schur import frobenius, one_inf
from convspec.bounds.supremum import supremum
from convspec.bounds.tensor import tensor_norm
from convspec.bounds.unfolding import fantastic_four, reshaped_kernel, tsuzuku
from convspec.errors import NotApplicable, TooLargeError
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.operator import ConvOperator, require_operator
from convspec.quantity import decimals
from convspec.quantity.aligned import aligned
from convspec.quantity.bound import Bound
from convspec.quantity.latex import NONE, escaped, rounded_down, rounded_up, tabular

__all__ = ["BoundTable", "table"]

# wide kernels of random weights would take minutes to a gap of 1e-6
SUPREMUM_FLOPS = 2.5e11
# cheap ones first
BOUNDS: tuple[tuple[str, Callable[..., Bound]], ...] = (
    ("frobenius", frobenius),
    ("one_inf", one_inf),
    ("reshaped_kernel", reshaped_kernel),
    ("tsuzuku", tsuzuku),
    ("fantastic_four", fantastic_four),
    ("tensor_norm", tensor_norm),
    ("lip_bound_v1", partial(lip_bound, version=1)),
    ("lip_bound", lip_bound),
    ("schatten", schatten),
    ("gram_iteration_zero", gram_iteration_zero),
    ("gram_iteration", gram_iteration),
    ("sampled_symbol", sampled_symbol),
    ("supremum", partial(supremum, max_flops=SUPREMUM_FLOPS)),
    ("power_iteration", power_iteration),
    ("krylov", krylov),
)
HEADER = ("bound", "lower", "upper", "guarantee", "seconds", "assumptions")
NUMBERS = (1, 2, 4)  # columns aligned right
DIGITS = 6  # of either end, in plain text
WIDTH = 100  # of plain text; what does not fit becomes a note


@isolated_class
@dataclass(frozen=True, repr=False)
class BoundTable(Sequence["Bound | NotApplicable"]):
    """Bounds in the order computed; in the place of one that does not apply, why not.

    Its repr is at most 100 wide: assumptions and reasons that do not fit are numbered
    notes below it, each once.

    Attributes:
        bounds: A ``Bound`` or a ``NotApplicable`` each; both have a ``name``.
        seconds: What each took.
    """

    bounds: tuple[Bound | NotApplicable, ...]
    seconds: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.bounds)

    @overload
    def __getitem__(self, place: int) -> Bound | NotApplicable: ...

    @overload
    def __getitem__(self, place: slice) -> BoundTable: ...

    def __getitem__(self, place: int | slice) -> Bound | NotApplicable | BoundTable:
        if isinstance(place, slice):
            return BoundTable(self.bounds[place], self.seconds[place])
        return self.bounds[place]

    def __repr__(self) -> str:
        left = [place not in NUMBERS for place in range(len(HEADER))]
        rows = list(map(_cells, self.bounds, self.seconds))
        bare = aligned(HEADER, [(*row[:-1], "") for row in rows], left)
        room = WIDTH - bare.index(HEADER[-1])
        notes: dict[str, str] = {}
        cells = [(*row, _noted(words, room, notes)) for *row, words in rows]
        below = [_note(mark, words) for words, mark in notes.items()]
        return "\n".join([aligned(HEADER, cells, left), *[""] * bool(below), *below])

    def to_latex(self, *, digits: int = 5, references: bool = True) -> str:
        r"""The table as a LaTeX ``tabular`` with the rules of ``booktabs``.

        Lower ends are rounded down and upper ends up, so that bounds in print are bounds
        still. A dash is an end that the bound does not have. Times and assumptions are
        left out; the latter belong into the caption.

        Args:
            digits: Significant digits of either end.
            references: Whether a last column says whose the bound is.

        Raises:
            ValueError: Without a digit.

        >>> import convspec as cs
        >>> found = cs.Bound(0.0, 1.23456, "one_inf", "any operator", "Schur 1911")
        >>> print(cs.bounds.BoundTable((found,), (0.1,)).to_latex())
        \begin{tabular}{lrrll}
          \toprule
          Bound & Lower & Upper & Guarantee & Reference \\
          \midrule
          \texttt{one\_inf} & --- & $1.2346$ & certified & Schur 1911 \\
          \bottomrule
        \end{tabular}
        """
        if digits < 1:
            raise ValueError(f"digits must be at least 1; got {digits}")
        last = 5 if references else 4
        header = ("Bound", "Lower", "Upper", "Guarantee", "Reference")[:last]
        rows = [_latex_cells(bound, digits)[:last] for bound in self.bounds]
        return tabular("lrrll"[:last], header, rows)


@isolated
def table(op: ConvOperator, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> BoundTable:
    """Every bound on sigma_1 of an operator, with what each took; its repr is the table.

    Lower ends are printed rounded down and upper ends rounded up. A bound that does not
    apply, or would need too much memory, leaves the reason in its place. The supremum
    stops after 2.5e11 operations, some seconds; its assumptions say at which gap, if it
    was not done.

    Args:
        op: The operator.
        max_bytes: Byte limit of what each bound holds at a time.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> ladder = cs.bounds.table(op)
    >>> all(3.996207 in bound for bound in ladder)  # 4 cos^2(pi / 102)
    True
    """
    require_operator(op, "bounds.table")
    max_bytes = byte_limit(max_bytes)
    found: list[Bound | NotApplicable] = []
    seconds = []
    for name, bound in BOUNDS:
        start = time.perf_counter()
        try:
            limited = "max_bytes" in signature(bound).parameters
            found.append(bound(op, max_bytes=max_bytes) if limited else bound(op))
        except NotApplicable as reason:
            found.append(reason)
        except TooLargeError as reason:
            found.append(NotApplicable(str(reason), name))
        seconds.append(time.perf_counter() - start)
    return BoundTable(tuple(found), tuple(seconds))


def _noted(words: str, room: int, notes: dict[str, str]) -> str:
    """The words where they fit, else the mark of the note that holds them."""
    if len(words) <= room:
        return words
    return notes.setdefault(words, f"[{len(notes) + 1}]")


def _note(mark: str, words: str) -> str:
    indent = " " * (len(mark) + 1)
    return fill(
        f"{mark} {words}", WIDTH, subsequent_indent=indent, break_on_hyphens=False
    )


def _cells(bound: Bound | NotApplicable, seconds: float) -> tuple[str, ...]:
    if isinstance(bound, NotApplicable):
        reason = str(bound).removeprefix(f"{bound.name} ")  # one note for all alike
        return bound.name, "-", "-", "not applicable", f"{seconds:.3f}", reason
    return (
        bound.name,
        decimals.rounded_down(bound.lower, DIGITS),
        decimals.rounded_up(bound.upper, DIGITS),
        bound.guarantee,
        f"{seconds:.3f}",
        bound.assumptions,
    )


def _latex_cells(bound: Bound | NotApplicable, digits: int) -> tuple[str, ...]:
    name = rf"\texttt{{{escaped(bound.name)}}}"
    if isinstance(bound, NotApplicable):
        return name, NONE, NONE, "not applicable", NONE
    return (
        name,
        NONE if bound.lower == 0 else rounded_down(bound.lower, digits),
        NONE if math.isinf(bound.upper) else rounded_up(bound.upper, digits),
        bound.guarantee,
        escaped(bound.reference),
    )
