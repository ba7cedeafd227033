"""What the supremum is given and gives back: layers, errors, budgets, gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import convspec as cs
from convspec.bounds import Conditioning, WorstCase, supremum
from convspec.krylov.estimates import largest_estimates
from tests.gaussian import gaussian

# -- what is given ------------------------------------------------------------------

LAYERS: dict[str, nn.Module] = {
    "line": nn.Conv1d(2, 3, 5, stride=2, padding=2),
    "plane": nn.Conv2d(4, 2, 3, padding="same", groups=2),
    "space": nn.Conv3d(1, 2, 2, dilation=2),
    "reflect": nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
    "circular": nn.Conv1d(2, 2, 3, padding=1, stride=2, padding_mode="circular"),
    "transposed-line": nn.ConvTranspose1d(2, 3, 4, stride=3, output_padding=2),
    "transposed-plane": nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, groups=2),
    "transposed-space": nn.ConvTranspose3d(1, 2, 2, stride=2),
    "normalised": parametrizations.weight_norm(nn.Conv1d(2, 2, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_operator_and_weight_agree(name: str) -> None:
    layer: Any = LAYERS[name]
    bound = cs.worst_case_norm(layer)
    arguments = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "padding_mode": layer.padding_mode,
        "transposed": name.startswith("transposed"),
    }
    of_weight = cs.worst_case_norm(layer.weight, **arguments)
    op = cs.ConvOperator.from_layer(layer, 9)
    assert bound == of_weight == cs.worst_case_norm(op)
    assert isinstance(bound, WorstCase)
    norm = float(torch.linalg.matrix_norm(op.to_dense().detach().double(), 2))
    assert norm <= bound.upper
    assert norm <= supremum(op).upper <= bound.upper * (1 + 1e-6)
    assert bound.value is not None
    assert bound.value.requires_grad


def test_frequency_is_where_the_value_is() -> None:
    """Of the symbol without dilation; an axis on which nothing depends is at 0."""
    weight = torch.zeros(2, 3, 3, 3, 4, dtype=torch.float64)
    weight[..., 1, ::2] = gaussian(0, 2, 3, 3, 2)  # no change along axis 1, lags 0 and 2
    bound = cs.worst_case_norm(weight)
    assert bound.frequency[1] == 0
    F = cs.ConvOperator(weight, 9).symbol().at([bound.frequency])[0, 0]
    norm = float(torch.linalg.matrix_norm(F, 2))
    assert norm == pytest.approx(bound.lower, rel=1e-12)


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "stride-of-a-layer": (
        nn.Conv1d(1, 1, 3),
        {"stride": 2, "groups": 1},
        cs.GeometryError,
        "for bare weights; a Conv1d has its own; got groups, stride; leave them out",
    ),
    "padding-of-an-operator": (
        cs.ConvOperator(torch.ones(1, 1, 3), 5),
        {"padding": 1},
        cs.GeometryError,
        "a ConvOperator has its own; got padding",
    ),
    "no-convolution": (nn.Linear(2, 2), {}, cs.UnsupportedLayer, "must be one of torch"),
    "too-few-axes": (torch.ones(2, 2), {}, cs.GeometryError, "1, 2 or 3 spatial"),
    "stride-of-no-sense": (
        torch.ones(1, 1, 3),
        {"stride": (2, 2)},
        cs.GeometryError,
        "stride must be an integer or 1 integers",
    ),
    "padding-of-no-sense": (
        torch.ones(1, 1, 3),
        {"padding": -1},
        cs.GeometryError,
        "padding must be",
    ),
    "mode-of-no-sense": (
        torch.ones(1, 1, 3),
        {"padding_mode": "mirror"},
        cs.GeometryError,
        "padding_mode must be one of",
    ),
    "groups-that-do-not-divide": (
        torch.ones(3, 1, 3),
        {"groups": 2},
        cs.GeometryError,
        "groups must divide",
    ),
    "transposed-and-circular": (
        torch.ones(1, 1, 3),
        {"transposed": True, "padding_mode": "circular"},
        cs.GeometryError,
        "padding_mode='zeros' only",
    ),
    "nan": (
        torch.tensor([[[1.0, math.nan]]]),
        {},
        cs.NotFiniteError,
        "weight must be finite",
    ),
    "rtol-0": (torch.ones(1, 1, 3), {"rtol": 0}, ValueError, "between 0 and 1; got 0"),
    "rtol-1": (torch.ones(1, 1, 3), {"rtol": 1.0}, ValueError, "between 0 and 1"),
    "no-time": (
        torch.ones(1, 1, 3),
        {"max_seconds": -1},
        ValueError,
        "max_seconds must be positive; got -1; inf is no limit",
    ),
    "no-evaluations": (
        torch.ones(1, 1, 3),
        {"max_evaluations": 0},
        ValueError,
        "max_evaluations must be positive",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    layer, arguments, kind, text = REFUSED[name]
    with pytest.raises(kind, match=text):
        cs.worst_case_norm(layer, **arguments)


def test_padding_that_keeps_the_size_unless_told() -> None:
    weight = gaussian(0, 1, 1, 4)
    for mode, pair in (("circular", (1, 2)), ("reflect", (1, 2)), ("replicate", (1, 2))):
        told = cs.worst_case_norm(weight, padding_mode=mode, padding=(pair,))
        assert cs.worst_case_norm(weight, padding_mode=mode) == told
    zeros = cs.worst_case_norm(weight)
    assert cs.worst_case_norm(weight, padding=7) == zeros
    assert cs.worst_case_norm(weight, padding="same") == zeros


# -- budgets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "budget",
    [
        {"max_evaluations": 1},
        {"max_evaluations": 200},
        {"max_seconds": 1e-9},
        {"max_flops": 1.0},
    ],
)
def test_a_small_budget_gives_a_wider_enclosure(budget: dict[str, float]) -> None:
    weight = gaussian(0, 12, 12, 3, 3)
    tight = cs.worst_case_norm(weight, rtol=1e-8)
    assert tight.converged
    loose = cs.worst_case_norm(weight, rtol=1e-8, **budget)
    assert not loose.converged
    assert loose.lower <= tight.upper
    assert loose.upper >= tight.lower
    assert loose.gap < 0.2
    assert loose.supremum_gap == loose.gap


def test_rounding_limits_the_gap() -> None:
    bound = cs.worst_case_norm(gaussian(0, 6, 6, 3, 3), rtol=1e-15)
    assert not bound.converged
    assert 1e-15 < bound.gap < 1e-10


def test_many_taps_within_a_budget() -> None:
    """A long filter whose first level alone would take too long."""
    weight = gaussian(0, 40, 1, 2000)
    bound = cs.worst_case_norm(weight, groups=40, max_evaluations=1000)
    assert math.isfinite(bound.upper)
    spectrum = np.fft.fft(weight.numpy(), 2**15)
    assert bound.lower <= np.abs(spectrum).max() * (1 + 1e-3)
    assert np.abs(spectrum).max() <= bound.upper


def test_a_maximum_along_a_line() -> None:
    """Taps on a diagonal: F depends on one combination of frequencies alone."""
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, [0, 1, 2], [0, 1, 2]] = torch.tensor([1.0, -2.0, 0.5]).double()
    line = cs.worst_case_norm(torch.tensor([[[1.0, -2.0, 0.5]]]))
    bound = cs.worst_case_norm(weight, max_evaluations=50_000)
    assert bound.converged
    assert bound.lower <= line.upper
    assert line.lower <= bound.upper


# -- gradients ----------------------------------------------------------------------

SMOOTH: dict[str, tuple[tuple[int, ...], dict[str, Any], float]] = {
    "line": ((3, 2, 3), {}, 1.0),
    "plane": ((2, 3, 3, 3), {}, 1.0),
    "space": ((1, 2, 2, 2, 2), {}, 1.0),
    "strided": ((2, 1, 3, 3), {"stride": 2}, 1.0),
    "groups": ((4, 2, 2, 2), {"groups": 2}, 1.0),
    "transposed": ((4, 2, 3), {"stride": 2, "transposed": True}, 1.0),
    "pointwise": ((3, 2, 1, 1), {}, 1.0),
    "depthwise": ((3, 1, 3, 3), {"groups": 3}, 1.0),
    "replicate": ((2, 2, 3, 3), {"padding_mode": "replicate"}, 2.0),
    # of a ratio that depends on the weight
    "border": ((2, 2, 3), {"padding_mode": "replicate"}, math.nan),
    "half-the-taps": ((1, 2, 1), {"padding_mode": "reflect"}, 1.0),
}


def value_of(weight: Tensor, **arguments: Any) -> Tensor:
    value = cs.worst_case_norm(weight, **arguments).value
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, torch.float64) for name in SMOOTH]
    + [(name, torch.complex128) for name in ("line", "strided", "pointwise")],
    ids=str,
)
def test_value_has_the_gradient_of_the_supremum(name: str, dtype: torch.dtype) -> None:
    """Along a random direction, against central differences."""
    shape, arguments, factor = SMOOTH[name]
    weight = gaussian(5, *shape, dtype=dtype).requires_grad_()
    value = value_of(weight, **arguments)
    (gradient,) = torch.autograd.grad(value, weight)
    step = gaussian(6, *shape, dtype=dtype)
    slope = (gradient.conj() * step).real.sum()
    ends = [value_of(weight.detach() + h * step, **arguments) for h in (-1e-5, 1e-5)]
    assert (ends[1] - ends[0]).item() / 2e-5 == pytest.approx(slope.item(), rel=1e-6)
    bound = cs.worst_case_norm(weight.detach(), **arguments)
    if math.isnan(factor):
        assert value.item() == pytest.approx(bound.upper, rel=2e-6)
    else:
        assert value.item() == pytest.approx(bound.lower * factor, rel=1e-12)


def test_gradient_passes_gradcheck() -> None:
    weight = gaussian(1, 2, 1, 3).requires_grad_()
    assert torch.autograd.gradcheck(value_of, (weight,))


def test_gradient_reaches_parameters() -> None:
    layer = parametrizations.weight_norm(nn.Conv2d(3, 2, 3))
    value = cs.worst_case_norm(layer).value
    assert value is not None
    value.backward()
    grads = [weight.grad for name, weight in layer.named_parameters() if name != "bias"]
    assert all(grad is not None and grad.abs().max() > 0 for grad in grads)


def test_gradient_at_a_tie_is_a_subgradient() -> None:
    """sigma_1 of the identity: any unit vector does, and the bound is convex."""
    weight = torch.eye(3, dtype=torch.float64)[..., None].requires_grad_()
    value = cs.worst_case_norm(weight).value
    assert value is not None
    (gradient,) = torch.autograd.grad(value, weight)
    for seed in range(5):
        step = 0.1 * gaussian(seed, 3, 3, 1)
        moved = cs.worst_case_norm(weight.detach() + step)
        assert moved.upper >= 1 + float((gradient * step).sum()) - 1e-12


@pytest.mark.parametrize("weight", [torch.zeros(1, 1, 3), torch.zeros(2, 2, 3, 3)])
def test_gradient_of_zero_weights_is_finite(weight: Tensor) -> None:
    weight.requires_grad_()
    value = cs.worst_case_norm(weight).value
    assert value is not None
    value.backward()
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


# -- the least singular value --------------------------------------------------------


def test_conditioning_of_known_symbols() -> None:
    found = cs.worst_case_conditioning(torch.tensor([[[1.0, 2.0]]]))
    assert isinstance(found, Conditioning)
    assert 1.0 in found.smallest
    assert 3.0 in found.largest
    assert 3.0 in found.condition_number
    assert found.condition_number.gap < 1e-5
    pointwise = cs.worst_case_conditioning(
        torch.diag(torch.tensor([2.0, 4.0]))[..., None]
    )
    assert 2.0 in pointwise.smallest
    assert 2.0 in pointwise.condition_number


def test_inf_sigma_n_is_no_bound_for_zero_padding() -> None:
    """|1 + 2 exp(i w)| >= 1, but sigma_min of the operator falls like 2^-n."""
    weight = torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)
    found = cs.worst_case_conditioning(weight)
    op = cs.ConvOperator(weight, 20, padding=((0, 1),))
    values = torch.linalg.svdvals(op.to_dense())
    assert values[-1] < 1e-5 < found.smallest.lower
    assert values[-2] >= found.smallest.lower
    assert "circular" in found.smallest.assumptions
    assert cs.worst_case_conditioning.__doc__ is not None
    assert "does **not** bound" in cs.worst_case_conditioning.__doc__


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((2, 4, 3, 3), {}),
        ((3, 1, 4), {}),
        ((2, 2, 4), {"stride": 2}),
        ((4, 2, 3), {"groups": 2}),
        ((3, 1, 2, 2), {"transposed": True}),
    ],
    ids=str,
)
def test_least_value_agrees_with_a_grid(
    shape: tuple[int, ...], arguments: dict[str, Any], dtype: torch.dtype
) -> None:
    weight = gaussian(2, *shape, dtype=dtype)
    found = cs.worst_case_conditioning(weight, rtol=1e-5, **arguments)
    size = {3: 2000, 4: 64}[len(shape)]
    symbol = cs.ConvOperator(weight, 4, **arguments).symbol()
    places = np.indices((size,) * symbol.dim).reshape(symbol.dim, -1).T
    values = torch.linalg.svdvals(symbol.at(2 * math.pi / size * places))
    assert found.smallest.lower <= float(values[..., -1].min())
    assert found.smallest.upper >= 0.9 * float(values[..., -1].min()) - 1e-6
    assert found.smallest.upper <= float(values[..., -1].min()) * (1 + 1e-9)
    assert found.smallest.converged


def test_least_value_of_a_singular_symbol_is_zero() -> None:
    for weight in (torch.tensor([[[1.0, -1.0]]]), gaussian(0, 3, 3, 3, 3)):
        found = cs.worst_case_conditioning(weight)
        assert found.smallest.lower == 0
        assert found.smallest.upper < 1e-4
        assert found.condition_number.upper == math.inf
        assert found.condition_number.lower > 1e4


def test_conditioning_of_zero_weights() -> None:
    found = cs.worst_case_conditioning(torch.zeros(1, 1, 3))
    assert found.smallest.upper == found.largest.upper == 0
    assert found.condition_number.lower == 1
    assert found.condition_number.upper == math.inf


def test_conditioning_bounds_circular_sizes() -> None:
    weight = gaussian(4, 2, 3, 3)
    found = cs.worst_case_conditioning(weight)
    for n in range(3, 30):
        op = cs.ConvOperator(weight, n, padding=1, padding_mode="circular")
        values = torch.linalg.svdvals(op.to_dense())
        assert values[-1] >= found.smallest.lower
        assert values[0] / values[-1] <= found.condition_number.upper


def test_numpy_integers_are_a_padding() -> None:
    """A size is chosen that is large enough for it."""
    weight = torch.ones(1, 1, 3)
    found = cs.worst_case_norm(weight, padding=np.int64(40), padding_mode="circular")
    assert found == cs.worst_case_norm(weight, padding=40, padding_mode="circular")


# -- where Krylov spaces end early ------------------------------------------------------


@pytest.mark.parametrize("side", [25, 32, 64])
@pytest.mark.parametrize("value", [1.0, 1 / 256, 1e-12])
def test_constant_weights(side: int, value: float) -> None:
    """Blocks of rank one, and of nothing at the symbol's zeros."""
    bound = cs.worst_case_norm(torch.full((side, side, 2, 2), value, dtype=torch.float64))
    assert 4 * side * value in bound
    assert bound.gap <= 1e-6


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 0.0])
def test_groups_of_nearly_nothing(scale: float) -> None:
    weight = gaussian(0, 64, 32, 3)
    weight[32:] *= scale
    both, one = (
        cs.worst_case_norm(w, groups=len(w) // 32) for w in (weight, weight[:32])
    )
    assert both.lower <= one.upper
    assert one.lower <= both.upper
    assert both.gap <= 1e-6


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("scale", [1.0, 1e-24, 1e12])
def test_estimates_of_low_rank_are_rayleigh_quotients(
    dtype: torch.dtype, scale: float
) -> None:
    ranks = torch.stack(
        [torch.ones(25, 25), torch.diag(torch.arange(25) % 3), torch.eye(25)]
    )
    found = largest_estimates((scale * ranks).to(dtype), 24)
    assert found.tolist() == pytest.approx([25 * scale, 2 * scale, scale], rel=1e-5)
    assert largest_estimates(torch.zeros(1, 25, 25, dtype=dtype), 24).tolist() == [0.0]


@pytest.mark.parametrize("transposed", [False, True], ids=["layer", "transposed"])
@pytest.mark.parametrize(
    ("shape", "stride", "dilation"),
    [((4, 1, 1), 2, 1), ((4, 1, 3), 2, 2), ((2, 1, 2), 3, 1), ((6, 1, 3), 3, 1)],
    ids=["beyond the kernel", "common factor", "wide", "every pixel read"],
)
def test_pixels_that_nothing_reads_are_lost_at_every_size(
    shape: tuple[int, ...], stride: int, dilation: int, transposed: bool
) -> None:
    weight = gaussian(21, *shape)
    found = cs.worst_case_conditioning(
        weight, stride=stride, dilation=dilation, transposed=transposed
    )
    size = 12
    extent = dilation * (shape[2] - 1) + 1
    pads = ((0, max(0, extent - stride)),)
    op = cs.ConvOperator(
        weight,
        size,
        stride=stride,
        dilation=dilation,
        padding=pads,
        padding_mode="circular",
    )
    values = np.linalg.svd((op.T if transposed else op).to_dense(), compute_uv=False)
    assert found.smallest.lower <= values[-1] + 1e-12
    if values[-1] < 1e-12:
        assert found.smallest.upper == 0
        assert found.condition_number.lower == np.inf
