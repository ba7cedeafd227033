"""Singular vectors as images: what makes them singular vectors, and their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import convspec as cs
from tests import geometries
from tests.cases import Case
from tests.gaussian import gaussian


def flat(images: Tensor) -> Tensor:
    """Images (k, *shape) as columns (length, k)."""
    return images.reshape(len(images), -1).T


def assert_singular_vectors(op: cs.ConvOperator, spec: cs.Spectrum) -> None:
    """A v = s u and A^H u = s v, both sets orthonormal; to rounding, matrix-free."""
    count = len(spec)
    assert spec.left is not None
    assert spec.right is not None
    assert spec.left.shape == (count, *op.output_shape)
    assert spec.right.shape == (count, *op.input_shape)
    assert spec.left.dtype == spec.right.dtype
    assert spec.left.dtype.is_complex == op.dtype.is_complex
    assert not spec.left.requires_grad
    assert not spec.right.requires_grad
    op = op.to(spec.left.dtype)
    left, right = flat(spec.left), flat(spec.right)
    values = torch.from_numpy(spec.values).to(right)
    slack = 2 * spec.error * count**0.5
    with torch.no_grad():
        assert (op @ right - left * values).norm() <= slack
        assert (op.H @ left - right * values).norm() <= slack
    unit = torch.eye(count, dtype=left.dtype)
    tolerance = (4 * max(op.shape) + 16) * spec.eps * count**0.5
    for vectors in (left, right):
        assert (vectors.mH @ vectors - unit).norm() <= tolerance


def assert_case(case: Case) -> None:
    """All triples, and the k at either end, which are those of the spectrum itself."""
    op = case.operator()
    every = cs.spectrum(op, vectors=True)
    assert every.method == cs.explain(op).method
    assert every.complete
    assert_singular_vectors(op, every)
    plain = cs.spectrum(op)
    assert np.abs(every.values - plain.values).max() <= every.error + plain.error
    k = (len(every) + 1) // 2
    for which, part in (("largest", slice(0, k)), ("smallest", slice(-k, None))):
        spec = cs.spectrum(op, k, which, vectors=True)
        assert_singular_vectors(op, spec)
        assert np.array_equal(spec.values, every.values[part])
        assert torch.equal(spec.left, every.left[part])
        assert torch.equal(spec.right, every.right[part])


@settings(max_examples=80)
@given(geometries.any_case())
def test_any_geometry(case: Case) -> None:
    assert_case(case)


@pytest.mark.slow
@settings(max_examples=1000)
@given(geometries.any_case())
def test_many_more(case: Case) -> None:
    assert_case(case)


GEOMETRIES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "zeros": ((3, 2, 3, 3), (4, 5), {"padding": 1}),
    "replicate": ((2, 3, 5), 6, {"padding": 4, "padding_mode": "replicate"}),
    "circular-strided": (
        (4, 3, 3),
        8,
        {"padding": 1, "stride": 2, "padding_mode": "circular"},
    ),
    "groups": ((6, 2, 3), 5, {"padding": 1, "groups": 3}),
    "depthwise": ((4, 1, 3, 3), 4, {"padding": 1, "groups": 4}),
    "transposed": ((2, 3, 3, 3), 3, {"stride": 2, "transposed": True}),
    "transposed-groups": ((4, 3, 2), 4, {"groups": 2, "transposed": True}),
    "3d": ((2, 2, 2, 2, 2), 3, {"padding_mode": "reflect", "padding": 1}),
}


def operator(name: str, dtype: torch.dtype = torch.float64) -> cs.ConvOperator:
    shape, size, options = GEOMETRIES[name]
    return cs.ConvOperator(gaussian(1, *shape, dtype=dtype), size, **options)


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str
)
@pytest.mark.parametrize("precision", [torch.float32, torch.float64], ids=str)
def test_dtypes(name: str, dtype: torch.dtype, precision: torch.dtype) -> None:
    """The vectors have the dtype of the arithmetic, complex only for complex weights."""
    op = operator(name, dtype)
    spec = cs.spectrum(op, vectors=True, dtype=precision)
    expected = precision.to_complex() if dtype.is_complex else precision
    assert spec.left.dtype == expected
    assert spec.values.dtype == np.float64
    assert_singular_vectors(op, spec)


@pytest.mark.parametrize("name", ["groups", "depthwise", "transposed-groups"])
def test_vectors_live_on_one_group(name: str) -> None:
    """Zero outside the channels of their group, and the same group on both sides."""
    op = operator(name)
    spec = cs.spectrum(op, vectors=True)
    active = []
    for images in (spec.left, spec.right):
        channels = images.reshape(len(spec), op.groups, -1).abs().sum(dim=2)
        assert ((channels > 0).sum(dim=1) == 1).all()
        active.append(channels.argmax(dim=1))
    assert torch.equal(*active)
    assert len(set(active[0].tolist())) == op.groups


def test_reconstruction() -> None:
    """All triples rebuild the operator."""
    op = operator("zeros")
    spec = cs.spectrum(op, vectors=True)
    values = torch.from_numpy(spec.values)
    rebuilt = (flat(spec.left) * values) @ flat(spec.right).mH
    assert (rebuilt - op.to_dense()).norm() <= spec.error * len(spec) ** 0.5


def test_known_vectors() -> None:
    """A shift on 4 pixels with zeros: all mass moves one pixel; the last is lost."""
    op = cs.ConvOperator(torch.tensor([[[1.0, 0, 0]]]), 4, padding=1)
    spec = cs.spectrum(op, 1, "smallest", vectors=True)
    assert spec.values.tolist() == [0.0]
    assert spec.right.abs().squeeze().tolist() == pytest.approx([0, 0, 0, 1], abs=1e-14)
    assert spec.left.abs().squeeze().tolist() == pytest.approx([1, 0, 0, 0], abs=1e-14)


def test_zero_operator() -> None:
    """Any orthonormal vectors will do, but they must be that."""
    op = cs.ConvOperator(torch.zeros(2, 3, 3), 4, padding=1)
    spec = cs.spectrum(op, vectors=True)
    assert spec.values.tolist() == [0.0] * 8
    assert_singular_vectors(op, spec)


def test_trainable_layer() -> None:
    """Weights that require gradients are read, not followed."""
    torch.manual_seed(0)
    op = cs.ConvOperator.from_layer(nn.Conv2d(2, 3, 3, padding=1), 4)
    assert op.weight.requires_grad
    assert_singular_vectors(op, cs.spectrum(op, 3, vectors=True))


def test_fourier_and_dense_vectors_span_the_same_space() -> None:
    op = operator("circular-strided")
    one = cs.spectrum(op, vectors=True)
    other = cs.spectrum(op, vectors=True, method="dense")
    assert (one.method, other.method) == ("fourier", "dense")
    rebuilt = [
        (s.left.flatten(1).T * torch.from_numpy(s.values)) @ s.right.flatten(1)
        for s in (one, other)
    ]
    assert torch.allclose(rebuilt[0], rebuilt[1], atol=1e-12 * one.norm, rtol=0)
