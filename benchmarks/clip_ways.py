"""Published ways to lower the norm of a kernel, of one group and stride 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convspec import ConvOperator, clip, spectral_norm

__all__ = ["OURS", "WAYS", "alternating", "clipped_and_cut", "nearest", "rescaled"]


def nearest(op: ConvOperator, bound: float) -> Tensor:
    """Ours, with its certificate."""
    return clip(op, bound).weight


def clipped_and_cut(op: ConvOperator, bound: float) -> Tensor:
    """The symbol clipped at all frequencies of the image, cut back to the support.

    Source: Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR
    2019, whose code does so for every padding.
    """
    size = op.geometry.sizes
    weight = op.weight
    values = torch.fft.fftn(weight, s=size, dim=(2, 3)).permute(2, 3, 0, 1)
    left, sigma, right = torch.linalg.svd(values, full_matrices=False)
    values = (left * sigma.clamp(max=bound)[..., None, :]) @ right
    whole: Tensor = torch.fft.ifftn(values.permute(2, 3, 0, 1), dim=(2, 3)).real
    return whole[:, :, : weight.shape[2], : weight.shape[3]].contiguous()


def alternating(op: ConvOperator, bound: float, rounds: int = 10) -> Tensor:
    """The same again and again: projections in turn, onto the bound and the support."""
    for _ in range(rounds):
        op = op.with_weight(clipped_and_cut(op, bound))
    return op.weight


def rescaled(op: ConvOperator, bound: float) -> Tensor:
    """The kernel times bound over certified norm."""
    return op.weight * min(1.0, bound / spectral_norm(op).upper)


def of_reshaped(op: ConvOperator, bound: float) -> Tensor:
    """The kernel times bound over the norm of the (C_out, C_in h w) matrix, exact.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks",
    ICLR 2018; torch.nn.utils.parametrizations.spectral_norm after enough steps.
    """
    norm = float(torch.linalg.matrix_norm(op.weight.flatten(1), 2))
    return op.weight * min(1.0, bound / norm)


OURS = "cs.clip"
# the first is ours
WAYS: dict[str, Callable[[ConvOperator, float], Tensor]] = {
    OURS: nearest,
    "clipped and cut, once": clipped_and_cut,
    "clipped and cut, 10 times": alternating,
    "scaled by the certified norm": rescaled,
    "scaled by the reshaped norm": of_reshaped,
}
