"""Square 3 x 3 kernels whose largest singular values are sought, by name."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.trained import mtcnn_kernel, nudenet_kernel

__all__ = ["gaussian", "kernel", "peaked"]

# the amplitude that puts the largest singular value of F(0) 1.25 times above the next
SPIKE = 2.0


def kernel(name: str, channels: int) -> Tensor:
    """A kernel (channels, channels, 3, 3) in float64.

    Args:
        name: ``"trained"``, ``"peaked"`` or ``"gaussian"``.
        channels: 64 or 128 for trained ones.

    Raises:
        Unavailable: If trained weights cannot be fetched.
    """
    if name == "trained":
        if channels == 64:
            return mtcnn_kernel("conv3")
        return nudenet_kernel("model.8.m.0.cv1.conv.weight")
    return peaked(channels) if name == "peaked" else gaussian(channels)


def gaussian(channels: int, seed: int = 0) -> Tensor:
    """Normal weights of variance ``1 / (9 channels)``.

    The entries of F(w) then have variance ``1 / channels`` at every w, and singular
    values up to about 2: the spectrum has no peak.
    """
    return _gaussian(channels, torch.Generator().manual_seed(seed))


def peaked(channels: int, seed: int = 0) -> Tensor:
    """Synthetic: :func:`gaussian` plus a smoothing filter of rank one.

    ``2 u v^T`` times the taps ``[1, 2, 1] / 4`` per axis, u and v random unit vectors.
    F(0) is a square random matrix of edge 2 plus a spike of 2, whose largest singular
    value is near ``2 + 1/2`` (Benaych-Georges and Nadakuditi, 2012): 1.25 times the next,
    while F elsewhere stays lower. That is what training leaves: in the 3 x 3 layers of
    64 and 128 channels of two trained detectors the ratio is 1.0 to 1.6, 1.24 in the
    median, and the peak is nearly always at 0.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = _gaussian(channels, generator)
    sides = torch.randn(2, channels, generator=generator, dtype=torch.float64)
    u, v = sides / torch.linalg.vector_norm(sides, dim=1, keepdim=True)
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    return noise + SPIKE * torch.einsum("o,i,a,b->oiab", u, v, taps, taps)


def _gaussian(channels: int, generator: torch.Generator) -> Tensor:
    shape = (channels, channels, 3, 3)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    return weight / math.sqrt(9 * channels)
