"""The nearest kernel of the same support whose operator keeps a bound, certified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from convspec.arguments import Padding, integer, shown, single
from convspec.bounds.layer import Layer, operator_of
from convspec.clipping.guarantee import Guarantee
from convspec.clipping.search import Search, distance
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.padding_mode import PaddingMode
from convspec.quantity.bound import Bound

__all__ = ["Clipped", "clip"]


@isolated_class
@dataclass(frozen=True, repr=False, eq=False)
class Clipped:
    """A kernel that keeps a bound, and how far it is from the one given.

    Attributes:
        weight: Of the shape and dtype of the given one, without a gradient.
        operator: The given operator with this weight, and its bias; None where a layer
            or a weight was given.
        norm: The certified norm of the result: ``norm.upper`` is at most the bound.
        distance: ``||K' - K||_F / ||K||_F`` of the kernels.
        steps: Projections, of all searches together.
    """

    weight: Tensor
    operator: ConvOperator | None
    norm: Bound
    distance: float
    steps: int

    def __repr__(self) -> str:
        return f"<Clipped: {self.norm!r}, at a distance of {self.distance:.3g}>"


@isolated
def clip(
    layer: Layer,
    bound: float,
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    padding_mode: PaddingMode | None = None,
    transposed: bool | None = None,
    sizes: str | None = None,
    rtol: float = 1e-2,
    max_steps: int = 300,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Clipped:
    """A kernel of the same support near to the given one, with ``sigma_1 <= bound``.

    Of an operator the promise is for its size and padding, as
    :func:`convspec.spectral_norm` proves it; of a layer or a bare weight for every input
    size, as :func:`convspec.worst_case_norm` does. It is of the weight in its own dtype:
    rounding is part of what is proved.

    Dividing a kernel by what its norm is too large by shrinks all of its singular values;
    this lowers the large ones. Clipping the values of the symbol on a grid and cutting
    the result back to the kernel's support (Sedghi, Gupta and Long) leaves norms above
    the bound. Here the two projections alternate by Dykstra's scheme, which tends to the
    nearest kernel, in the Frobenius norm, that is in both sets; the certified norm of
    what it found corrects the level of the clipping, and the last step onto the bound.

    Where the symbol's supremum is the norm (zero padding at every size, circular padding)
    the result is the nearest kernel up to ``rtol`` and what the grid misses, half a per
    cent or so. So it is for any padding at one small size, of 700 pixels or so with all
    channels, where the matrix itself is clipped. At larger ones, and where padding
    repeats pixels at every size, the symbol's supremum is not the norm: the bound is kept
    all the same, by that last step, and the kernel is near: never farther than the one
    that is divided by ``norm / bound``, but for rounding to the weight's dtype. Taps that
    only read padding at the size meant are left as they are.

    Args:
        layer: A :class:`ConvOperator`, a ``torch.nn`` convolution, or a weight as torch
            stores it, described by the arguments up to ``transposed``, which are for
            weights alone. Neither is changed.
        bound: What sigma_1 is to be at most.
        stride: As in :func:`convspec.worst_case_norm`; so are the others.
        padding: For a weight, unless told, as much as keeps the size.
        dilation: Of a weight.
        groups: Of a weight.
        padding_mode: Of a weight.
        transposed: Of a weight.
        sizes: ``"all"`` or ``"divisible"``, as in :func:`convspec.worst_case_norm`, for
            a promise for these sizes; unless told, an operator's own, and all of a layer.
        rtol: How far, relative, the distance may be from the least on the grid.
        max_steps: Projections of one search at most; there are up to four.
        max_bytes: Byte limit of the symbols that a step holds.

    Raises:
        GeometryError: If the arguments do not go together.
        ValueError: If the bound is not positive, rtol not in (0, 1), max_steps not
            positive, or sizes neither.
        TypeError: If it is a composed map.
        TooLargeError: If a step on a coarse grid needs more than ``max_bytes``.
        UnsupportedLayer: If the layer is no convolution.
        NotFiniteError: If the weight holds NaN or infinity.

    Source: Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR
    2019, for clipping by FFT; Dykstra, J. Amer. Statist. Assoc. 78, 1983, and Boyle and
    Dykstra, 1986, for the projections.

    Example:
        >>> import torch, convspec as cs
        >>> kernel = torch.tensor([[[1.0, 0.0, 1.0]]])  # its symbol is 2 cos(w)
        >>> found = cs.clip(kernel, 1.0)
        >>> found.norm.upper <= 1, round(found.distance, 2)
        (True, 0.5)
    """
    max_bytes = byte_limit(max_bytes)
    _check(bound, sizes, rtol)
    max_steps = integer("max_steps", max_steps, 1)
    if isinstance(layer, LinearMap):
        require_operator(layer, "clip")
    op = operator_of(
        layer,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        transposed=transposed,
    )
    op = _without_graph(op, op.weight.detach())
    given = isinstance(layer, ConvOperator)
    if sizes is None and not given:
        sizes = "all"
    search = Search(Guarantee(op, sizes), float(bound), rtol, max_steps, max_bytes)
    weight, norm, steps = search.run()
    return Clipped(
        weight,
        _without_graph(op, weight) if given else None,
        norm,
        distance(weight, op.weight),
        steps,
    )


def _without_graph(op: ConvOperator, weight: Tensor) -> ConvOperator:
    """The operator of another weight, with its bias."""
    found = op.with_weight(weight)
    found.bias = None if op.bias is None else op.bias.detach()
    return found


def _check(bound: float, sizes: str | None, rtol: float) -> None:
    single("bound", bound)
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be a positive number; got {shown(bound)}")
    if sizes not in (None, "all", "divisible"):
        raise ValueError(f"sizes must be 'all', 'divisible' or None; got {shown(sizes)}")
    single("rtol", rtol)
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be in (0, 1); got {shown(rtol)}")
