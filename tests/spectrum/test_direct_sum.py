"""Dilated axes, joined and unjoined channels: small blocks, each decomposed once."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import event, given, settings

import convspec as cs
from convspec.operators.direct_sum import direct_sum
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian


def blocks(op: cs.ConvOperator) -> int:
    """How many blocks the operator is a direct sum of, copies counted."""
    return sum(part.times * part.reduced.groups for part in direct_sum(op))


def assert_dense_values(op: cs.ConvOperator, matrix: oracles.Array) -> None:
    spec = cs.spectrum(op, method="dense")
    off = np.abs(spec.values - oracles.singular_values(matrix)).max()
    assert off <= spec.error + oracles.svd_tolerance(matrix)


@st.composite
def dilated(draw: st.DrawFn, dim: int) -> Case:
    """Dilations up to 4, strides that share factors with them, any padding and mode."""
    most = {1: 16, 2: 7, 3: 4}[dim]
    transposed = draw(st.booleans())
    modes = ("zeros",) if transposed else ("zeros", "zeros", "circular", "replicate")
    mode = draw(st.sampled_from(modes))
    lines = []
    for _ in range(dim):
        size, kernel = draw(st.integers(1, most)), draw(st.integers(1, 4 - dim // 3))
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        extent = dilation * (kernel - 1) + 1
        if transposed:
            most_pad = ((size - 1) * stride + extent - 1) // 2
            pad = draw(st.integers(0, min(most_pad, extent)))
        else:
            room = size if mode == "circular" else extent
            while size + 2 * room < extent:
                kernel, extent = kernel - 1, extent - dilation
            least = max(0, -(-(extent - size) // 2))
            pad = draw(st.integers(least, max(least, room)))
        lines.append((size, kernel, stride, dilation, pad))
    size, kernel, stride, dilation, pads = zip(*lines, strict=True)
    return Case(
        c_in=draw(st.integers(1, 2)),
        c_out=draw(st.integers(1, 2)),
        groups=1,
        kernel=kernel,
        size=size,
        stride=stride,
        dilation=dilation,
        padding=pads,
        padding_mode=mode,
        transposed=transposed,
        output_padding=(0,) * dim if transposed else (),
        pruned=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    )


@settings(max_examples=120)
@given(st.one_of(dilated(1), dilated(1), dilated(2), dilated(3)))
def test_dilated(case: Case) -> None:
    """The values of the blocks are those of the matrix by loops."""
    op = case.operator()
    event(f"{min(blocks(op), 9)} blocks, {case.padding_mode}")
    assert_dense_values(op, case.matrix())


@settings(max_examples=60)
@given(geometries.asymmetric())
def test_asymmetric(case: Case) -> None:
    assert_dense_values(case.operator(), case.matrix())


def test_every_class_has_the_same_closed_form() -> None:
    """[1, -2, 1], 1000 apart on 100,000 pixels: 1000 Laplacians of 100."""
    laplacian = torch.tensor([[[1.0, -2.0, 1.0]]], dtype=torch.float64)
    op = cs.ConvOperator(laplacian, 100_000, padding=1000, dilation=1000)
    plan = cs.explain(op)
    assert plan.flops < 1e7
    assert "1000 blocks, all equal" in plan.reason
    spec = cs.spectrum(op)
    known = 4 * np.sin(np.pi * np.arange(100, 0, -1) / 202) ** 2
    assert spec.complete
    assert np.abs(spec.values - np.repeat(known, 1000)).max() <= spec.error < 1e-12
    smallest = cs.spectrum(op, 1001, "smallest")
    assert np.array_equal(smallest.values, spec.values[-1001:])


def test_copies_of_an_undilated_layer() -> None:
    """Dilation 16 on 64 x 64: 256 times the layer on 4 x 4."""
    weight = gaussian(1, 8, 8, 3, 3)
    spec = cs.spectrum(cs.ConvOperator(weight, 64, padding=16, dilation=16))
    small = cs.spectrum(cs.ConvOperator(weight, 4, padding=1))
    off = np.abs(spec.values - np.repeat(small.values, 256)).max()
    assert off <= spec.error + small.error


def test_unequal_classes() -> None:
    """8000 pixels, 512 apart: 320 classes of 16 pixels and 192 of 15."""
    weight = gaussian(0, 4, 4, 3)
    op = cs.ConvOperator(weight, 8000, padding=512, dilation=512)
    assert "512 blocks, of which 2 differ" in cs.explain(op).reason
    spec = cs.spectrum(op)
    longer, shorter = (
        oracles.singular_values(cs.ConvOperator(weight, n, padding=1).to_dense().numpy())
        for n in (16, 15)
    )
    known = np.sort(np.concatenate([np.repeat(longer, 320), np.repeat(shorter, 192)]))
    assert np.abs(spec.values - known[::-1]).max() <= 2 * spec.error


GEOMETRIES: dict[str, tuple[int, tuple[int, ...], Any, dict[str, Any]]] = {
    # blocks, weight, size, options
    "stride-without-common-factor": (3, (2, 2, 3), 12, {"dilation": 3, "stride": 2}),
    "stride-that-the-dilation-divides": (1, (2, 2, 3), 12, {"dilation": 2, "stride": 2}),
    "classes-by-two-axes": (6, (1, 1, 3, 3), (8, 9), {"dilation": (2, 3), "padding": 3}),
    "circular": (
        2,
        (1, 2, 3),
        10,
        {"dilation": 4, "padding": 4, "padding_mode": "circular"},
    ),
    "undilated": (1, (2, 2, 3), 9, {"padding": 1}),
    "zeros-between-taps": (2, (1, 1, 5), 9, {"padding": 2}),
}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_number_of_blocks(name: str, dtype: torch.dtype) -> None:
    count, shape, size, options = GEOMETRIES[name]
    weight = gaussian(3, *shape, dtype=dtype)
    if name == "zeros-between-taps":
        weight[..., 1::2] = 0
    op = cs.ConvOperator(weight, size, **options)
    assert blocks(op) == count
    assert_dense_values(op, op.to_dense().numpy())


def test_unused_channels_are_zeros() -> None:
    """Two channels of five read, one of three written: 25 of 75 values, none computed."""
    weight = torch.zeros(3, 5, 3, 3, dtype=torch.float64)
    weight[1, 2:4] = gaussian(2, 2, 3, 3)
    op = cs.ConvOperator(weight, 5, padding=1)
    assert "one block of 25 x 50" in cs.explain(op).reason
    spec = cs.spectrum(op)
    assert len(spec) == 75
    assert not spec.values[25:].any()
    assert spec.rank() == 25
    assert_dense_values(op, op.to_dense().numpy())


def test_groups_written_as_one_layer() -> None:
    """A dense weight that joins each channel to itself only is depthwise."""
    kernels = gaussian(4, 3, 1, 3, 3)
    weight = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    weight[range(3), range(3)] = kernels[:, 0]
    one = cs.ConvOperator(weight, 6, padding=1)
    apart = cs.ConvOperator(kernels, 6, padding=1, groups=3)
    assert "3 blocks of 36 x 36" in cs.explain(one).reason
    assert np.array_equal(cs.spectrum(one).values, cs.spectrum(apart).values)


def test_equal_groups_are_decomposed_once() -> None:
    """Six groups of two kernels and a zero: two SVDs."""
    a, b = gaussian(5, 2, 1, 1, 3, 3)
    weight = torch.cat([a, b, a, torch.zeros_like(a), a, b])
    op = cs.ConvOperator(weight, 7, padding=1, groups=6)
    assert "5 blocks, of which 2 differ" in cs.explain(op).reason
    alone = cs.explain(cs.ConvOperator(a[None, 0], 7, padding=1))
    assert cs.explain(op).flops == pytest.approx(2 * alone.flops)
    assert_dense_values(op, op.to_dense().numpy())


def test_the_byte_limit_is_that_of_a_block() -> None:
    """What is refused whole fits class by class; below that, it is refused."""
    op = cs.ConvOperator(gaussian(6, 2, 2, 3), 4096, padding=64, dilation=64)
    needed = cs.explain(op).memory
    assert needed < 2**20 < 8 * op.shape[0] * op.shape[1]
    assert len(cs.spectrum(op, max_bytes=needed)) == 8192
    with pytest.raises(cs.TooLargeError, match="64 blocks, all equal"):
        cs.spectrum(op, max_bytes=needed - 1)


def test_single_precision() -> None:
    """float32 arithmetic of a dilated layer, within its error."""
    op = cs.ConvOperator(gaussian(7, 3, 3, 3), 30, padding=4, dilation=4)
    truth, spec = cs.spectrum(op), cs.spectrum(op, dtype=torch.float32)
    assert np.abs(spec.values - truth.values).max() <= spec.error + truth.error
    assert 0 < spec.error < 1e-3 * spec.norm
