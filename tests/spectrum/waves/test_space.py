"""Gram matrices of cut-off waves in closed form, against columns and the dense matrix."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace
from itertools import product

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import convspec as cs
from convspec.errors import GeometryError
from convspec.spectrum.waves.axis import geometric_sum
from convspec.spectrum.waves.space import WaveSpace, wave_axes


def columns(space: WaveSpace) -> Tensor:
    """The waves, pixel by pixel; (n, d)."""
    sizes = [axis.axis.size for axis in space.axes]
    strides = [axis.axis.stride for axis in space.axes]
    pixels = list(product(*map(range, sizes)))
    found = []
    for w, v in zip(space.frequencies.tolist(), space.vectors, strict=True):
        waves = []
        for x in pixels:
            angle = sum(p // s * f for p, s, f in zip(x, strides, w, strict=True))
            phase = tuple(p % s for p, s in zip(x, strides, strict=True))
            waves.append(v[(slice(None), *phase)] * cmath.exp(1j * angle))
        found.append(torch.stack(waves, dim=1).flatten())
    return torch.stack(found, dim=1)


def basis(space: WaveSpace) -> Tensor:
    waves = columns(space)
    if space.weight.is_complex():
        return waves
    return torch.cat([waves.real, waves.imag], dim=1)


def space_of(op: cs.ConvOperator, count: int, seed: int = 0) -> WaveSpace:
    axes = wave_axes(op)
    assert axes is not None
    generator = torch.Generator().manual_seed(seed)
    shape = (count, op.geometry.c_in, *(axis.axis.stride for axis in axes))
    parts = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in "ab"]
    turns = torch.rand(count, len(axes), generator=generator, dtype=torch.float64)
    for k, axis in enumerate(axes):
        if axis.period:
            turns[:, k] = torch.round(turns[:, k] * axis.period) / axis.period
    return WaveSpace(axes, op.weight, 2 * math.pi * turns, torch.complex(*parts))


@st.composite
def operators(draw: st.DrawFn) -> cs.ConvOperator:
    """Convolutions of one group, of 1 to 3 axes, zero or circular padding."""
    dim = draw(st.integers(1, 3))
    most = {1: 11, 2: 6, 3: 4}[dim]

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=dim, max_size=dim)))

    size, kernel = numbers(1, most), numbers(1, 4 if dim < 3 else 3)
    mode = draw(st.sampled_from(["zeros", "zeros", "circular"]))
    pads = tuple(
        (draw(st.integers(0, min(4, n))), draw(st.integers(0, min(4, n)))) for n in size
    )
    c_out, c_in = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    kind = torch.complex128 if draw(st.booleans()) else torch.float64
    weight = torch.randn(c_out, c_in, *kernel, generator=generator, dtype=kind)
    try:
        return cs.ConvOperator(
            weight,
            size,
            stride=numbers(1, 3),
            dilation=numbers(1, 3),
            padding=pads,
            padding_mode=mode,
        )
    except GeometryError:
        return cs.ConvOperator(weight[..., :1].clone() if dim == 1 else weight, 13)


@settings(max_examples=50)
@given(op=operators(), seed=st.integers(0, 9))
def test_gram_matrices_are_those_of_the_columns(op: cs.ConvOperator, seed: int) -> None:
    if wave_axes(op) is None:
        assert op.geometry.axes[0].mode == "circular"
        return
    space = space_of(op, 3, seed)
    S, A = basis(space), op.to_dense()
    scale = float(S.abs().square().sum())
    torch.testing.assert_close(space.gram(), S.mH @ S, rtol=0, atol=1e-13 * scale)
    image = A @ S
    scale = float(A.abs().sum(dim=1).square().sum()) * float(S.abs().max()) ** 2
    torch.testing.assert_close(
        space.product_gram(), image.mH @ image, rtol=0, atol=1e-13 * scale
    )


@settings(max_examples=50)
@given(op=operators(), seed=st.integers(0, 9))
def test_images_are_sums_of_the_columns(op: cs.ConvOperator, seed: int) -> None:
    if wave_axes(op) is None:
        return
    space = space_of(op, 3, seed)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, space.dim, generator=generator, dtype=op.dtype)
    found = space.images(rows, op.dtype).flatten(1)
    torch.testing.assert_close(found, rows @ basis(space).T, rtol=0, atol=1e-11)


def test_few_bytes_change_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(5, 3, 3, 2, generator=generator, dtype=torch.float64)
    op = cs.ConvOperator(weight, (7, 6), stride=(1, 2), padding=1)
    whole = space_of(op, 4)
    tight = replace(whole, max_bytes=1)
    torch.testing.assert_close(tight.product_gram(), whole.product_gram())
    rows = torch.eye(8, dtype=torch.float64)[:2]
    found = [space.images(rows, torch.float64) for space in (tight, whole)]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_repeated_pixels_take_no_waves(mode: str) -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 9, padding=1, padding_mode=mode)
    assert wave_axes(op) is None


def test_groups_take_no_waves() -> None:
    assert wave_axes(cs.ConvOperator(torch.ones(2, 1, 3), 9, groups=2)) is None


@given(
    delta=st.floats(-20, 20) | st.integers(-4, 4).map(lambda j: j * math.pi),
    first=st.integers(0, 300),
    count=st.integers(1, 300),
)
def test_geometric_sums(delta: float, first: int, count: int) -> None:
    found = geometric_sum(torch.tensor(delta, dtype=torch.float64), ((first, count),))
    places = range(first, first + count)
    real = math.fsum(math.cos(delta * p) for p in places)
    imag = math.fsum(math.sin(delta * p) for p in places)
    assert abs(complex(found) - complex(real, imag)) <= 2e-12 * count
