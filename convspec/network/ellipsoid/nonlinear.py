"""What an activation, or a map with a constant, does to an ellipsoid.

An activation with slopes in [l, u] is ``phi(z) = m z + h psi(z)``, ``m = (l + u) / 2``,
``h = (u - l) / 2``, with ``|psi_i| <= |z_i|`` entry by entry. For a positive diagonal
Lambda above the covariance of z at every frequency, subtracting
``z^H Lambda^-1 z - psi^H Lambda^-1 psi >= 0`` from the form of all that is carried (the
S-procedure) leaves an ellipsoid with psi as a new leaf of covariance Lambda. With
``z = E q + b xi`` for a core q of covariance S and a leaf xi of variance v, and
``G = Lambda - |b|^2 v``, the others become

    S' = (S^-1 - E^H G^-1 E)^-1,    xi = (v b* / G) E q + xi',    v' = v Lambda / G,

q and xi' uncorrelated. Source: the elimination of the matrix inequality of Fazlyab,
Robey, Hassani, Morari and Pappas, Efficient and accurate estimation of Lipschitz
constants, NeurIPS 2019, in the structure that layers of channels have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convspec.network.ellipsoid.elimination import eliminated
from convspec.network.ellipsoid.form import Form, size_of
from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.lattice import Lattice, pieces
from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.ellipsoid.spread import Spread
from convspec.network.kinds import Entrywise
from convspec.rounding.definite import at_least
from convspec.rounding.scaling import UNDERFLOW

__all__ = [
    "Slopes",
    "activated",
    "ends",
    "ready",
    "slopes",
    "spread_of",
    "weighted",
]


@dataclass(frozen=True)
class Slopes:
    """m and h of each channel; (c,)."""

    middle: Tensor
    half: Tensor


def ends(
    kind: Entrywise, shape: tuple[int, ...], width: int, vector: bool
) -> tuple[Tensor, Tensor]:
    """Between which slopes each channel lies, or each entry of a vector; (c,) both."""
    lower = _spread(kind.lower, shape, width, vector).amin(1)
    return lower, _spread(kind.upper, shape, width, vector).amax(1)


def _spread(end: Tensor, shape: tuple[int, ...], width: int, vector: bool) -> Tensor:
    """Ends of slopes of each entry of a vector, or each channel's pixels."""
    if end.numel() == 1:
        return end.reshape(1, 1).expand(width, 1)
    if vector:
        return end.expand(shape).reshape(width, 1)
    if end.ndim == len(shape) and end.numel() == end.shape[1]:
        return end.reshape(width, 1)
    return end.expand(shape)[0].reshape(width, -1)


def slopes(lower: Tensor, upper: Tensor) -> Slopes:
    """Middles and halves of intervals, the halves a little larger than rounded."""
    middle = (lower + upper) / 2
    half = (upper - lower) / 2
    return Slopes(middle, half + 4 * UNIT * (lower.abs() + upper.abs()))


def ready(group: Group, place: int) -> Group:
    """The group with a tensor that has one diagonal leaf, or none."""
    group = group.with_one_leaf(place)
    form = group.forms[place]
    if len(form.leaves) > 1 or not form.is_channelwise:
        return group.gathered()
    return group


def spread_of(group: Group, place: int) -> Spread:
    """The covariance of a tensor of a group that is :func:`ready`."""
    form = group.forms[place]
    own, shares = group.own_variance(form), group.lattice.shares
    return Spread(form.matrix, group.core, own, shares)


def activated(
    group: Group, place: int, new: int, given: Slopes, multiplier: Tensor
) -> Group:
    """A group with the activation of one of its tensors, which it keeps.

    Args:
        group: Of z and others, :func:`ready`.
        place: Of z.
        new: Of phi(z).
        given: Slopes of each channel.
        multiplier: Lambda, at the scale of the group; (c,).

    Raises:
        Infeasible: If the multiplier is not above the covariance of z.
    """
    form = group.forms[place]
    room = multiplier - group.own_variance(form)  # G, (F or 1, w)
    if group.proven:
        room = room - 8 * UNIT * multiplier
    if not bool((room.detach() > 0).all()):
        raise Infeasible
    core = eliminated(group.core, form.matrix, room, form.error)
    leaves, forms = dict(group.leaves), dict(group.forms)
    for leaf, b in form.leaves.items():
        v = leaves[leaf]
        # Lambda / G is at least 1, and v far from underflow
        grown = v * (multiplier / room)
        leaves[leaf] = grown * (1 + (16 * UNIT if group.proven else 0))
        turn = b.conj() * (v / room)  # (F or 1, w)
        relative = None
        if form.error is not None:
            relative = _turn_error(group, form, leaf, room, multiplier)
        for each, other in forms.items():
            if leaf in other.leaves:
                forms[each] = _followed(other, leaf, turn, form, relative)
    z = forms[place]
    m, h = given.middle, given.half
    name = f"leaf {new}"
    coefficients = {leaf: m * b for leaf, b in z.leaves.items()}
    error = z.error
    if error is not None:
        error = (error + 4 * UNIT * z.sizes) * m.abs().max() + UNDERFLOW
    forms[new] = Form(m[:, None] * z.matrix, {**coefficients, name: h[None]}, error)
    leaves[name] = multiplier[None]
    return replace(group, core=core, leaves=leaves, forms=forms)


def _followed(
    form: Form, leaf: str, turn: Tensor, z: Form, relative: Tensor | None
) -> Form:
    """A form with a leaf written as what follows the core and a new leaf.

    Args:
        form: With that leaf.
        leaf: Its name.
        turn: What follows, as factors of E; (F or 1, w).
        z: Of E.
        relative: At least what these factors are off by; (F or 1,).
    """
    coefficients = form.leaves[leaf]
    inner = turn[:, :, None] * z.matrix
    if coefficients.ndim == 2:
        matrix = form.matrix + coefficients[:, :, None] * inner
    else:
        matrix = form.matrix + coefficients.to(inner.dtype) @ inner
    if form.error is None or z.error is None or relative is None:
        return Form(matrix, form.leaves, None)
    size = size_of(coefficients)
    wide = lengths(z.matrix)
    most = turn.abs().amax(1)
    off = relative * (wide + z.error) + most * z.error + 8 * UNIT * most * wide
    terms = 8 * (coefficients.shape[-1] + 8) * UNIT
    error = form.error * (1 + (most + relative) * (wide + z.error)) + size * off
    error = error + terms * (size * most * wide + form.sizes)
    return Form(matrix, form.leaves, error * (1 + 1e-9) + UNDERFLOW)


def _turn_error(
    group: Group, form: Form, leaf: str, room: Tensor, multiplier: Tensor
) -> Tensor:
    """How far ``v b / G`` may be off; (F or 1,)."""
    v, b = group.leaves[leaf].detach(), form.leaves[leaf].detach().abs()
    least = room.detach()
    assert form.error is not None
    off = form.error[:, None]
    # what is subtracted in G: own variances were rounded up by 34 units, at most, and
    # 10 more were subtracted; and errors were added to b
    inside = 64 * UNIT * multiplier.detach() + 2 * (2 * b + off) * off * v + UNDERFLOW
    found: Tensor = (v / least * (b + off) * (inside / least + 16 * UNIT)).amax(1)
    return found + (v / least * off).amax(1) + UNDERFLOW * (1 + b.amax(1))


def weighted(
    group: Group,
    place: int,
    new: int,
    lattice: Lattice,
    gain: Tensor,
    multiplier: Tensor,
    width: int,
) -> Group:
    """A map of which ``|g(x) - g(x')|_{B^-1} <= |x - x'|_{Lambda^-1}`` is known, alone.

    Args:
        group: Of x, :func:`ready`.
        place: Of x.
        new: Of g(x).
        lattice: Of g(x).
        gain: The square of its constant, between all, or one for each channel.
        multiplier: Lambda, at the scale of the group; (c,).
        width: Channels of g(x).

    Raises:
        Infeasible: If the multiplier is not above the covariance of x.
    """
    if group.proven and not _fits(group, place, multiplier):
        raise Infeasible
    diagonal = gain * multiplier * (1 + 4 * UNIT)
    if len(diagonal) != width:  # one number for all
        diagonal = diagonal.max().expand(width)
    return Group.of_leaf(lattice, diagonal, new, group.exponent, group.proven)


def _fits(group: Group, place: int, multiplier: Tensor) -> bool:
    """Whether ``Lambda >= E S E^H + diag(d)`` at each frequency, rounding included."""
    form = group.forms[place]
    count, width = len(group.core), form.width
    for index in pieces(count, max(width, group.core.shape[1]) ** 2):
        part = replace(group, forms={place: form}).part(index).gathered()
        gap = torch.diag_embed(multiplier).to(part.core.dtype) - part.core
        error = 2 * UNIT * gap.diagonal(dim1=1, dim2=2).real.abs().amax(1)
        if not bool(at_least(gap, torch.zeros_like(error), error).all()):
            return False
    return True
