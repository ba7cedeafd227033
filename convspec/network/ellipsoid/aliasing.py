"""What a stride does to an ellipsoid: aliases become one frequency.

``(S x)^(v) = s^(-d/2) sum_a x^(w_a)`` over the aliases of v, which are uncorrelated, so
that covariances are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convspec.network.ellipsoid.form import UNIT, Form, lengths
from convspec.network.ellipsoid.group import Group, raised, whole
from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.maps import Map

__all__ = ["aliased"]


def aliased(
    group: Group,
    parts: Mapping[int, Sequence[tuple[int, Map]]],
    stride: tuple[int, ...],
) -> Group:
    """Some tensors of linear maps, every s-th pixel of them, alone.

    Args:
        group: Of the tensors that maps are of.
        parts: For each new place what it is the sum of.
        stride: s, per axis.
    """
    grown = group
    for place, some in parts.items():
        grown = grown.appended(place, some)
    grown = replace(grown, forms={place: grown.forms[place] for place in parts})
    where, turned = group.lattice.aliases(stride)
    coarse = group.lattice.coarse(stride)
    aliases = [grown.at(where[:, j], turned[:, j]) for j in range(where.shape[1])]
    width = sum(form.width for form in grown.forms.values())
    stacks = grown.core.shape[1] * len(aliases) < width
    if stacks and len(parts) == 1 and all(map(_is_simple, aliases)):
        return _side_by_side(aliases, coarse)
    mean = torch.zeros((), dtype=group.core.dtype, device="cpu")
    # the sum can be shorter than what was added, which is what rounds
    sizes = torch.zeros((), dtype=torch.float64, device="cpu")
    for each in aliases:
        one = each.covariance(list(each.forms.values()))
        mean, sizes = mean + one, sizes + lengths(one.detach())
    mean = mean / len(aliases)
    if group.proven:
        mean = raised(mean, 4 * UNIT * sizes)
    widths = {place: grown.forms[place].width for place in parts}
    return replace(grown.stacked(mean, widths), lattice=coarse)


def _is_simple(group: Group) -> bool:
    """Whether its one tensor has diagonal leaves alone."""
    return all(form.is_channelwise for form in group.forms.values())


def _side_by_side(aliases: Sequence[Group], coarse: Lattice) -> Group:
    """``a^-1/2 sum_j t_j`` of one tensor in uncorrelated groups, their cores stacked."""
    ((place, first),) = aliases[0].forms.items()
    forms = [each.forms[place] for each in aliases]
    count, root = len(aliases), math.sqrt(len(aliases))
    cores = [each.core for each in aliases]
    width = cores[0].shape[1]
    core = cores[0].new_zeros(len(cores[0]), *[count * width] * 2)
    for j, each in enumerate(cores):
        core[:, j * width : (j + 1) * width, j * width : (j + 1) * width] = each
    matrix = torch.cat([whole(form.matrix, len(core)) for form in forms], 2) / root
    variance = sum(
        (
            each.own_variance(form)
            for each, form in zip(aliases[1:], forms[1:], strict=True)
        ),
        aliases[0].own_variance(forms[0]),
    )
    variance = variance / count * (1 + 4 * count * UNIT)
    error: Tensor | None = None
    errors = [form.error for form in forms if form.error is not None]
    if errors:
        error = torch.stack([each.expand(len(core)) for each in errors]).amax(0)
        error = error + 8 * UNIT * lengths(matrix.detach())
    leaves = {}
    found: dict[str, Tensor] = {}
    if first.leaves:
        name = f"leaf {place}, of aliases"
        found = {name: torch.ones(1, first.width, dtype=torch.float64, device="cpu")}
        leaves = {name: variance}
    form = Form(matrix, found, error)
    return replace(
        aliases[0], lattice=coarse, core=core, leaves=leaves, forms={place: form}
    )
