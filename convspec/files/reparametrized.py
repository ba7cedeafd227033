"""Weights that a state dict holds in parts, multiplied out as their layers do it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["multiplied_out"]

# names of magnitude and direction, old and new, and what the weight is called then
PAIRS = (
    ("_g", "_v", ""),
    (".original0", ".original1", "parametrizations."),
)


def multiplied_out(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of weight norm out of their parts, and sentences on what was done.

    ``weight_orig`` of spectral norm is what it is, since the vectors beside it are not
    those of evaluation in every release of torch.
    """
    found, notes = dict(state), list[str]()
    done = []
    for name in state:
        pair = _parts(name, state)
        if pair is None:
            continue
        weight, magnitude, direction = pair
        product = _product(state[magnitude], state[direction])
        if product is None:
            notes.append(f"{direction} is as it was trained: {magnitude} does not fit it")
            continue
        found = {
            weight if key == direction else key: product if key == direction else held
            for key, held in found.items()
            if key != magnitude
        }
        done.append(weight)
    if done:
        notes.insert(0, f"weight norm was multiplied out in {', '.join(done)}")
    raw = [name for name in state if _is_raw(name)]
    if raw:
        notes.append(
            f"as trained, before what their layers make of them: {', '.join(raw)}"
        )
    return found, notes


def _parts(name: str, state: Mapping[str, Tensor]) -> tuple[str, str, str] | None:
    """Names of the weight, of its magnitude and its direction, if it has these."""
    for magnitude, direction, prefix in PAIRS:
        stem = name.removesuffix(magnitude)
        last = stem.rpartition(".")[2]
        if stem == name or prefix not in stem or not last.startswith("weight"):
            continue
        if stem + direction not in state:
            continue
        return stem.replace(prefix, ""), name, stem + direction
    return None


def _is_raw(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last.endswith("_orig") or (last == "original" and "parametrizations." in name)


def _product(magnitude: Tensor, direction: Tensor) -> Tensor | None:
    """The direction with norms of the magnitude; None if these are no two parts."""
    numeric = direction.is_floating_point() and magnitude.dtype == direction.dtype
    if not numeric or not direction.ndim:
        return None
    if magnitude.ndim == 0:  # one norm for all
        whole: Tensor = direction * (magnitude / torch.linalg.vector_norm(direction))
        return whole
    if magnitude.ndim != direction.ndim:
        return None
    long = [dim for dim, size in enumerate(magnitude.shape) if size != 1]
    kept = long[0] if long else magnitude.shape.index(1)
    wanted = [1] * direction.ndim
    wanted[kept] = direction.shape[kept]
    if len(long) > 1 or (long and list(magnitude.shape) != wanted):
        return None
    others = [dim for dim in range(direction.ndim) if not long or dim != kept]
    norms = torch.linalg.vector_norm(direction, dim=others, keepdim=True)
    product: Tensor = direction * (magnitude / norms)
    return product
