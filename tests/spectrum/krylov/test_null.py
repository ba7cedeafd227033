"""Singular vectors of value 0, on both sides, against the matrix by loops or torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import convspec as cs

KINDS = ("filter", "input", "both", "repeated", "repeated input", "ones", "low rank")


def deficient(
    kind: str,
    channels: tuple[int, int],
    taps: int,
    groups: int,
    complex_: bool,
    seed: int,
) -> torch.Tensor:
    """A kernel in one dimension whose operators have fewer values than they could."""
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if complex_ else torch.float64
    out, into = channels
    shape = groups * out, into, taps
    weight = torch.randn(shape, dtype=dtype, generator=generator)
    if kind in ("filter", "both"):
        weight[0] = 0
    if kind in ("input", "both"):
        weight[:, -1] = 0
    if kind == "repeated":
        weight[-1] = weight[0]
    if kind == "repeated input":
        weight[:, -1] = weight[:, 0]
    if kind == "ones":
        weight = torch.ones_like(weight)
    if kind == "low rank":
        weight = weight[:1] * weight[:, :1, :1]
    return weight


def assert_triples(op: cs.ConvOperator, k: int, which: str, method: str) -> None:
    """``A v = sigma u`` and ``A^H u = sigma v`` within the error, both orthonormal."""
    matrix = op.to_dense().numpy()
    values = np.linalg.svd(matrix, compute_uv=False)
    spec = cs.spectrum(op, k, which, method, vectors=True)
    left, right = (x.flatten(1).numpy().T for x in (spec.left, spec.right))
    eps = np.finfo(np.float64).eps
    rounding = 16 * eps * sum(matrix.shape) ** 0.5 * values[0]
    allowed = spec.error + rounding
    ahead = np.linalg.norm(matrix @ right - left * spec.values, axis=0)
    back = np.linalg.norm(matrix.conj().T @ left - right * spec.values, axis=0)
    assert spec.converged
    assert (ahead <= allowed).all()
    assert (back <= allowed).all()
    expected = values[:k] if which == "largest" else values[-k:]
    assert (np.abs(spec.values - expected) <= allowed).all()
    assert np.max(spec.error) <= 4e-6 * values[0] + rounding
    for vectors in (left, right):
        gram = vectors.conj().T @ vectors
        assert np.abs(gram - np.eye(k)).max() <= 1e-12


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    channels=st.sampled_from([(1, 2), (2, 1), (3, 1), (2, 4), (4, 2), (2, 2), (3, 3)]),
    taps=st.integers(1, 3),
    groups=st.sampled_from([1, 1, 2, 3]),
    complex_=st.booleans(),
    size=st.sampled_from([4, 9, 40, 90]),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    mode=st.sampled_from(["zeros", "circular", "replicate"]),
    k=st.sampled_from([1, 3, 12, 1000]),
    which=st.sampled_from(["smallest", "largest"]),
    seed=st.integers(0, 3),
)
def test_deficient_operators(
    kind: str,
    channels: tuple[int, int],
    taps: int,
    groups: int,
    complex_: bool,
    size: int,
    stride: int,
    padding: int,
    mode: str,
    k: int,
    which: str,
    seed: int,
) -> None:
    weight = deficient(kind, channels, taps, groups, complex_, seed)
    op = cs.ConvOperator(
        weight, size, stride=stride, padding=padding, padding_mode=mode, groups=groups
    )
    k = min(k, *op.shape)
    for method in ("krylov", "dense"):
        assert_triples(op, k, which, method)
    torus = cs.ConvOperator(
        weight, size, padding=taps // 2, padding_mode="circular", groups=groups
    )
    if taps != 2:
        assert_triples(torus, min(k, *torus.shape), which, "fourier")


@pytest.mark.parametrize("k", [1, 2, 8])
def test_a_dead_filter_of_a_wide_layer(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 6, 3, 3, generator=generator, dtype=torch.float64)
    weight[1] = 0
    op = cs.ConvOperator(weight, 14, padding=1)
    assert_triples(op, k, "smallest", "krylov")


@pytest.mark.parametrize("k", [1, 4])
def test_zeros_beside_small_values(k: int) -> None:
    """Values from 1e-3 down to 1e-12 hide no vector of value 0."""
    scales = torch.logspace(-3, -12, 10, dtype=torch.float64)
    weight = torch.zeros(16, 12, 1, dtype=torch.float64)
    weight[0, 0] = 1
    weight[range(1, 11), range(1, 11), 0] = scales
    orthogonal = torch.linalg.qr(
        torch.randn(16, 16, generator=torch.Generator().manual_seed(1)).double()
    )[0]
    weight = torch.einsum("po,oit->pit", orthogonal, weight)
    assert_triples(cs.ConvOperator(weight, 20), k, "smallest", "krylov")
    transposed = weight.transpose(0, 1).contiguous()
    assert_triples(cs.ConvOperator(transposed, 20), k, "smallest", "krylov")
