"""The usual ways to all singular values of a convolution on the torus."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.torus_layer import FloatArray, TorusLayer
from convspec import spectrum

__all__ = ["direct_symbol", "numpy_fft", "ours", "polyphase", "torch_fft"]


def ours(layer: TorusLayer) -> FloatArray:
    """All values by convspec, from nothing."""
    return spectrum(layer.operator()).values


def numpy_fft(weight: Tensor, size: int) -> FloatArray:
    """The published way: transform every channel pair, decompose every frequency.

    Source: Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers", ICLR 2019.
    """
    transforms = np.fft.fft2(weight.numpy(), (size, size), axes=(2, 3))
    values: FloatArray = np.linalg.svd(transforms.transpose(2, 3, 0, 1), compute_uv=False)
    return values.reshape(-1)


def torch_fft(weight: Tensor, size: int) -> FloatArray:
    """The same in torch."""
    transforms = torch.fft.fft2(weight, (size, size))
    values: FloatArray = torch.linalg.svdvals(transforms.permute(2, 3, 0, 1)).numpy()
    return values.reshape(-1)


def direct_symbol(weight: Tensor, size: int) -> FloatArray:
    """Each frequency's block as the sum of its taps, without a transform.

    Source: van Betteray et al., "LFA applied to CNNs", ECAI 2025.
    """
    c_out, c_in, kernel = weight.shape[:3]
    angle = 2 * math.pi * np.outer(np.arange(size), np.arange(kernel)) / size
    wave = np.exp(1j * angle)  # (size, kernel)
    waves = np.einsum("ja,lb->jlab", wave, wave).reshape(size**2, kernel**2)
    taps = weight.numpy().reshape(c_out * c_in, kernel**2).T
    blocks = (waves @ taps).reshape(size**2, c_out, c_in)
    values: FloatArray = np.linalg.svd(blocks, compute_uv=False)
    return values.reshape(-1)


def polyphase(weight: Tensor, stride: int) -> Tensor:
    """The stride-1 kernel (c_out, s^2 c_in, ., .) on the s^2 phases of the image.

    Tap ``s q + r`` of a channel is tap q of that channel's phase r.
    """
    c_out, c_in, kernel = weight.shape[:3]
    taps = -(-kernel // stride)
    missing = taps * stride - kernel
    padded = torch.nn.functional.pad(weight, (0, missing, 0, missing))
    split = padded.reshape(c_out, c_in, taps, stride, taps, stride)
    return split.permute(0, 1, 3, 5, 2, 4).reshape(c_out, -1, taps, taps)
