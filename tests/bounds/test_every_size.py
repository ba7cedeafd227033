"""The norm at every input size: seams, sizes that the stride divides, blocks, borders."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import convspec as cs
from tests.gaussian import gaussian

MODES = ("zeros", "circular", "reflect", "replicate", "symmetric")
# of LAPACK's largest singular value
ROUNDING = 1e-13


def norms(
    weight: Tensor, arguments: dict[str, Any], largest: int, divisible: bool = False
) -> list[float]:
    """sigma_1 of the dense matrix at every size up to ``largest`` that is accepted."""
    found = []
    for size in product(range(1, largest + 1), repeat=weight.ndim - 2):
        try:
            op = cs.ConvOperator(weight, size, **arguments)
        except cs.GeometryError:
            continue
        strides = [axis.stride for axis in op.geometry.axes]
        if not divisible or not any(np.remainder(size, strides)):
            found.append(float(np.linalg.norm(op.to_dense().numpy(), 2)))
    return found


def sparse_layer(seed: int) -> tuple[Tensor, dict[str, Any], int]:
    """Any geometry; small integers with many zeros, whose taps differ by channel."""
    rng = np.random.default_rng(seed)
    dim = 1 if seed % 3 else 2
    taps = rng.integers(1, 7 if dim == 1 else 4, dim).tolist()
    groups = int(rng.integers(1, 3))
    shape = (groups * int(rng.integers(1, 4)), int(rng.integers(1, 3)), *taps)
    weight = rng.integers(-2, 3, shape) * (rng.random(shape) < rng.choice([0.4, 0.8, 1]))
    if rng.random() < 0.3:
        weight = np.abs(weight)
    if rng.random() < 0.3:  # differences: what replicate padding adds is 0
        weight[..., -1] -= weight.sum(-1)
    if rng.random() < 0.5:
        weight = weight + 1e-3 * rng.standard_normal(shape) * (weight != 0)
    modes = MODES if rng.random() < 0.5 else (MODES[int(rng.integers(1, 5))],)
    arguments = {
        "stride": rng.integers(1, 5 if dim == 1 else 3, dim).tolist(),
        "padding": tuple(map(tuple, rng.integers(0, 4, (dim, 2)).tolist())),
        "dilation": rng.integers(1, 3, dim).tolist(),
        "groups": groups,
        "padding_mode": rng.choice(modes, dim).tolist(),
    }
    return torch.from_numpy(weight.astype(float)), arguments, 40 if dim == 1 else 9


def assert_every_size(seed: int) -> None:
    weight, arguments, largest = sparse_layer(seed)
    for divisible in (False, True):
        sizes = "divisible" if divisible else "all"
        bound = cs.worst_case_norm(weight, rtol=1e-3, sizes=sizes, **arguments)
        largest_norm = max(norms(weight, arguments, largest, divisible), default=0.0)
        assert largest_norm <= bound.upper * (1 + ROUNDING)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_every_size(seed: int) -> None:
    assert_every_size(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 1000))
def test_bounds_every_size_of_many(seed: int) -> None:
    assert_every_size(seed)


# -- the seam -----------------------------------------------------------------------

FORWARD = {"padding": ((0, 1), (0, 1))}
EIGHT = {"stride": 4, "padding": 2, "padding_mode": "circular"}


def test_a_seam_costs_less_than_the_root_of_two() -> None:
    bound = cs.worst_case_norm(torch.ones(1, 1, 8), **EIGHT)
    assert bound.upper < 4.66
    assert max(norms(torch.ones(1, 1, 8), EIGHT, 40)) == pytest.approx(4)
    assert "beside those of zero padding" in bound.assumptions


def test_seams_of_two_axes_cost_at_most_the_root_of_two_each() -> None:
    bound = cs.worst_case_norm(
        torch.ones(1, 1, 4, 4), **{**EIGHT, "stride": 2, "padding": 1}
    )
    assert bound.upper <= 2 * bound.lower * (1 + 1e-5)
    assert "sqrt(4) for pixels" in bound.assumptions


def test_without_stride_where_that_is_less() -> None:
    weight = torch.tensor([[[[1.0, 0.1], [0.1, 0.01]]]], dtype=torch.float64)
    bound = cs.worst_case_norm(weight, stride=2, padding_mode="circular", **FORWARD)
    assert bound.upper == pytest.approx(1.21)
    assert "without stride" in bound.assumptions


def test_sizes_that_the_stride_divides() -> None:
    bound = cs.worst_case_norm(torch.ones(1, 1, 8), sizes="divisible", **EIGHT)
    assert 4 in bound
    assert bound.gap <= 1e-6
    assert bound.assumptions.startswith("every input size that the stride divides; ")


def test_sizes_are_all_or_divisible() -> None:
    with pytest.raises(ValueError, match="sizes must be 'all' or 'divisible'; got 'odd'"):
        cs.worst_case_norm(torch.ones(1, 1, 3), sizes="odd")


# -- blocks of output channels ------------------------------------------------------


def gradient() -> Tensor:
    """Forward differences along both axes."""
    weight = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    weight[:, 0, 0, 0] = -1
    weight[0, 0, 1, 0] = weight[1, 0, 0, 1] = 1
    return weight


def test_zero_taps_read_no_padding() -> None:
    weight = torch.nn.functional.pad(gaussian(0, 2, 2, 2), (2, 3))
    arguments = {"padding": ((2, 3),), "padding_mode": "replicate"}
    bound = cs.worst_case_norm(weight, **arguments)
    assert bound.gap <= 1e-6


def assert_gradient(weight: Tensor, arguments: dict[str, Any]) -> cs.Bound:
    """The gradient of ``value`` by central differences, at the taps that are not 0."""
    weight = weight.clone().requires_grad_()
    bound = cs.worst_case_norm(weight, **arguments)
    assert bound.value is not None
    assert bound.value.item() == pytest.approx(bound.upper, rel=1e-5)
    (found,) = torch.autograd.grad(bound.value, weight)
    step = torch.zeros_like(weight)
    for place in torch.nonzero(weight.detach()).tolist():
        step.zero_()[tuple(place)] = 1e-4
        ends = [
            cs.worst_case_norm((weight + sign * step).detach(), **arguments).value
            for sign in (1, -1)
        ]
        slope = float(ends[0] - ends[1]) / 2e-4
        assert float(found[tuple(place)]) == pytest.approx(slope, rel=2e-3, abs=1e-5)
    return bound


def test_value_of_blocks_has_a_gradient() -> None:
    weight = gradient()
    weight[1] *= 1.5
    assert (
        "blocks"
        in assert_gradient(weight, {**FORWARD, "padding_mode": "reflect"}).assumptions
    )


# -- the border ---------------------------------------------------------------------


def test_the_gradient_with_replicate_padding_is_sharp() -> None:
    """Its last differences are 0; zero padding bounds the others: the root of 8."""
    bound = cs.worst_case_norm(gradient(), padding_mode="replicate", **FORWARD)
    assert 8**0.5 in bound
    assert bound.gap < 1e-9
    strided = cs.worst_case_norm(gradient().float(), padding_mode="replicate", **FORWARD)
    assert strided.upper == bound.upper


BORDERS: dict[str, tuple[list[list[float]], dict[str, Any], float]] = {
    "box-replicate": ([[1, 1, 0.99]], {"padding_mode": "replicate"}, 3.46),
    "box-reflect": ([[1, 1, 1]], {"padding_mode": "reflect"}, 3.56),
    "binomial-symmetric": ([[1, 2, 0.99]], {"padding_mode": "symmetric"}, 4.6),
    "second-difference": ([[1, -2, 0.99]], {"padding_mode": "replicate"}, 4.07),
    "central-difference": ([[-1, 0, 1]], {"padding_mode": "reflect"}, 2.0 + 1e-9),
    "strided": ([[1, 2, 0.5]], {"padding_mode": "replicate", "stride": 2}, 3.51),
}


@pytest.mark.parametrize("name", BORDERS)
def test_the_border_costs_less_than_its_pixels(name: str) -> None:
    taps, arguments, known = BORDERS[name]
    weight = torch.tensor(taps, dtype=torch.float64)[None]
    arguments = {"padding": 1, **arguments}
    bound = cs.worst_case_norm(weight, **arguments)
    assert max(norms(weight, arguments, 50)) <= bound.upper * (1 + ROUNDING)
    assert bound.upper < known
    assert "beside those of zero padding" in bound.assumptions


@pytest.mark.parametrize("exponent", [-900, 900])
def test_borders_at_any_scale(exponent: int) -> None:
    weight = torch.tensor([[[1.0, 1, 1]]], dtype=torch.float64)
    arguments = {"padding": 1, "padding_mode": "replicate"}
    plain = cs.worst_case_norm(weight, **arguments).upper
    scaled = cs.worst_case_norm(weight * 2.0**exponent, **arguments).upper
    assert scaled == pytest.approx(plain * 2.0**exponent, rel=1e-12)


@pytest.mark.parametrize("mode", ["replicate", "reflect"])
def test_value_at_borders_has_a_gradient(mode: str) -> None:
    bound = assert_gradient(
        gaussian(3, 2, 1, 3).abs(), {"padding": 1, "padding_mode": mode}
    )
    assert "beside those of zero padding" in bound.assumptions


# -- mirrors ------------------------------------------------------------------------


def parity_layer(seed: int) -> tuple[Tensor, dict[str, Any], int]:
    """Kernels of which each output channel is even or odd along every axis."""
    rng = np.random.default_rng(seed)
    dim = 1 if seed % 3 else 2
    taps = rng.integers(1, 6 if dim == 1 else 4, dim).tolist()
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 3)), *taps)
    weight = torch.from_numpy(rng.integers(-2, 3, shape).astype(float))
    for channel in weight:
        for axis in range(1, dim + 1):
            channel += channel.flip(axis) * int(rng.choice([1, -1]))
    pads = [sorted([(k - 1) // 2, k // 2], reverse=rng.random() < 0.5) for k in taps]
    arguments = {
        "padding": tuple((int(a), int(b)) for a, b in pads),
        "padding_mode": rng.choice(["symmetric", "replicate", "reflect"], dim).tolist(),
    }
    return weight, arguments, 30 if dim == 1 else 8


@pytest.mark.parametrize("seed", range(60))
def test_kernels_with_parities_at_every_size(seed: int) -> None:
    weight, arguments, largest = parity_layer(seed)
    bound = cs.worst_case_norm(weight, **arguments)
    assert max(norms(weight, arguments, largest)) <= bound.upper * (1 + ROUNDING)


MIRRORED: dict[str, tuple[Tensor, dict[str, Any]]] = {
    "blur": (torch.tensor([[[1.0, 4, 6, 4, 1]]]), {"padding_mode": "symmetric"}),
    "laplacian": (
        torch.tensor([[[[1.0, 1, 1], [1, -8, 1], [1, 1, 1]]]]),
        {"padding_mode": "replicate"},
    ),
    "sobel": (
        torch.tensor([[[[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]]]),
        {"padding_mode": "symmetric"},
    ),
    "one channel even, one odd": (
        torch.tensor([[[1.0, 2, 1]], [[-1, 0, 1]]]),
        {"padding_mode": "replicate"},
    ),
}


@pytest.mark.parametrize("name", MIRRORED)
def test_mirrors_cost_nothing(name: str) -> None:
    """The supremum of the symbol, though padding shows pixels twice."""
    weight, arguments = MIRRORED[name]
    bound = cs.worst_case_norm(weight, **arguments)
    assert bound.upper <= bound.lower * (1 + 1e-6)
    assert "times" not in bound.assumptions
    reached = max(norms(weight, {"padding": "same", **arguments}, 16))
    assert 0.95 * bound.lower < reached <= bound.upper * (1 + ROUNDING)


def test_a_ring_of_mirror_images() -> None:
    """Each pixel stands twice on it: the factor is the root of 2 per axis, not of 3."""
    weight = gaussian(5, 3, 2, 3, 3).double()
    for mode in ("reflect", "symmetric"):
        bound = cs.worst_case_norm(weight, padding=1, padding_mode=mode, rtol=1e-9)
        plain = cs.worst_case_norm(weight, rtol=1e-9)
        assert bound.upper == pytest.approx(2 * plain.upper, rel=1e-6)


def test_a_ring_that_some_sizes_go_around_twice() -> None:
    """Of 6 pixels the outputs are on the ring once, of 7 twice, of 8 once."""
    arguments: dict[str, Any] = {
        "stride": 3,
        "dilation": 2,
        "padding": 5,
        "padding_mode": "reflect",
    }
    for seed in range(20):
        weight = gaussian(seed, 1, 1, 3).double().abs()
        bound = cs.worst_case_norm(weight, **arguments)
        assert max(norms(weight, arguments, 40)) <= bound.upper * (1 + ROUNDING)


def strided_mirrors(seed: int) -> tuple[Tensor, dict[str, Any]]:
    """One axis with any stride, dilation and as much padding as there may be."""
    rng = np.random.default_rng(seed)
    weight = rng.random((1, 1, int(rng.integers(1, 5)))) + 0.1
    return torch.from_numpy(weight), {
        "stride": int(rng.integers(1, 6)),
        "dilation": int(rng.integers(1, 4)),
        "padding": (tuple(rng.integers(0, 8, 2).tolist()),),
        "padding_mode": rng.choice(["reflect", "symmetric"]),
    }


@pytest.mark.parametrize("seed", range(150))
def test_mirrors_with_strides(seed: int) -> None:
    weight, arguments = strided_mirrors(seed)
    bound = cs.worst_case_norm(weight, rtol=1e-3, **arguments)
    assert max(norms(weight, arguments, 30), default=0.0) <= bound.upper * (1 + ROUNDING)
