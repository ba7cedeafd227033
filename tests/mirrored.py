"""Hypothesis strategy for kernels with parities, under padding that may mirror them."""

from __future__ import annotations

import hypothesis.strategies as st
import torch

import convspec as cs
from tests.gaussian import gaussian

MODES = ("zeros", "symmetric", "replicate", "circular", "reflect")


@st.composite
def mirrored(draw: st.DrawFn) -> cs.ConvOperator:
    """Kernels of which each output channel is even or odd along every axis."""
    dim = draw(st.integers(1, 2))
    groups, ins, outs = (draw(st.integers(1, most)) for most in (2, 2, 3))
    kernel = [draw(st.integers(2, 4)) for _ in range(dim)]
    size = [draw(st.integers(4, 7 if dim == 2 else 12)) for _ in range(dim)]
    dtype = draw(st.sampled_from([torch.float64, torch.complex128]))
    weight = gaussian(draw(st.integers(0, 9)), groups * outs, ins, *kernel, dtype=dtype)
    for channel in range(groups * outs):
        for dim_, _ in enumerate(kernel):
            part = weight[channel]
            sign = draw(st.sampled_from([1, 1, -1]))
            weight[channel] = part + sign * part.flip(1 + dim_)
    pads = [
        draw(st.sampled_from([((k - 1) // 2, k // 2), (k // 2, (k - 1) // 2), (1, 1)]))
        for k in kernel
    ]
    modes = tuple(draw(st.sampled_from(MODES)) for _ in kernel)
    op = cs.ConvOperator(weight, size, padding=pads, padding_mode=modes, groups=groups)
    return op.T if draw(st.booleans()) else op
