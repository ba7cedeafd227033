"""Groups of equal kernels: every value as often as it occurs, against dense SVD."""

import itertools

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


PLANES = {"padding": 1, "stride": (1, 2)}
LINES = {"padding": 6, "stride": 3, "dilation": 2, "transposed": True}
GEOMETRIES = {
    "planes": ((2, 2, 4, 3), 9, PLANES),
    "transposed planes": ((2, 2, 4, 3), 9, PLANES | {"transposed": True}),
    "transposed lines": ((2, 1, 5), 29, LINES),
}


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(
    "factors",
    [
        pytest.param([1, 1 + 1e-13, 1 - 3e-13, 1 + 2e-13], id="rounding apart"),
        pytest.param([1, 1 + 1e-7, 1 - 3e-7, 1 + 2e-7], id="float32 apart"),
        pytest.param([1, 1 + 1e-3, 1 - 3e-3, -1], id="clustered"),
        pytest.param([1e-9, 1e-3, 1.0, 1e8], id="of all scales"),
    ],
)
def test_groups_that_differ_by_factors(
    factors: list[float], geometry: str, which: str
) -> None:
    """The values are those of one kernel times each factor: none may be left out."""
    shape, size, options = GEOMETRIES[geometry]
    kernel = random(*shape)
    one = cs.ConvOperator(kernel, size, **options)
    weight = torch.cat([factor * kernel for factor in factors])
    op = cs.ConvOperator(weight, size, groups=len(factors), **options)
    block = np.linalg.svd(one.to_dense().numpy(), compute_uv=False)
    every = np.sort(np.abs(np.outer(factors, block)).ravel())[::-1]
    rounding = max(op.shape) * EPS * every[0]
    for k, seed in itertools.product((3, 4, 9), range(3)):
        found = cs.spectrum(op, k, which, "krylov", seed=seed)
        truth = every[:k] if which == "largest" else every[-k:]
        off = np.abs(found.values - truth)
        assert (off <= np.maximum(found.error, rounding)).all()


@pytest.mark.slow
def test_exhausted_spaces_go_on_at_random() -> None:
    """Pointwise kernels have few different values; what is left after them is noise."""
    kernel = [[0.63, 0.97, 0.18], [0.2, -0.017, 0.33], [0.82, -0.62, -0.007]]
    weight = torch.tensor(kernel, dtype=torch.float64).reshape(9, 1, 1, 1, 1)
    geometry = {"stride": (2, 3, 1), "padding": 1, "padding_mode": "reflect"}
    op = cs.ConvOperator(weight, (4, 4, 3), groups=3, **geometry)
    every = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    rounding = max(op.shape) * EPS * every[0]
    for seed in range(40):
        found = cs.spectrum(op, 8, method="krylov", seed=seed)
        off = np.abs(found.values - every[:8])
        assert (off <= np.maximum(found.error, rounding)).all()
