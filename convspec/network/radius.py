"""Certified radii: how far an input may move before the prediction can change.

If ``f_i - f_j`` has the Lipschitz constant ``L_ij`` for each two classes, label i stays
the prediction for every x' closer to x than

    r = min_{j != i} (f_i(x) - f_j(x)) / L_ij,

since no margin shrinks by more than ``L_ij |x - x'|``. A bound L of the whole network
gives ``L_ij = sqrt(2) L``, as ``|e_i - e_j| = sqrt(2)``; constants of pairs are smaller.

Sources: Tsuzuku, Sato and Sugiyama, "Lipschitz-margin training", NeurIPS 2018, prop. 1;
Leino, Wang and Fredrikson, "Globally-robust neural networks", ICML 2021, for pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from convspec.arguments import shown
from convspec.errors import NotApplicable
from convspec.isolation import isolated
from convspec.rounding.directed import up

__all__ = ["HasPairs", "certified_accuracy", "certified_radius"]


@runtime_checkable
class HasPairs(Protocol):
    """What knows a constant for each pair of classes, (K, K), zeros on the diagonal."""

    def pairs(self) -> Tensor:
        """The constants ``L_ij``."""
        ...


LipschitzBound: TypeAlias = "float | Tensor | HasPairs"


@isolated
def certified_radius(
    logits: Tensor, labels: Tensor, bound: LipschitzBound, *, logit_error: float = 0.0
) -> Tensor:
    """Radii within which the prediction stays the label, in l2, rounded down.

        r = min_{j != i} (y_i - y_j - 2 logit_error) / L_ij,   i the label

    and 0 where that is not positive: for wrong predictions and ties. It is 0, too, where
    a logit is NaN or infinite. The radius is open: whoever is closer than r keeps the
    prediction. Where no pair of classes can change, ``L_ij = 0``, it is infinite.

    With one output, whose sign is the prediction, ``r = (|y| - logit_error) / L``.

    Logits must be those of the function that the bound is for: with softmax in it, of
    the part before. Rounding inside of the network is the caller's to bound, by
    ``logit_error``: float32 logits of a deep network are off by 1e-6 of their size and
    more. Distances are in the units of that function's input: where it begins with
    normalised images, in units of the normalised ones. Clipping x' to a box leaves radii
    as they are.

    A bound on a domain, ``lipschitz(..., domain=...)``, is one for pairs of inputs in it:
    with such a one the prediction stays for every x' of the domain closer than r, and
    nothing is said of others.

    Args:
        logits: Outputs, (b, K) with K >= 2; (b,) or (b, 1) for two classes by sign.
        labels: Integers (b,), from 0 to K - 1; 0 for negative and 1 for positive signs.
        bound: An upper end L of the Lipschitz constant, or of several outputs ``L_ij``
            for each pair of classes, (K, K), or what has them as ``pairs()``.
        logit_error: How far each logit may be off at most.

    Returns:
        float64 radii (b,), on the logits' device.

    Raises:
        TypeError: If logits or labels are no tensors of their kinds, or bound is none
            of the three.
        ValueError: If shapes do not go together, labels are no classes, or a constant
            or the error is negative or NaN.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
        >>> radius = certified_radius(logits, torch.tensor([0, 1, 0]), 2.0)
        >>> [f"{r:.6f}" for r in radius]  # the first is 2 / (sqrt(2) 2)
        ['0.707107', '0.000000', '0.000000']
        >>> signs = certified_radius(torch.tensor([3.0, -1.0]), torch.tensor([1, 1]), 2.0)
        >>> f"{signs[0]:.9f}", bool(signs[0] < 1.5), float(signs[1])
        ('1.500000000', True, 0.0)
    """
    values = _logits(logits)
    classes = _classes(labels, values)
    error = _nonnegative("logit_error", logit_error)
    finite = values.isfinite().all(dim=1)
    values = torch.where(finite[:, None], values, 0.0)
    if values.shape[1] == 1:
        signed = torch.where(classes == 1, values[:, 0], -values[:, 0])
        radius = _quotient(signed, torch.full_like(signed, _single(bound)), error)
    else:
        constants = _pair_constants(bound, values)
        own = values.gather(1, classes[:, None])
        others = _quotient(own - values, constants[classes], up(2 * error))
        # only the label itself is no rival: other classes that tie with it are
        others = others.scatter(1, classes[:, None], math.inf)
        radius = others.amin(dim=1)
    return torch.where(finite, radius, 0.0)


@isolated
def certified_accuracy(
    logits: Tensor,
    labels: Tensor,
    bound: LipschitzBound,
    radii: float | Sequence[float] | Tensor,
    *,
    logit_error: float = 0.0,
) -> Tensor:
    """The share of inputs that no change of at most so much can make wrong.

    An input counts at eps if its prediction is the label and its
    :func:`certified_radius` is larger than eps, so that at 0 it is the accuracy, ties
    counted as wrong.

    Args:
        logits: As for :func:`certified_radius`, and so are labels, bound and logit_error.
        labels: The classes.
        bound: Upper ends of Lipschitz constants.
        radii: One eps or several, not negative.
        logit_error: How far each logit may be off at most.

    Returns:
        float64 shares, of the shape of ``radii``.

    Raises:
        TypeError: As :func:`certified_radius` does.
        ValueError: As it does; if an eps is negative or NaN; if there is no input.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[3.0, 1.0], [1.0, 4.0], [1.0, 0.0], [0.0, 1.0]])
        >>> labels = torch.tensor([0, 1, 0, 0])
        >>> certified_accuracy(logits, labels, 1.0, [0.0, 1.0, 2.0, 3.0]).tolist()
        [0.75, 0.5, 0.25, 0.0]
    """
    eps = torch.as_tensor(radii, dtype=torch.float64)
    if not bool((eps >= 0).all()):
        raise ValueError(
            f"radii must not be negative or NaN; got {shown(radii)}; give distances in l2"
        )
    radius = certified_radius(logits, labels, bound, logit_error=logit_error)
    if not len(radius):
        raise ValueError(
            "logits must hold at least one input; got none; pass all batches at once"
        )
    holds = radius > eps.to(radius.device)[..., None]
    return holds.double().mean(dim=-1)


def _quotient(margin: Tensor, constant: Tensor, error: float) -> Tensor:
    """``max(0, margin - error) / constant``, rounded down; inf for ``x / 0``, x > 0.

    The margin is a difference, rounded once; so are the next difference and the quotient.
    """
    positive = margin > 0
    rest = _below(_below(margin) - error) if error else _below(margin)
    rest = torch.where(positive & (rest > 0), rest, 0.0)
    divisor = torch.where(constant > 0, constant, 1.0)
    found = torch.where(constant > 0, _below(rest / divisor), math.inf)
    return torch.where(rest > 0, found, 0.0).clamp_min(0.0)


def _below(x: Tensor) -> Tensor:
    """The float64 below each."""
    return torch.nextafter(x, torch.full_like(x, -math.inf))


def _logits(logits: Tensor) -> Tensor:
    """Logits in float64, (b, K)."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(
            f"logits must be a tensor of floating-point numbers; got {shown(logits)}; "
            "pass the network's outputs as they are"
        )
    values = logits.detach().double()
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] < 1:
        raise ValueError(
            "logits must have shape (b, K), or (b,) for one output; got "
            f"{tuple(logits.shape)}; flatten images of logits to one row per pixel"
        )
    return values


def _classes(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels as indices."""
    kinds = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool)
    if not isinstance(labels, Tensor) or labels.is_complex() or labels.dtype in kinds:
        raise TypeError(
            f"labels must be a tensor of integers; got {shown(labels)}; convert them "
            "with .long()"
        )
    if tuple(labels.shape) != (len(logits),):
        raise ValueError(
            f"labels must have shape ({len(logits)},), one for each row of logits; got "
            f"{tuple(labels.shape)}"
        )
    classes = labels.to(device=logits.device, dtype=torch.int64)
    count = max(2, logits.shape[1])
    wrong = classes[(classes < 0) | (classes >= count)]
    if len(wrong):
        raise ValueError(
            f"labels must be from 0 to {count - 1}; got {int(wrong[0])}; leave ignored "
            "inputs out"
        )
    return classes


def _pair_constants(bound: LipschitzBound, logits: Tensor) -> Tensor:
    """``L_ij`` as (K, K) in float64."""
    count = logits.shape[1]
    if not isinstance(bound, Tensor) and isinstance(bound, HasPairs):
        try:
            bound = bound.pairs()
        except NotApplicable:  # no ellipsoid was found: its upper end serves for all
            upper = getattr(bound, "upper", None)
            if upper is None:
                raise
            bound = float(upper)
    if isinstance(bound, Tensor) and bound.ndim:
        return _matrix(bound, count).to(logits.device)
    single = _single(bound)
    each = up(math.sqrt(2.0) * single, 2) if single > 0 else 0.0
    constants = torch.full((count, count), each, dtype=torch.float64, device="cpu")
    return constants.fill_diagonal_(0.0).to(logits.device)


def _matrix(bound: Tensor, count: int) -> Tensor:
    if tuple(bound.shape) != (count, count) or not bound.is_floating_point():
        raise ValueError(
            f"pair constants must be real numbers of shape ({count}, {count}), as the "
            f"logits; got {shown(bound)}; pass one number for the whole network instead"
        )
    matrix = bound.detach().double()
    least, own = float(matrix.min()), float(matrix.diagonal().abs().max())
    if not least >= 0 or own > 0:
        raise ValueError(
            "pair constants must be at least 0, and 0 on the diagonal; got "
            f"{least:g} as the least and {own:g} on the diagonal; pass upper "
            "ends of the constants of f_i - f_j"
        )
    return matrix


def _single(bound: LipschitzBound) -> float:
    """One constant of the whole network."""
    if isinstance(bound, Tensor) and bound.numel() == 1 and not bound.is_complex():
        bound = float(bound.detach())
    if isinstance(bound, HasPairs | Tensor):
        raise TypeError(
            f"bound must be one number for a network with one output; got "
            f"{shown(bound)}; pass its upper end"
        )
    return _nonnegative("bound", bound)


def _nonnegative(name: str, value: object) -> float:
    """A number that is not negative; it may be infinite."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be a number; got {shown(value)}; pass a float"
            + (", a tensor of pair constants or what has pairs()" * (name == "bound"))
        )
    number = float(value)
    if not number >= 0:
        raise ValueError(f"{name} must be at least 0; got {number:g}; pass an upper end")
    return number
