"""Kernels and images at the cosines and sines of halves of rings.

Output channels may have other waves than their neighbours: those of an even kernel keep
the parity of pixels, those of an odd one turn it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.half_ring import HalfRing, Waves

__all__ = ["Kinds", "at_waves", "by_kind"]

# waves along an axis, and which of them each channel has
Kinds = tuple[Sequence[Waves], IntArray]


def at_waves(weight: Tensor, half: HalfRing) -> Tensor:
    """``sum_t K_t table_t`` for each output channel: taps to (frequencies, 1, 1).

    Args:
        weight: (groups, out, in, taps, ...).
        half: What takes the taps to frequencies.
    """
    groups, rows = weight.shape[:2]
    table = torch.from_numpy(half.table()).to(weight)
    table = table.reshape(groups, rows, 1, *table.shape[1:])  # (g, out, 1, taps, f)
    moved = weight.movedim(3, -1)  # (g, out, in, ..., taps)
    found = moved.flatten(3, -2) if moved.ndim > 4 else moved.unsqueeze(3)
    found = (found @ table).reshape(*moved.shape[:-1], -1)
    return found[..., None, None]


def by_kind(
    images: Tensor,
    kinds: Kinds,
    dim: int,
    turn: Callable[[Waves, Tensor, int], Tensor],
) -> Tensor:
    """Images taken to waves along a dimension, or back, each channel by its own.

    Args:
        images: (b, groups, channels, ...).
        kinds: The waves, and which each channel has; (groups, channels) or (1, 1).
        dim: The dimension.
        turn: :meth:`Waves.taken` or :meth:`Waves.placed`.
    """
    waves, which = kinds
    if len(waves) == 1:
        return turn(waves[0], images, dim)
    shape = list(images.shape)
    found = images
    for number, some in enumerate(waves):
        mask = torch.from_numpy(which == number).to(images.device)
        turned = turn(some, images[:, mask].unsqueeze(1), dim)
        if number == 0:
            shape[dim] = turned.shape[dim]
            found = images.new_empty(shape)
        found[:, mask] = turned.squeeze(1)
    return found
