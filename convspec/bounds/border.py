"""One axis with mirrored or repeated pixels: its border rows against those of zeros.

Let T be the convolution on an endless line and Z its columns at the n pixels, all rows
that read one: ``||Z x|| <= S ||x||``, S the supremum of the symbol. Rows of A that read
pixels only are rows of Z. Near one end let B be the other rows of A, which read padding,
Z' the rows of Z beyond that border, and I some rows next to it that A and Z share; let P
be the pixels that all of these read. If for some t >= 1 and e >= 0, at both ends,

    B^H B + I^H I  <=  t (Z'^H Z' + I^H I + e S^2)      on P,

and if the pixels P of both ends are apart, as are the rows that cross the ends, then

    ||A x||^2 <= t ||Z x||^2 + t e S^2 ||x||^2 <= t (1 + e) S^2 ||x||^2,

since the rows left out are no more in A than in Z. That holds for all n from some n_0 on,
of each size modulo the stride; the finitely many below have a matrix each. On a circle
both ends make one P, B the rows that read pixels of both, at the sizes that do not close
the circle with the stride: for those that do, S is the norm. The more rows
I there are, the less is t; e makes the right side definite. Axes that are read with one
tap only choose, or repeat, pixels: their factor is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy
import torch
from torch import Tensor

from convspec.bounds.every_size_rows import KernelRows, Upper
from convspec.bounds.laid_out import laid_out, laid_out_error
from convspec.frequency.search.extremes import Extreme
from convspec.quantity.enclosure import Enclosure
from convspec.rounding.directed import UNIT, square_root, up
from convspec.rounding.largest import norm
from convspec.rounding.norms import above, frobenius_above
from convspec.rounding.pencil import hermitian_part, largest_ratio
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW, ldexp, ldexp_above, root, scaled
from convspec.rounding.svd import norm_enclosure
from convspec.tori.border import Edge, edges
from convspec.tori.every_size import ways
from convspec.tori.tap_range import TapRange

__all__ = ["by_border"]

# e of the inequality
ADDED = (0.0, 1e-8, 1e-3, 0.03, 0.1, 0.2, 0.4, 0.8)
# inner rows at most, and columns of a matrix up to which there are that many
MOST_INNER = 8
COLUMNS = 96
# entries of all groups' matrices at one size, and of the border's
MOST_ENTRIES = 2**18
# sides of all matrices, cubed and added
MOST_WORK = 1e8


def by_border(
    rows: KernelRows, exact: Extreme, divisible: bool, limit: float
) -> Upper | None:
    """The bound by comparison at the border, if one axis alone has taps to compare.

    Args:
        rows: The kernel.
        exact: The supremum of its symbol with stride.
        divisible: Whether only sizes are meant that the stride divides.
        limit: A bound that is known. None is returned where this one is no less.
    """
    long = [taps for taps in rows.ranges if taps.kernel > 1]
    if len(long) != 1 or not long[0].pads or not 0 < exact.upper < math.inf:
        return None
    (taps,) = long
    others = [taps_ for taps_ in rows.ranges if taps_ is not taps]
    count = math.prod(min(w.count for w in ways(o, divisible)) for o in others)
    factor = square_root(count)
    found = _Line.of(rows, taps, exact, divisible).bound(limit / factor)
    if found is None or up(found[0] * factor) >= limit:
        return None
    upper, value = found
    return Upper(
        upper if factor == 1 else up(upper * factor),
        value * factor,
        "upper end from the border's rows beside those of zero padding"
        + (f", times sqrt({count}) for what other axes repeat" if count > 1 else ""),
        Enclosure(exact.lower, exact.upper).gap,
    )


@dataclass(frozen=True)
class _Line:
    """The long axis: its weight, scaled by ``2^-exponent``, and S scaled like it.

    Attributes:
        weight: (groups, o, c, k), differentiable.
        taps: Of the axis.
        exponent: Of the scale.
        exact: The supremum of the symbol, of the weight as it is.
        supremum: S, scaled.
        divisible: Whether only sizes are meant that the stride divides.
    """

    weight: Tensor
    taps: TapRange
    exponent: int
    exact: Extreme
    supremum: float
    divisible: bool

    @classmethod
    def of(
        cls, rows: KernelRows, taps: TapRange, exact: Extreme, divisible: bool
    ) -> _Line:
        """The kernel along its long axis."""
        given = rows.weight.cpu()
        given = given.to(torch.complex128 if given.is_complex() else torch.float64)
        exponent = int(scaled(given.detach().reshape(1, -1))[1])
        weight = ldexp(given, -exponent).reshape(
            rows.groups, -1, given.shape[1], taps.kernel
        )
        upper = torch.tensor(exact.upper, dtype=torch.float64)
        supremum = float(ldexp_above(upper, -exponent))
        return cls(weight, taps, exponent, exact, supremum, divisible)

    def bound(self, limit: float) -> tuple[float, Tensor] | None:
        """The bound and its value; None where matrices are too large, or above it."""
        plain, _ = edges(self.taps, 0, self.divisible)
        if not plain:  # no output reads padding at the sizes that are meant
            return self.exact.upper, self.exact.value
        inner = self._inner(max(edge.width for edge in plain))
        best = None
        for count, added in ((0, (0.0,)), (inner, ADDED)):
            found = self._of_all(count, added, limit)
            if found and (best is None or found[0] < best[0]):
                best = found
            if best and best[0] <= self.exact.upper:
                break
        return best

    def _inner(self, width: int) -> int:
        """How many inner rows there is room for."""
        room = COLUMNS // self.weight.shape[2] - width
        ends = 2 if self.taps.axis.mode == "circular" else 1
        return max(0, min(MOST_INNER, room // (ends * self.taps.axis.stride)))

    def _affords(self, edges_: int, pixels: int, size: int) -> bool:
        """Whether all matrices are small, and few.

        Args:
            edges_: How many edges there are.
            pixels: Of them.
            size: From which on they are apart.
        """
        groups, rows, columns, _ = self.weight.shape
        outputs = max(1, self.taps.outputs(size))
        side = min(rows * outputs, columns * size)
        work = groups * (edges_ * (columns * pixels) ** 3 + size * side**3)
        entries = groups * rows * outputs * columns * size
        return work <= MOST_WORK and entries <= MOST_ENTRIES

    def _of_all(
        self, inner: int, added: Sequence[float], limit: float
    ) -> tuple[float, Tensor] | None:
        """The larger of the bounds of small sizes and of all others, if below a limit."""
        some, pixels = edges(self.taps, inner, self.divisible)
        end = max(self.taps.least, self.taps.extent, pixels)
        if not self._affords(len(some), pixels, end):
            return None
        large = self._of_large([_Pencil.of(self.weight, edge) for edge in some], added)
        if large[0] >= limit:
            return None
        return max(large, self._of_small(end), key=lambda pair: pair[0])

    def _of_large(
        self, pencils: list[_Pencil], added: Sequence[float]
    ) -> tuple[float, Tensor]:
        """Where the ends are apart, with the best e of those given, ascending."""
        best = math.inf, 0.0, 0, 0.0
        for e in added:
            if 1 + e >= best[0]:
                break
            ratios = [pencil.ratio(e * self.supremum**2) for pencil in pencils]
            ratio = max(ratios)
            square = up(max(1.0, ratio) * up(1 + e)) if ratio > 1 or e else 1.0
            best = min(best, (square, e, ratios.index(ratio), ratio))
        square, e, which, ratio = best
        if square == 1:
            return self.exact.upper, self.exact.value
        if square == math.inf:
            return math.inf, self.exact.value
        value = self.exact.value.cpu()
        if ratio > 1:
            shift = e * ldexp(value, -self.exponent).square()
            value = value * root(pencils[which].value(shift))
        return up(self.exact.upper * up(math.sqrt(square))), value * math.sqrt(1 + e)

    def _of_small(self, end: int) -> tuple[float, Tensor]:
        """The largest norm of the sizes before this one."""
        best = 0.0, torch.zeros((), dtype=torch.float64)
        for size in range(self.taps.least, end):
            if self.divisible and size % self.taps.axis.stride:
                continue
            reads = self.taps.of_size(size).source
            reads = reads[self.taps.first : self.taps.last + 1]
            matrices = laid_out(self.weight, reads, size)
            error = laid_out_error(self.weight, reads, size)
            norms = above(norm_enclosure(matrices.detach())[1] + error)
            upper = float(ldexp_above(norms.max(), self.exponent))
            if upper > best[0]:
                value = norm(matrices[int(norms.argmax())])
                best = upper, ldexp(value, self.exponent)
        return best


@dataclass(frozen=True)
class _Pencil:
    """Rows at a border, of every group: B over I, and Z' over I.

    Attributes:
        layer: B and I; (groups, rows, columns).
        zeros: Z' and I.
        error: At least what ``layer`` is off by, in the 2-norm; (groups,).
    """

    layer: Tensor
    zeros: Tensor
    error: Tensor

    @classmethod
    def of(cls, weight: Tensor, edge: Edge) -> _Pencil:
        """Of a weight (groups, o, c, k)."""
        width = edge.width
        inside = laid_out(weight, edge.inside, width)
        layer = laid_out(weight, edge.padded, width)
        zeros = laid_out(weight, edge.zeros, width)
        error = laid_out_error(weight, edge.padded, width)
        return cls(torch.cat([layer, inside], 1), torch.cat([zeros, inside], 1), error)

    def ratio(self, shift: float) -> float:
        """At least the t of every group, with ``e S^2 = shift``; inf without proof."""
        return max(self._ratio(group, shift) for group in range(len(self.layer)))

    def _ratio(self, group: int, shift: float) -> float:
        """At least the t of a group."""
        layer, zeros = self.layer[group].detach(), self.zeros[group].detach()
        if not bool(layer.any()) and float(self.error[group]) == 0:
            return 0.0
        above_, off_above = _gram(layer)
        below_, off_below = _gram(zeros)
        error = float(self.error[group])
        size = up(2 * float(frobenius_above(layer)) + error, 2)
        off_above = up(off_above + up(size * error), 2)
        eye = torch.eye(len(below_), dtype=below_.dtype)
        shifted = below_ + shift * eye
        entries = up(float(frobenius_above(below_)) + shift * len(eye), 3)
        off_below = up(off_below + 8 * UNIT * entries, 2)
        return largest_ratio(above_, shifted, off_above, off_below)

    def value(self, shift: Tensor) -> Tensor:
        """The t of the group where it is largest, differentiable: its vector is fixed."""
        ratios = [self._ratio(group, shift.item()) for group in range(len(self.layer))]
        group = ratios.index(max(ratios))
        layer, zeros = self.layer[group], self.zeros[group]
        eye = torch.eye(layer.shape[1], dtype=layer.dtype)
        above_ = (layer.mH @ layer).detach().numpy()
        below_ = (zeros.mH @ zeros + shift * eye).detach().numpy()
        vector = torch.from_numpy(scipy.linalg.eigh(above_, below_)[1][:, -1:])
        length = torch.linalg.vector_norm(vector).square()
        bottom = torch.linalg.vector_norm(zeros @ vector).square() + shift * length
        found: Tensor = torch.linalg.vector_norm(layer @ vector).square() / bottom
        return found


def _gram(matrix: Tensor) -> tuple[Tensor, float]:
    """``X^H X`` and at least the 2-norm of its rounding."""
    if not len(matrix):
        return matrix.mH @ matrix, 0.0
    factor = product_error(len(matrix), matrix.is_complex())
    size = up(float(frobenius_above(matrix)))
    return hermitian_part(matrix.mH @ matrix), up(up(factor * size * size, 2) + UNDERFLOW)
