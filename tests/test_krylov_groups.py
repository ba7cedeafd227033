"""Groups of equal kernels: every value as often as it occurs, against dense SVD."""

import numpy as np
import pytest
import torch

import convspec as cs

BINOMIAL = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
BLUR = torch.outer(BINOMIAL, BINOMIAL)[None, None]
SOBEL = torch.outer(BINOMIAL, torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
EPS = float(np.finfo(np.float64).eps)


def random(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=dtype)


def blur_pool() -> cs.ConvOperator:
    return cs.ConvOperator(BLUR.repeat(16, 1, 1, 1), 11, stride=2, padding=1, groups=16)


def gradients() -> cs.ConvOperator:
    """Kernels of two kinds with the same singular values."""
    both = torch.stack([SOBEL, SOBEL.T])[:, None]
    return cs.ConvOperator(both.repeat(6, 1, 1, 1), 10, padding=1, groups=12)


def mixed() -> cs.ConvOperator:
    """Five equal groups of six, with rectangular blocks."""
    weight = torch.cat([random(3, 2, 3, 3).repeat(5, 1, 1, 1), random(3, 2, 3, 3) * 1.1])
    return cs.ConvOperator(weight, 9, padding=1, groups=6)


def bilinear() -> cs.ConvOperator:
    """Bilinear upsampling, as transposed layers are initialised for it."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 4
    weight = torch.outer(line, line)[None, None].repeat(8, 1, 1, 1)
    return cs.ConvOperator(weight, 7, stride=2, padding=1, groups=8, transposed=True)


def complex_weights() -> cs.ConvOperator:
    weight = random(2, 2, 3, 3, dtype=torch.complex128).repeat(7, 1, 1, 1)
    return cs.ConvOperator(weight, 8, padding=1, groups=7)


OPERATORS = {
    "blur-pool": blur_pool,
    "gradients": gradients,
    "mixed": mixed,
    "bilinear": bilinear,
    "complex": complex_weights,
}


@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("k", [1, 7, 20])
@pytest.mark.parametrize("name", OPERATORS)
def test_equal_groups_repeat_every_value(
    name: str, k: int, which: str, rtol: float
) -> None:
    op = OPERATORS[name]()
    every = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    truth = every[:k] if which == "largest" else every[-k:]
    found = cs.spectrum(op, k, which, "krylov", vectors=True, rtol=rtol)
    rounding = max(op.shape) * EPS * every[0]
    assert (np.abs(found.values - truth) <= np.maximum(found.error, rounding)).all()

    sigma = torch.from_numpy(found.values)
    u, v = found.left.flatten(1), found.right.flatten(1)
    identity = torch.eye(k, dtype=u.dtype)
    for rows in (u, v):
        assert float((rows @ rows.mH - identity).abs().max()) <= max(op.shape) * EPS
    residual = torch.linalg.vector_norm(op @ v.T - u.T * sigma, dim=0)
    assert float(residual.max()) <= rtol * every[0]


def test_different_groups_are_not_merged() -> None:
    """Kernels that differ in the last place are different."""
    weight = BLUR.repeat(3, 1, 1, 1)
    weight[1] *= 1 + 2 * EPS
    op = cs.ConvOperator(weight, 9, padding=1, groups=3)
    found = cs.spectrum(op, 3, method="krylov", vectors=True)
    places = found.right.flatten(2).norm(dim=2).argmax(dim=1)
    assert sorted(places.tolist()) == [0, 1, 2]
