"""Published algorithms for sigma_1, as published: in float32, with no allowance for it.

Each is written from its paper's formulas, with the number of steps its authors use. They
know neither groups nor strides: the kernel is taken as one of stride 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from convspec import ConvOperator

__all__ = [
    "aol",
    "circular_norm",
    "fantastic_four",
    "gram_circular",
    "gram_toeplitz",
    "lip_bound",
    "power_iteration",
    "spectral_norm",
    "tensor_norm",
]


def spectral_norm(weight: Tensor, steps: int = 50) -> float:
    """The norm of the (C_out, C_in h w) matrix by power iteration.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks",
    ICLR 2018; torch.nn.utils.spectral_norm.
    """
    return _power(weight.float().flatten(1), steps)


def fantastic_four(weight: Tensor, steps: int = 50) -> float:
    """``sqrt(h w)`` times the least norm of four unfoldings, by power iteration.

    Source: Singla and Feizi, ICLR 2021, theorem 1; 50 steps.
    """
    K = weight.float()
    o, i, h, w = K.shape
    unfoldings = (
        K.reshape(o, i * h * w),
        K.transpose(0, 1).reshape(i, o * h * w),
        K.permute(0, 2, 1, 3).reshape(o * h, i * w),
        K.permute(0, 3, 1, 2).reshape(o * w, i * h),
    )
    return math.sqrt(h * w) * min(_power(matrix, steps) for matrix in unfoldings)


def tensor_norm(weight: Tensor, steps: int = 100) -> float:
    """``sqrt(h w)`` times the spectral norm of the 4-way tensor, by one random start.

    The higher-order power method ascends to a local maximum.

    Source: Grishina, Gorbunov and Rakhuba, ECCV 2024.
    """
    K = weight.to(torch.complex64)
    generator = torch.Generator().manual_seed(0)
    sides = [
        _unit(torch.randn(size, dtype=K.dtype, generator=generator)) for size in K.shape
    ]
    letters = "oihw"
    value = 0.0
    for _ in range(steps):
        for mode, letter in enumerate(letters):
            others = [side.conj() for place, side in enumerate(sides) if place != mode]
            terms = ",".join(letters.replace(letter, ""))
            partial = torch.einsum(f"{letters},{terms}->{letter}", K, *others)
            value = float(torch.linalg.vector_norm(partial))
            sides[mode] = _unit(partial)
    return math.sqrt(K.shape[2] * K.shape[3]) * value


def lip_bound(weight: Tensor, samples: int = 50, version: int = 1) -> float:
    """``sqrt(sum_i max_w sum_j |f_ij|^2)`` on a grid, times its sampling factor.

    Version 2 is ``sqrt(max_w sum_ij |f_ij|^2)``.

    The grid is that of ``linspace``, which has both 0 and 2 pi: one point fewer than the
    factor ``1 / (1 - 2 floor(k / 2) / samples)`` assumes.

    Source: Araujo et al., AAAI 2021, theorem 3.
    """
    K = weight.double().numpy()
    points = np.linspace(0, 2 * math.pi, samples)
    rows, columns = (np.exp(1j * np.outer(points, np.arange(k))) for k in K.shape[2:])
    symbol = np.einsum("oihw,ah,bw->oiab", K, rows, columns, optimize=True)
    power = (np.abs(symbol) ** 2).sum(1)  # (o, samples, samples)
    factor = math.prod(1 / (1 - 2 * (k // 2) / samples) for k in K.shape[2:])
    square = power.sum(0).max() if version == 2 else power.max((1, 2)).sum()
    return float(np.sqrt(factor * square))


def gram_circular(weight: Tensor, size: int, steps: int = 5) -> float:
    """``max_w ||G_t(w)||_F^(2^-t)``, ``G <- G^H G`` at the frequencies of one size.

    Source: Delattre et al., ICML 2023, algorithm 3.
    """
    K = weight.float()
    K = K if K.shape[0] >= K.shape[1] else K.transpose(0, 1)
    gram = torch.fft.rfft2(K, (size, size)).flatten(2).permute(2, 0, 1)
    log = torch.zeros(len(gram))
    for _ in range(steps):
        norm = torch.linalg.matrix_norm(gram).clamp(min=1e-30)  # a symbol can be 0
        gram = gram / norm[:, None, None]
        log = 2 * (log + norm.log())
        gram = gram.mH @ gram
    logs = (torch.linalg.matrix_norm(gram).log() + log) * 2.0**-steps
    return float(logs.max().exp())


def gram_toeplitz(weight: Tensor, steps: int = 4) -> float:
    """``(max row sum of |G_t|)^(2^-t)`` of the kernel's repeated autocorrelation.

    Source: Delattre et al., "Spectral norm of convolutional layers with circular and zero
    paddings", 2024 (Norm2Toep).
    """
    K = weight.float()
    # Grams of the smaller side
    K = K if K.shape[0] >= K.shape[1] else K.transpose(0, 1).flip(2, 3)
    log = 0.0
    for _ in range(steps):
        norm = float(torch.linalg.vector_norm(K))
        log = 2 * (log + math.log(norm))
        K = (K / norm).transpose(0, 1)
        K = functional.conv2d(K, K, padding=(K.shape[2] - 1, K.shape[3] - 1))
    row = float(K.abs().sum((1, 2, 3)).max())
    return math.exp((log + math.log(row)) * 2.0**-steps)


def aol(weight: Tensor) -> float:
    """``sqrt(max_i sum_j |K^T K|)``: the first step of :func:`gram_toeplitz`.

    Source: Prach and Lampert, "Almost-orthogonal layers for efficient general-purpose
    Lipschitz networks", ECCV 2022.
    """
    K = weight.float().transpose(0, 1)
    gram = functional.conv2d(K, K, padding=(K.shape[2] - 1, K.shape[3] - 1))
    return math.sqrt(float(gram.abs().sum((1, 2, 3)).max()))


def circular_norm(weight: Tensor, size: int) -> float:
    """The largest singular value on the torus of one size, in float64.

    Source: Sedghi, Gupta and Long, ICLR 2019.
    """
    transforms = np.fft.fft2(weight.numpy(), (size, size), axes=(2, 3))
    values = np.linalg.svd(transforms.transpose(2, 3, 0, 1), compute_uv=False)
    return float(values.max())


def power_iteration(op: ConvOperator, steps: int = 100) -> float:
    """``||A v||`` after some steps of ``v <- A^T A v`` from a random start.

    Source: Ryu et al., ICML 2019; Virmaux and Scaman, NeurIPS 2018.
    """
    op = op.to(torch.float32)
    generator = torch.Generator().manual_seed(0)
    v = _unit(torch.randn(op.input_shape, generator=generator))
    for _ in range(steps):
        v = _unit(op.adjoint(op.apply(v)))
    return float(torch.linalg.vector_norm(op.apply(v)))


def _power(matrix: Tensor, steps: int) -> float:
    """``u^T M v`` after power iteration from a random start."""
    generator = torch.Generator().manual_seed(0)
    u = _unit(torch.randn(len(matrix), generator=generator))
    for _ in range(steps):
        v = _unit(matrix.T @ u)
        u = _unit(matrix @ v)
    return float(u @ matrix @ v)


def _unit(vector: Tensor) -> Tensor:
    unit: Tensor = vector / torch.linalg.vector_norm(vector)
    return unit
