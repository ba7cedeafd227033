"""What the nodes of a network do, as far as differences of two inputs are concerned.

Offsets drop out of differences, so a node is a linear map, a map of single entries with
slopes between two ends, or a map of which nothing but its Lipschitz constant is used.
Tensors have their batch axis, of length 1, throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from convspec.operators.operator import ConvOperator

__all__ = [
    "Axes",
    "Bounded",
    "Curved",
    "Entrywise",
    "Filter",
    "Kind",
    "Move",
    "Product",
    "Refused",
    "Rows",
    "Scale",
    "Sum",
]


@dataclass(frozen=True)
class Filter:
    """A convolution, whatever its offsets.

    Attributes:
        op: Its operator, in double precision.
        error: At least the norm of what rounding took from it where layers were joined.
    """

    op: ConvOperator
    error: float = 0.0


@dataclass(frozen=True)
class Scale:
    """A factor for each entry, the tensor broadcast to it.

    Attributes:
        factor: Broadcast to the output; float64.
        relative: What each factor is off by, at most, relative to itself.
    """

    factor: Tensor
    relative: float = 0.0


@dataclass(frozen=True)
class Axes:
    """A matrix on each of some axes: products with weights, means, pooling, sampling.

    Attributes:
        matrices: By axis; (outputs, inputs), float64.
        relative: What each entry is off by, at most, relative to itself.
    """

    matrices: Mapping[int, Tensor]
    relative: float = 0.0


@dataclass(frozen=True)
class Rows:
    """A matrix over all entries of a tensor, in order.

    Attributes:
        matrix: (outputs, entries), float64.
        relative: What each entry is off by, at most, relative to itself.
    """

    matrix: Tensor
    relative: float = 0.0


@dataclass(frozen=True)
class Sum:
    """``sum_j f_j x_j`` of tensors broadcast to one shape.

    Attributes:
        factors: f; one for each input.
    """

    factors: tuple[float, ...]


@dataclass(frozen=True)
class Move:
    """Copies of entries, or zeros: views, joins, slices, padding, broadcasts.

    Attributes:
        places: For each entry of the output the place among those of all inputs, one
            input behind the other, or -1 for a constant; int64, of the output's shape.
            None for all entries of the one input in order.
        words: What moves them.
    """

    places: Tensor | None
    words: str


@dataclass(frozen=True)
class Entrywise:
    """``y_i = phi_i(x_i)``, ``lower_i <= (phi_i(s) - phi_i(t)) / (s - t) <= upper_i``.

    Attributes:
        lower: Ends of slopes, broadcast to the tensor; float64.
        upper: Likewise.
        words: The function.
    """

    lower: Tensor
    upper: Tensor
    words: str


@dataclass(frozen=True)
class Bounded:
    """A map with a Lipschitz constant, of all inputs stacked.

    Attributes:
        constant: At least that.
        words: The function.
        axes: Those that it mixes, None for all.
        warning: What is to be known of the constant; empty for nothing.
    """

    constant: float
    words: str
    axes: tuple[int, ...] | None = None
    warning: str = ""


@dataclass(frozen=True)
class Product:
    """``a b``, or ``a / b``, of two tensors broadcast to one shape; of one its square.

    It has a constant where both are bounded.

    Attributes:
        quotient: Whether it divides.
        words: A sentence that refuses it where they are not.
    """

    quotient: bool
    words: str


@dataclass(frozen=True)
class Curved:
    """A function of entries whose slopes are bounded on bounded intervals alone.

    Attributes:
        name: Of the function, in :data:`convspec.network.curves.CURVES`.
        order: Of a power.
        words: A sentence that refuses it without an interval.
    """

    name: str
    order: float
    words: str


@dataclass(frozen=True)
class Refused:
    """A map that has no constant, or none that is known.

    Attributes:
        why: A sentence for the user.
    """

    why: str


Kind = (
    Filter
    | Scale
    | Axes
    | Rows
    | Sum
    | Move
    | Entrywise
    | Bounded
    | Product
    | Curved
    | Refused
)
