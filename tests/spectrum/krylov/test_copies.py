"""Values of a high multiplicity, and groups whose values interleave: none is missed."""

import numpy as np
import pytest
import torch

import convspec as cs

EPS = float(np.finfo(np.float64).eps)
LINE = torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64) / 5


def rotated(channels: int) -> cs.ConvOperator:
    """One image filter on every channel, then an orthogonal mixture of the channels."""
    generator = torch.Generator().manual_seed(channels)
    mixture = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    mixture = torch.linalg.qr(mixture)[0]
    weight = torch.einsum("ab,h,w->abhw", mixture, LINE, LINE)
    return cs.ConvOperator(weight, 10, padding=1)


def truth(channels: int) -> np.ndarray:
    """The singular values of ``tridiag(1, 3, 1) / 5`` on both axes, once per channel."""
    place = np.arange(1, 11)
    line = np.abs(3 + 2 * np.cos(np.pi * place / 11)) / 5
    values = np.sort(np.multiply.outer(line, line), axis=None)[::-1]
    return np.repeat(values, channels)


def assert_near(found: cs.Spectrum, values: np.ndarray) -> None:
    rounding = max(found.shape) * EPS * values.max()
    assert (np.abs(found.values - values) <= found.error + rounding).all()


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.parametrize("k", [2, 5, 20, 40])
@pytest.mark.parametrize("channels", [3, 8, 32])
@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_every_copy_is_found(which: str, channels: int, k: int, rtol: float) -> None:
    found = cs.spectrum(rotated(channels), k, which, "krylov", rtol=rtol)
    every = truth(channels)
    assert_near(found, every[:k] if which == "largest" else every[-k:])


def test_vectors_of_copies_are_orthonormal() -> None:
    op = rotated(8)
    found = cs.spectrum(op, 20, method="krylov", vectors=True, rtol=1e-8)
    u, v, sigma = found.left.flatten(1), found.right.flatten(1), found.values
    for rows in (u, v):
        gram = rows @ rows.T - torch.eye(20, dtype=torch.float64)
        assert float(gram.abs().max()) <= max(op.shape) * EPS
    residual = torch.linalg.vector_norm(op @ v.T - u.T * torch.from_numpy(sigma), dim=0)
    assert float(residual.max()) <= 1e-8 * sigma[0]


def averages(*scales: float) -> torch.Tensor:
    """Moving averages over 31 samples, whose symbols have narrow peaks."""
    return torch.tensor(scales, dtype=torch.float64)[:, None, None].expand(-1, 1, 31)


@pytest.mark.parametrize(
    "scales", [(1.0, 0.5), (1.0, 0.5, 0.3, 0.15, 0.6, 0.7, 0.65, 0.99)], ids=["2", "8"]
)
def test_groups_with_lower_peaks_have_values_among_the_largest(
    scales: tuple[float, ...],
) -> None:
    weight = averages(*scales)
    op = cs.ConvOperator(weight, 200, padding=15, groups=len(scales))
    every = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    assert_near(cs.spectrum(op, 20, method="krylov", rtol=1e-8), every[:20])


def test_a_narrow_peak_between_coarse_frequencies_leads() -> None:
    """The second group's peak lies halfway between frequencies of a grid of 32."""
    wave = torch.cos(2 * torch.pi * 4.5 / 32 * torch.arange(31, dtype=torch.float64))
    weight = averages(1.0, 4.0).clone()
    weight[1] *= wave
    op = cs.ConvOperator(weight, 200, padding=15, groups=2)
    every = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    found = cs.spectrum(op, 1, method="krylov", rtol=1e-8)
    assert_near(found, every[:1])
    assert found.values[0] > 1.5 * 31  # above all that the first group has
