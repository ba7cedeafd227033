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

from convspec.network.ellipsoid.correlated import add_correlated
from convspec.network.ellipsoid.form import Form
from convspec.network.ellipsoid.group import Group, raised
from convspec.network.ellipsoid.lattice import Lattice, pieces
from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.stack import whole

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
    coarse = group.lattice.coarse(stride)
    where, turned = group.lattice.aliases(stride)
    count, core = where.shape[1], grown.core.shape[1]
    width = sum(form.width for form in grown.forms.values())
    alone = len(parts) == 1 and not coarse.is_real
    if core * count < width and alone and _is_simple(grown):
        aliases = [grown.at(where[:, j], turned[:, j]) for j in range(count)]
        return _side_by_side(aliases, coarse)
    entries = 0 if torch.is_grad_enabled() else count * max(width, core) ** 2
    mean = torch.cat(
        [
            _mean(grown, where[places], turned[places])
            for places in pieces(len(where), entries)
        ]
    )
    if coarse.is_real and mean.is_complex():
        # for real x and Hermitian S, x^T (Re S)^-1 x <= x^T S^-1 x
        mean = mean.real.contiguous()
    widths = {place: grown.forms[place].width for place in parts}
    return replace(grown.stacked(mean, widths), lattice=coarse)


def _mean(group: Group, where: Tensor, turned: Tensor) -> Tensor:
    """The mean of a group's covariances over aliases; (F, w, w).

    As one product, since a sum of products is one of what stands side by side.
    """
    aliases = [group.at(where[:, j], turned[:, j]) for j in range(where.shape[1])]
    dense = [leaf for leaf in group.leaves if _is_dense(group, leaf)]
    left, right = list[Tensor](), list[Tensor]()
    for each in aliases:
        forms = list(each.forms.values())
        matrix = torch.cat([whole(form.matrix, len(where)) for form in forms], 1)
        left.append(matrix @ each.core)
        right.append(matrix)
        for leaf in dense:
            rows = torch.cat([_rows(form, leaf, each) for form in forms], 1)
            left.append(rows * each.leaves[leaf][:, None, :])
            right.append(rows)
    mean = torch.cat(left, 2) @ torch.cat(right, 2).mH
    for each in aliases:
        rest = [_without(form, dense) for form in each.forms.values()]
        add_correlated(mean, each.leaves, rest)
    mean = mean / len(aliases)
    if not group.proven:
        return mean
    mean = (mean + mean.mH) / 2
    # of several aliases in one sum the largest counts for all
    most = torch.stack([each.most for each in aliases]).amax(0)
    others = sum(x.shape[2] for x in left)
    errors = [
        each.covariance_error(list(each.forms.values()), others, most) for each in aliases
    ]
    error = torch.stack(errors).amax(0)
    return raised(mean, error + 8 * UNIT * lengths(mean))


def _is_dense(group: Group, leaf: str) -> bool:
    """Whether the coefficients of a leaf are dense in a tensor, and none in others."""
    owned = [form.leaves[leaf] for form in group.forms.values() if leaf in form.leaves]
    return all(each.ndim == 3 for each in owned)


def _rows(form: Form, leaf: str, group: Group) -> Tensor:
    """The dense coefficients of a leaf, zeros of a form without; (F, w, k)."""
    found = form.leaves.get(leaf)
    if found is None:
        wide = group.leaves[leaf].shape[1]
        found = torch.zeros(1, form.width, wide, dtype=torch.float64, device="cpu")
    return whole(found.to(group.core.dtype), len(group.core))


def _without(form: Form, leaves: Sequence[str]) -> Form:
    kept = {leaf: each for leaf, each in form.leaves.items() if leaf not in leaves}
    return replace(form, leaves=kept)


def _is_simple(group: Group) -> bool:
    """Whether its tensors have diagonal leaves alone."""
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
