"""Certified upper ends of composed maps from those of their parts.

``||A B|| <= ||A|| ||B||``, ``||A + B|| <= ||A|| + ||B||``, and of maps on top of each
other ``||[A; B]||^2 <= ||A||^2 + ||B||^2``. Convolutions on one torus commute with its
shifts, so that two of them behind each other are the convolution with the product of
their symbols, and their norm is that one's. That is false of zero padding: of
``F_1 = [a; b]`` and ``F_2 = [b, -a]`` the symbols have the product 0, and the operators
have another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product as pairs

import numpy as np
import torch
from torch import Tensor

from convspec.operators.axis import Axis
from convspec.operators.composed.copies import Copies
from convspec.operators.composed.factors import Factors
from convspec.operators.composed.normal import plain_number
from convspec.operators.composed.on_axes import OnAxes
from convspec.operators.composed.product import Product
from convspec.operators.composed.rounding import length_above, modulus_above
from convspec.operators.composed.rows import Rows
from convspec.operators.composed.stacked import Beside, Stacked
from convspec.operators.composed.sum import Sum
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import COMPLEX, modulus_norm
from convspec.rounding import gamma, norm_above, norm_enclosure, up
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["PartNorms", "joined_on_torus", "matrix_norm_above"]


@dataclass
class PartNorms:
    """Norms of maps from above, each part's found once.

    Attributes:
        of_convolution: At least the norm of a convolution.
        joined: How often convolutions of a torus were made one.
    """

    of_convolution: Callable[[ConvOperator], float]
    joined: int = 0
    _known: list[tuple[ConvOperator, float]] = field(default_factory=list)

    def above(self, op: LinearMap) -> float:
        """At least ``||A||``.

        Args:
            op: In normal form.
        """
        if isinstance(op, Product):
            return self._of_product(op)
        if isinstance(op, Sum):
            return self._of_sum(op)
        if isinstance(op, Stacked | Beside):
            return length_above([self.above(part) for part in op.parts])
        return self.of_part(op)

    def of_part(self, op: LinearMap) -> float:
        """At least the norm of a part that is no product, sum or stack."""
        if isinstance(op, ConvOperator):
            return self._of_convolution(op)
        if isinstance(op, Rows):
            return matrix_norm_above(op.matrix, op.relative)
        if isinstance(op, OnAxes):
            norm = 1.0
            for matrix in op.matrices.values():
                each = matrix_norm_above(matrix, op.relative)
                norm = up(norm * each) if each else 0.0
            return norm
        assert isinstance(op, Factors | Copies) or op.shape[0] == op.shape[1]
        return modulus_above(op)  # which is the norm

    def _of_product(self, op: Product) -> float:
        norm, place = 1.0, 0
        while place < len(op.parts):
            last, found, error = place, op.parts[place], 0.0
            while last + 1 < len(op.parts):
                other = joined_on_torus(found, op.parts[last + 1])
                if other is None:
                    break
                size = modulus_above(op.parts[last + 1])
                error = up(up(error * size) + other[1])
                found, last = other[0], last + 1
                self.joined += 1
            norm = up(norm * up(self.above(found) + error)) if norm else 0.0
            place = last + 1
        return norm

    def _of_sum(self, op: Sum) -> float:
        total = 0.0
        for c, part in op.terms:
            size = abs(plain_number(c))
            each = self.above(part) if size else 0.0
            if each:
                each = each if size == 1 else up(up(size, 2) * each)
                total = up(total + each) if total else each
        return total

    def _of_convolution(self, op: ConvOperator) -> float:
        for known, norm in self._known:
            one = known.geometry == op.geometry and known.weight.shape == op.weight.shape
            # adjoints and conjugates have the same norm
            if one and any(
                torch.equal(known.weight, weight)
                for weight in (op.weight, op.weight.conj())
            ):
                return norm
        norm = self.of_convolution(op)
        self._known.append((op, norm))
        return norm


def matrix_norm_above(matrix: Tensor, relative: float) -> float:
    """At least ``|M|``, whose entries are off by a share of themselves.

    >>> 1 <= matrix_norm_above(torch.eye(2, dtype=torch.float64), 0.0) < 1.0001
    True
    """
    if not matrix.any():
        return 0.0
    _, upper = norm_enclosure(matrix[None])
    norm = float(upper[0])
    if not relative:
        return norm
    moved = float(norm_above(matrix.abs()[None])[0])
    return up(norm + up(relative * moved))


def joined_on_torus(a: LinearMap, b: LinearMap) -> tuple[ConvOperator, float] | None:
    """``A B`` as one convolution of a torus, and at least what it is off by.

    None unless both are convolutions of the torus of their images, moved by every pixel,
    and the taps of the product wrap around no more than once.
    """
    if not (isinstance(a, ConvOperator) and isinstance(b, ConvOperator)):
        return None
    if not (_is_circulant(a) and _is_circulant(b)) or a.input_shape != b.output_shape:
        return None
    ones, twos = _taps(a), _taps(b)
    lags = [
        (
            min(0, min(lag[j] for lag, _ in ones) + min(lag[j] for lag, _ in twos)),
            max(0, max(lag[j] for lag, _ in ones) + max(lag[j] for lag, _ in twos)),
        )
        for j in range(len(a.geometry.axes))
    ]
    sizes = a.input_shape[1:]
    if any(max(-low, high) > n for (low, high), n in zip(lags, sizes, strict=True)):
        return None
    shape = [high - low + 1 for low, high in lags]
    weight = a.weight.new_zeros(a.output_shape[0], b.input_shape[0], *shape)
    flat = weight.flatten(2)  # a view
    for (one, left), (two, right) in pairs(ones, twos):
        place = [p + q - low for p, q, (low, _) in zip(one, two, lags, strict=True)]
        flat[:, :, int(np.ravel_multi_index(place, shape))] += left @ right
    op = ConvOperator(
        weight,
        sizes,
        padding=tuple((-low, high) for low, high in lags),
        padding_mode="circular",
    )
    terms = a.input_shape[0] * min(len(ones), len(twos))
    size = up(modulus_norm(a) * modulus_norm(b))
    error = up(gamma(COMPLEX * (terms + 2)) * size, 2)
    return op, up(error + UNDERFLOW)


def _is_circulant(op: ConvOperator) -> bool:
    """Whether it commutes with all shifts of the torus, in one group of channels."""
    return op.groups == 1 and all(map(_is_circular, op.geometry.axes))


def _is_circular(axis: Axis) -> bool:
    alone = axis.mode == "circular" or not axis.reads_padding
    return axis.stride == 1 and axis.output == axis.size and alone


def _taps(op: ConvOperator) -> list[tuple[tuple[int, ...], Tensor]]:
    """The pixel that each tap reads, seen from its output, and the tap (outputs, inputs).

    A transpose reads where the convolution writes.
    """
    weight = op.weight.flatten(2)
    found = []
    for tap, lag in enumerate(pairs(*(axis.lags.tolist() for axis in op.geometry.axes))):
        if op.transposed:
            found.append((tuple(-each for each in lag), weight[:, :, tap].mT))
        else:
            found.append((lag, weight[:, :, tap]))
    return found
