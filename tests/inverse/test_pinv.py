"""Pseudo-inverses by the conditions of Penrose, against matrices made by loops."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

import convspec as cs
from tests.cases import Case
from tests.geometries import any_case, asymmetric, circulants

EPS = np.finfo(np.float64).eps
EVERY = st.one_of(any_case(), asymmetric(), *[circulants(dim) for dim in (1, 2, 3)])


def condition(matrix: np.ndarray) -> float:
    """The largest singular value over the least that is not rounding."""
    values = np.linalg.svd(matrix, compute_uv=False)
    values = values[values > max(matrix.shape) * EPS * values[0]]
    return float(values[0] / values[-1]) if len(values) else 1.0


def penrose(matrix: np.ndarray, found: np.ndarray) -> list[float]:
    """How far the four conditions are from holding, relative."""
    scale = max(np.linalg.norm(matrix, 2), 1e-300)
    size = max(np.linalg.norm(found, 2), 1e-300)
    there, back = matrix @ found, found @ matrix
    return [
        float(np.linalg.norm(there @ matrix - matrix, 2) / scale),
        float(np.linalg.norm(back @ found - found, 2) / size),
        float(np.linalg.norm(there - there.conj().T, 2)),
        float(np.linalg.norm(back - back.conj().T, 2)),
    ]


@given(EVERY)
def test_every_geometry(case: Case) -> None:
    op, matrix = case.operator(), case.matrix()
    found = op.pinv(method="direct").to_dense().numpy()
    allowed = 32 * max(matrix.shape) * EPS * condition(matrix)
    assert max(penrose(matrix, found)) <= allowed
    assert op.pinv(method="direct").rank == np.linalg.matrix_rank(matrix)


COMPLEX = {
    "torus": {"padding": 1, "padding_mode": "circular"},
    "panorama": {"padding": 1, "padding_mode": ("circular", "zeros")},
    "patches": {"stride": 3},
    "transposed": {"stride": 2, "transposed": True},
}


@pytest.mark.parametrize("arguments", COMPLEX.values(), ids=COMPLEX)
def test_complex(arguments: dict[str, object]) -> None:
    weight = torch.randn(3, 2, 3, 3, dtype=torch.complex128, generator=seeded(1))
    op = cs.ConvOperator(weight, (6, 9), **arguments)  # type: ignore[arg-type]
    matrix = op.to_dense().numpy()
    inverse = op.pinv()
    assert max(penrose(matrix, inverse.to_dense().numpy())) < 1e-12
    for turned, exact in ((inverse.H, matrix.conj().T), (inverse.T, matrix.T)):
        assert max(penrose(exact, turned.to_dense().numpy())) < 1e-12


def test_composed_maps() -> None:
    blur = cs.ConvOperator(torch.ones(1, 1, 3, dtype=torch.float64), 8, padding=1)
    stride = cs.ConvOperator(torch.ones(2, 1, 2, dtype=torch.float64), 8, stride=2)
    both = cs.stack([stride @ blur, 0.5 * (stride @ blur)])
    found = both.pinv().to_dense().numpy()
    assert max(penrose(both.to_dense().numpy(), found)) < 1e-12


def test_damped_is_that_of_the_stacked_matrix() -> None:
    op = cs.ConvOperator(torch.randn(2, 3, 3, generator=seeded(2)), 9, padding=1)
    op = op.to(torch.float64)
    matrix = op.to_dense().numpy()
    y = torch.randn(4, *op.output_shape, dtype=torch.float64, generator=seeded(3))
    rows = np.vstack([matrix, 0.3 * np.eye(matrix.shape[1])])
    right = np.hstack([y.flatten(1).numpy(), np.zeros((4, matrix.shape[1]))])
    exact = np.linalg.lstsq(rows, right.T, rcond=None)[0].T
    for method in ("direct", "krylov"):
        x = op.pinv(damp=0.3, method=method, rtol=1e-13).apply(y)
        assert np.allclose(x.flatten(1), exact, rtol=0, atol=1e-11 * abs(exact).max())


def test_of_the_adjoint_is_its_adjoint() -> None:
    op = cs.ConvOperator(torch.randn(2, 1, 3, generator=seeded(4)), 7, padding=1)
    inverse = op.to(torch.float64).pinv(damp=0.1)
    x, y = (
        torch.randn(*shape, dtype=torch.float64, generator=seeded(5))
        for shape in (op.input_shape, op.output_shape)
    )
    assert torch.allclose((inverse.apply(y) * x).sum(), (y * inverse.adjoint(x)).sum())
    by_products = op.to(torch.float64).pinv(damp=0.1, method="krylov").adjoint(x)
    assert torch.allclose(by_products, inverse.adjoint(x), atol=1e-8)


def test_projects() -> None:
    op = cs.ConvOperator(torch.randn(1, 3, 3, 3, generator=seeded(6)), (6, 6), padding=1)
    onto = op.to(torch.float64).pinv() @ op.to(torch.float64)
    dense = onto.to_dense()
    assert torch.allclose(dense @ dense, dense, atol=1e-12)
    assert abs(float(dense.trace()) - 36) < 1e-10


def test_gradients_reach_the_images() -> None:
    op = cs.ConvOperator(torch.randn(2, 1, 3, generator=seeded(7)), 5, padding=1)
    inverse = op.to(torch.float64).pinv(damp=0.2)
    y = torch.randn(1, *op.output_shape, dtype=torch.float64, generator=seeded(8))
    assert torch.autograd.gradcheck(inverse.apply, y.requires_grad_())
    assert torch.autograd.gradgradcheck(inverse.apply, y)


def test_scales_that_have_no_squares() -> None:
    weight = torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)
    for scale in (1e-250, 1e250):
        found = cs.ConvOperator(weight * scale, 4).pinv().to_dense()
        exact = np.linalg.pinv(cs.ConvOperator(weight, 4).to_dense().numpy())
        assert np.allclose(found.numpy() * scale, exact, rtol=1e-13)


@pytest.mark.parametrize("method", ["direct", "krylov"])
@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e300])
@pytest.mark.parametrize("damp", [1e-200, 0.1, 1e200])
def test_damping_of_any_size(scale: float, damp: float, method: str) -> None:
    """``x = A^H y / damp^2`` where A is small beside it, ``A^+ y`` where it is large."""
    plain = cs.ConvOperator(torch.tensor([[[1.0, 3.0, 1.0]]]), 6, padding=1)
    op = scale * plain.to(torch.float64)
    y = torch.linspace(1, 2, 6, dtype=torch.float64)[None]
    found = op.lstsq(y, damp=damp, method=method).solution
    if damp < scale:
        exact = plain.to(torch.float64).solve(y) / scale
    else:
        exact = plain.to(torch.float64).adjoint(y) * (scale / damp / damp)
    assert torch.allclose(found, exact, rtol=1e-9, atol=1e-250)


def test_a_map_of_zeros_has_zeros() -> None:
    op = cs.ConvOperator(torch.zeros(2, 1, 3), 5)
    assert not op.pinv().to_dense().any()
    assert op.pinv().rank == 0


def test_dtypes_of_the_answer() -> None:
    op = cs.ConvOperator(torch.randn(1, 1, 3, generator=seeded(9)).half(), 6, padding=1)
    inverse = op.pinv()
    assert inverse.dtype == torch.float16
    assert inverse.apply(torch.ones(1, 6)).dtype == torch.float32
    assert inverse.apply(torch.ones(1, 6, dtype=torch.complex64)).dtype == torch.complex64
    assert inverse.apply(torch.ones(0, 1, 6)).shape == (0, 1, 6)


def test_proofs_refuse_it() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 6, padding=1)
    for call in (cs.spectral_norm, cs.spectrum):
        with pytest.raises(cs.NotApplicable, match="pseudo-inverse"):
            call(op.pinv())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"damp": -1.0}, "damp must be"),
        ({"rank_rtol": 2.0}, "rank_rtol must be"),
        ({"method": "svd"}, "method must be one of auto, direct, krylov"),
        ({"rtol": 0.0}, "rtol must be between 0 and 1"),
    ],
)
def test_wrong_arguments(given: dict[str, object], words: str) -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 6, padding=1)
    with pytest.raises(ValueError, match=words):
        op.pinv(**given)  # type: ignore[arg-type]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
