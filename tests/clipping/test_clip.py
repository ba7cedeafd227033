"""Clipped kernels keep the bound, and are as near as convex solvers find them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import optimize
from torch import Tensor, nn

import convspec as cs
from tests.cases import Case
from tests.geometries import any_case, asymmetric
from tests.parametrize.test_spectral_norm import LAYERS, filled

# what the grid, the last step and rounding to half precision may cost
SOME = 1e-2


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator)


def distance(found: Tensor, wanted: Tensor) -> float:
    wide = torch.complex128 if wanted.is_complex() else torch.float64
    off = torch.linalg.vector_norm(found.to(wide) - wanted.to(wide))
    return float(off / torch.linalg.vector_norm(wanted.to(wide)))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_every_kind_of_layer_at_every_size(
    make: Callable[[], nn.Module], part: float
) -> None:
    layer = filled(make())
    norm = cs.worst_case_norm(layer).upper
    bound = part * norm
    found = cs.clip(layer, bound)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    assert (found.weight.dtype, found.weight.shape) == (weight.dtype, weight.shape)
    assert found.operator is None
    assert not found.weight.requires_grad
    with torch.no_grad():
        weight.copy_(found.weight)
    checked = cs.worst_case_norm(layer)
    assert checked.upper == found.norm.upper <= bound
    rounding = float(torch.finfo(weight.dtype).eps)
    assert checked.lower >= (1 - 2e-3 - 8 * rounding) * bound or checked.gap > 1e-5
    given = filled(make()).weight.detach()
    assert found.distance == pytest.approx(distance(found.weight, given), rel=1e-9)
    assert found.distance <= (1 - part) + 8 * rounding


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_every_kind_of_layer_at_one_size(make: Callable[[], nn.Module]) -> None:
    op = cs.ConvOperator.from_layer(filled(make()), 6)
    norm = cs.spectral_norm(op).upper
    found = cs.clip(op, 0.5 * norm)
    assert found.operator is not None
    assert found.operator.geometry == op.geometry
    assert torch.equal(found.operator.offset, op.offset)
    assert torch.equal(found.operator.weight, found.weight)
    checked = cs.spectral_norm(found.operator)
    assert checked.upper == found.norm.upper <= 0.5 * norm
    wide = found.operator.to_sparse().toarray()
    assert np.linalg.norm(wide, 2) <= 0.5 * norm * (1 + 1e-5)
    assert found.distance <= 0.5 + 8 * float(torch.finfo(op.dtype).eps)


@settings(max_examples=25)
@given(any_case())
def test_every_geometry(case: Case) -> None:
    _check_at_one_size(case)


@settings(max_examples=15)
@given(asymmetric())
def test_asymmetric_padding(case: Case) -> None:
    _check_at_one_size(case)


def _check_at_one_size(case: Case) -> None:
    op = case.operator()
    values = np.linalg.svd(case.matrix(), compute_uv=False)
    if not values[0]:
        assert cs.clip(op, 1.0).distance == 0
        return
    bound = 0.6 * float(values[0])
    found = cs.clip(op, bound, max_steps=40)
    assert found.operator is not None
    largest = np.linalg.svd(found.operator.to_dense().numpy(), compute_uv=False)[0]
    assert largest <= bound * (1 + 1e-13)
    # the norm's own gap is the scaling's, too
    above = cs.spectral_norm(op).upper
    assert found.distance <= (1 - bound / above) * (1 + 1e-9)


KERNELS: dict[str, tuple[int, ...]] = {
    "3": (3,),
    "5": (5,),
    "3x3": (3, 3),
    "2x4": (2, 4),
}


def waves_of(taps: np.ndarray, points: int) -> np.ndarray:
    """``exp(i <q, w>)`` of a grid of frequencies, one of each conjugate pair."""
    index = np.indices((points,) * taps.ndim).reshape(taps.ndim, -1)
    angles = index[:, 2 * index[0] <= points].T * (2 * np.pi / points)
    found: np.ndarray = np.exp(
        1j * angles @ np.indices(taps.shape).reshape(taps.ndim, -1)
    )
    return found


def best_by_solver(kernel: Tensor, bound: float) -> float:
    """The distance of the nearest kernel, by SLSQP with constraints where it needs them.

    They are those of a coarse grid at first, then more where a fine one is above it.
    """
    taps = kernel[0, 0].numpy()
    given = taps.ravel()
    fine = waves_of(taps, 1024 if taps.ndim == 1 else 160)
    waves = waves_of(taps, 16)
    x = 0.9 * bound / np.abs(fine @ given).max() * given
    for _ in range(6):
        x = optimize.minimize(
            lambda x: float(((x - given) ** 2).sum()),
            x,
            jac=lambda x: 2 * (x - given),
            constraints={
                "type": "ineq",
                "fun": lambda x, waves=waves: bound**2 - np.abs(waves @ x) ** 2,
                "jac": lambda x, waves=waves: (
                    -2 * np.real(np.conj(waves @ x)[:, None] * waves)
                ),
            },
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        ).x
        sizes = np.abs(fine @ x)
        if sizes.max() <= 1.0001 * bound:
            break
        worst = np.argsort(sizes)[-40:]
        waves = np.concatenate((waves, fine[worst[sizes[worst] > bound]]))
    assert sizes.max() <= 1.001 * bound
    return float(np.linalg.norm(x - given) / np.linalg.norm(given))


@pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("part", [0.4, 0.7, 0.9])
def test_as_near_as_a_convex_solver_finds(shape: tuple[int, ...], part: float) -> None:
    kernel = normal(sum(shape), 1, 1, *shape)
    bound = part * cs.worst_case_norm(kernel).upper
    found = cs.clip(kernel, bound)
    wanted = best_by_solver(kernel, bound)
    assert found.distance == pytest.approx(wanted, rel=SOME)
    assert found.distance < 0.98 * (1 - part)


def best_at_one_size(op: cs.ConvOperator, bound: float) -> float:
    """The distance of the nearest kernel of a small operator, by SLSQP on its matrix."""
    given = op.weight.numpy().ravel()
    units = torch.eye(len(given), dtype=torch.float64).reshape(-1, *op.weight.shape)
    basis = np.stack([op.with_weight(unit).to_dense().numpy() for unit in units])

    def slope(x: np.ndarray) -> np.ndarray:
        left, _, right = np.linalg.svd(np.tensordot(x, basis, 1))
        found = np.einsum("pi,tpq,iq->it", left[:, :12], basis, right[:12])
        return -np.asarray(found)

    def room(x: np.ndarray) -> np.ndarray:
        values = np.linalg.svd(np.tensordot(x, basis, 1), compute_uv=False)
        return bound - np.asarray(values[:12])

    largest = np.linalg.svd(np.tensordot(given, basis, 1), compute_uv=False)[0]
    found = optimize.minimize(
        lambda x: float(((x - given) ** 2).sum()),
        0.95 * bound / largest * given,
        jac=lambda x: 2 * (x - given),
        constraints={"type": "ineq", "fun": room, "jac": slope},
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-11},
    )
    assert found.success
    return float(np.linalg.norm(found.x - given) / np.linalg.norm(given))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("seed", range(2))
def test_as_near_as_a_convex_solver_finds_at_one_size(mode: str, seed: int) -> None:
    kernel = normal(seed, 1, 1, 3, 3)
    op = cs.ConvOperator(kernel, 6, padding=1, padding_mode=mode)
    bound = 0.6 * cs.spectral_norm(op).upper
    found = cs.clip(op, bound)
    assert found.distance == pytest.approx(best_at_one_size(op, bound), rel=SOME)
    assert found.distance < 0.97 * 0.4


def clipped_and_cut(kernel: Tensor, bound: float, points: int = 32) -> Tensor:
    """Sedghi, Gupta and Long: the symbol clipped on a grid, cut back to the support."""
    d = kernel.ndim - 2
    dims = list(range(2, 2 + d))
    values = torch.fft.fftn(kernel, s=[points] * d, dim=dims)
    left, sigma, right = torch.linalg.svd(values.movedim((0, 1), (-2, -1)), False)
    values = (left * sigma.clamp(max=bound)[..., None, :]) @ right
    whole = torch.fft.ifftn(values.movedim((-2, -1), (0, 1)), dim=dims).real
    return whole[(..., *[slice(0, k) for k in kernel.shape[2:]])]


@pytest.mark.parametrize("seed", range(3))
def test_order_of_the_ways_to_keep_a_bound(seed: int) -> None:
    kernel = normal(seed, 6, 4, 3, 3)
    norm = cs.worst_case_norm(kernel).upper
    bound = 0.5 * norm
    found = cs.clip(kernel, bound)
    cut = clipped_and_cut(kernel, bound)
    assert found.norm.upper <= bound < 1.01 * bound < cs.worst_case_norm(cut).lower
    assert found.distance < 0.9 * (1 - bound / norm)
    scaled = cut * (bound / cs.worst_case_norm(cut).upper)
    assert found.distance <= distance(scaled, kernel) * (1 + SOME)


def test_on_a_torus_it_is_the_nearest_of_its_own_grid() -> None:
    """A kernel as large as the image: what is left of the problem is Mirsky's."""
    kernel = normal(0, 3, 2, 5, 5)
    op = cs.ConvOperator(kernel, 5, padding=2, padding_mode="circular")
    bound = 0.5 * cs.spectral_norm(op).upper
    found = cs.clip(op, bound, rtol=1e-6)
    wanted = cs.clip_spectrum(op, upper=bound)
    assert torch.allclose(found.weight, wanted.weight, atol=1e-5)


def test_within_the_bound_nothing_changes() -> None:
    op = cs.ConvOperator(normal(1, 3, 2, 3, 3), 7, padding=1)
    found = cs.clip(op, 1.001 * cs.spectral_norm(op).upper)
    assert torch.equal(found.weight, op.weight)
    assert (found.distance, found.steps) == (0, 0)
    assert found.weight.data_ptr() != op.weight.data_ptr()
    again = cs.clip(op, 2.0)
    assert again.operator is not None
    once_more = cs.clip(again.operator, 2.0)
    assert torch.equal(once_more.weight, again.weight)


def test_the_size_that_is_meant() -> None:
    op = cs.ConvOperator(normal(2, 4, 4, 3, 3), 4, padding=1)
    bound = 0.5 * cs.spectral_norm(op).upper
    here, everywhere = cs.clip(op, bound), cs.clip(op, bound, sizes="all")
    assert here.distance < everywhere.distance
    assert everywhere.operator is not None
    assert cs.worst_case_norm(everywhere.operator).upper <= bound
    assert cs.worst_case_norm(here.weight).lower > bound
    wide = cs.ConvOperator(op.weight, 8, stride=2, padding=1, padding_mode="circular")
    divisible = cs.clip(wide, bound, sizes="divisible")
    assert cs.worst_case_norm(divisible.weight, stride=2).upper <= bound * (1 + 1e-6)


def test_taps_that_read_only_padding_are_left_alone() -> None:
    op = cs.ConvOperator(normal(3, 2, 2, 7), 2, padding=3)
    found = cs.clip(op, 0.3 * cs.spectral_norm(op).upper)
    dead = [0, 1, 5, 6]
    assert torch.equal(found.weight[..., dead], op.weight[..., dead])
    assert found.operator is not None
    assert cs.spectral_norm(found.operator).upper == found.norm.upper


@pytest.mark.parametrize("exponent", [-900, -30, 30, 900])
def test_scales(exponent: int) -> None:
    kernel = normal(4, 2, 2, 3)
    bound = 0.5 * cs.worst_case_norm(kernel).upper
    found = cs.clip(math.ldexp(1.0, exponent) * kernel, math.ldexp(bound, exponent))
    assert found.norm.upper <= math.ldexp(bound, exponent)
    assert found.distance == pytest.approx(cs.clip(kernel, bound).distance, rel=1e-6)


@pytest.mark.parametrize(
    ("scale", "bound"),
    [(1e-300, 1e-305), (1.0, 1e-200), (1e300, 1e308), (1e307, 1e308)],
)
def test_far_apart(scale: float, bound: float) -> None:
    found = cs.clip(scale * normal(4, 2, 2, 3), bound)
    assert 0 < found.norm.lower <= found.norm.upper <= bound


def test_bare_weights_with_arguments() -> None:
    kernel = normal(5, 4, 2, 4, 4).numpy()
    arguments: dict[str, Any] = {"stride": 2, "padding": 1, "groups": 2}
    found = cs.clip(kernel, 3.0, transposed=True, **arguments)
    assert cs.worst_case_norm(found.weight, transposed=True, **arguments).upper <= 3.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bound": 0.0}, "bound must be a positive number; got 0.0"),
        ({"bound": math.inf}, "bound must be a positive number; got inf"),
        ({"rtol": 1.0}, r"rtol must be in \(0, 1\); got 1.0"),
        ({"sizes": "odd"}, "sizes must be 'all', 'divisible' or None; got 'odd'"),
        ({"max_steps": 0}, "max_steps must be"),
    ],
)
def test_refusals(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cs.clip(normal(0, 1, 1, 3), **{"bound": 1.0, **given})


def test_refusals_of_objects() -> None:
    op = cs.ConvOperator(normal(0, 2, 2, 3), 6, padding=1)
    with pytest.raises(TypeError, match="clip takes a ConvOperator; got a composed map"):
        cs.clip(op @ op, 1.0)  # type: ignore[arg-type]
    with pytest.raises(cs.UnsupportedLayer):
        cs.clip(nn.Linear(2, 2), 1.0)
    with pytest.raises(cs.GeometryError, match="for bare weights"):
        cs.clip(op, 1.0, stride=2)
    with pytest.raises(cs.TooLargeError, match="scale the weight instead"):
        cs.clip(op, 1e-3, max_bytes=100)
