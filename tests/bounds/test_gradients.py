"""Gradients of the bounds in the weight: against finite differences, at ties, at zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import convspec as cs
from convspec import bounds
from tests.gaussian import gaussian

Method = Callable[[cs.ConvOperator], cs.Bound]

SMOOTH: dict[str, Method] = {
    "frobenius": bounds.frobenius,
    "one_inf": bounds.one_inf,
    "reshaped_kernel": bounds.reshaped_kernel,
    "tsuzuku": bounds.tsuzuku,
    "fantastic_four": bounds.fantastic_four,
    "sampled_symbol": bounds.sampled_symbol,
    "lip_bound": bounds.lip_bound,
    "lip_bound_v1": partial(bounds.lip_bound, version=1),
    "gram_iteration": bounds.gram_iteration,
    "gram_iteration_zero": partial(bounds.gram_iteration_zero, iterations=2),
    "schatten": bounds.schatten,
}
# refused where padding repeats pixels
KERNEL_FORMULAS = (SMOOTH["fantastic_four"], SMOOTH["gram_iteration_zero"])
# exact where the iteration has converged to the vectors that the gradient is taken at
CONVERGED: dict[str, Method] = {
    "krylov": bounds.krylov,
    "power_iteration": partial(bounds.power_iteration, steps=60, starts=1),
    "tensor_norm": bounds.tensor_norm,
}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "zeros": {"padding": 1},
    "stride-2-dilation-3": {"padding": 3, "stride": 2, "dilation": 3},
    "reflect": {"padding": 2, "padding_mode": "reflect"},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "circular-5-by-2": {"padding": 1, "padding_mode": "circular", "stride": 2},
    "transposed": {"padding": 1, "stride": 2, "output_padding": 1, "transposed": True},
}


def value(method: Method, weight: Tensor, size: Any = 5, **options: Any) -> Tensor:
    found = method(cs.ConvOperator(weight, size, **options)).value
    assert found is not None
    assert found.shape == ()
    assert found.dtype == torch.float64
    return found


@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("method", SMOOTH.values(), ids=SMOOTH)
def test_finite_differences(method: Method, options: dict[str, Any]) -> None:
    weight = gaussian(0, 2, 2, 3).requires_grad_()
    if "reflect" in options.values() and method in KERNEL_FORMULAS:
        with pytest.raises(cs.NotApplicable):
            value(method, weight, **options)
        return
    assert torch.autograd.gradcheck(lambda w: value(method, w, **options), weight)


@pytest.mark.parametrize("method", SMOOTH.values(), ids=SMOOTH)
def test_finite_differences_of_planes_and_groups(method: Method) -> None:
    weight = gaussian(1, 2, 1, 2, 2).requires_grad_()
    options = {"padding": 1, "groups": 2}
    assert torch.autograd.gradcheck(lambda w: value(method, w, 3, **options), weight)


@pytest.mark.parametrize("method", SMOOTH.values(), ids=SMOOTH)
def test_finite_differences_of_complex_weights(method: Method) -> None:
    weight = gaussian(2, 2, 2, 3, dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: value(method, w, padding=1), weight)


@pytest.mark.parametrize("method", CONVERGED.values(), ids=CONVERGED)
def test_finite_differences_at_converged_vectors(method: Method) -> None:
    weight = gaussian(3, 2, 2, 3) * 0.1
    weight[0, 0, 1] = 3  # with a second tap, well separated
    weight[1, 0, 0] = 2
    weight.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w: value(method, w, 2, padding=1), weight, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(
    "method", {**SMOOTH, **CONVERGED}.values(), ids=[*SMOOTH, *CONVERGED]
)
def test_values_scale_with_the_weight(method: Method) -> None:
    """Norms are homogeneous of degree 1: ``<gradient, weight> = value`` (Euler)."""
    for scale in (1.0, 1e-200, 1e200):
        weight = (scale * gaussian(4, 2, 3, 3)).requires_grad_()
        found = value(method, weight, 4, padding=1)
        (gradient,) = torch.autograd.grad(found, weight)
        euler = float((gradient * weight).sum().detach())
        assert euler == pytest.approx(float(found.detach()), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_gradients_reach_narrow_weights(dtype: torch.dtype) -> None:
    weight = gaussian(5, 2, 2, 3).to(dtype).requires_grad_()
    found = value(bounds.sampled_symbol, weight, padding=1)
    found.backward()
    assert weight.grad is not None
    assert weight.grad.dtype == dtype
    assert float(weight.grad.norm()) > 0


def test_gradient_of_the_sampled_symbol_in_closed_form() -> None:
    """``|F(pi)|`` of [1, -2, 1] has the gradient [1, -1, 1]."""
    weight = torch.tensor([[[1.0, -2.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    found = value(bounds.sampled_symbol, weight, 9, padding=1)
    (gradient,) = torch.autograd.grad(found, weight)
    factor = 1 / math.cos(math.pi / 32)
    expected = factor * torch.tensor([[[1.0, -1.0, 1.0]]], dtype=torch.float64)
    assert torch.allclose(gradient, expected, rtol=1e-12, atol=1e-12)


TIES = {
    "orthogonal": torch.eye(3, dtype=torch.float64)[:, :, None],
    "flat-symbol": torch.tensor([[[0.0, 1.0, 0.0]]], dtype=torch.float64),
    "equal-groups": torch.ones(2, 1, 3, dtype=torch.float64),
}


@pytest.mark.parametrize("weight", TIES.values(), ids=TIES)
@pytest.mark.parametrize(
    "method",
    [
        bounds.sampled_symbol,
        bounds.fantastic_four,
        bounds.tsuzuku,
        bounds.gram_iteration,
        bounds.one_inf,
        bounds.reshaped_kernel,
        bounds.lip_bound,
        bounds.frobenius,
        bounds.supremum,
    ],
    ids=lambda method: method.__name__,
)
def test_at_ties_the_gradient_is_a_subgradient(method: Method, weight: Tensor) -> None:
    """``f(K + H) >= f(K) + <gradient, H>`` for a convex f, also where it has a kink."""
    options = {"padding": 1, "groups": 2 if len(weight) == 2 else 1}
    weight = weight.clone().requires_grad_()
    found = value(method, weight, **options)
    (gradient,) = torch.autograd.grad(found, weight)
    assert torch.isfinite(gradient).all()
    assert float(gradient.norm()) > 0
    for seed in range(20):
        step = 0.1 * gaussian(seed, *weight.shape)
        there = value(method, weight.detach() + step, **options)
        linear = float(found.detach() + (gradient * step).sum())
        assert float(there) >= linear - 1e-12


def test_descending_the_bound_brings_the_norm_down() -> None:
    """What the differentiable bounds are for: a layer trained to norm 1."""
    weight = gaussian(6, 3, 3, 3).requires_grad_()
    for _ in range(90):
        found = value(bounds.sampled_symbol, weight, 8, padding=1)
        (gradient,) = torch.autograd.grad(torch.relu(found - 1), weight)
        with torch.no_grad():
            weight -= 0.1 * gradient
    op = cs.ConvOperator(weight.detach(), 8, padding=1)
    assert float(torch.linalg.matrix_norm(op.to_dense(), 2)) <= 1.1


@pytest.mark.parametrize("method", SMOOTH.values(), ids=SMOOTH)
def test_without_gradients_values_are_the_same(method: Method) -> None:
    weight = gaussian(7, 2, 2, 3, 3)
    op = cs.ConvOperator(weight, 5, padding=1)
    tracked = cs.ConvOperator(weight.clone().requires_grad_(), 5, padding=1)
    plain, graph = method(op), method(tracked)
    assert plain.value is not None
    assert graph.value is not None
    assert not plain.value.requires_grad
    assert graph.value.requires_grad
    assert float(plain.value) == pytest.approx(float(graph.value.detach()), rel=1e-14)
    assert (plain.lower, plain.upper) == (graph.lower, graph.upper)


def test_the_gradient_of_a_schatten_norm_is_guarded() -> None:
    op = cs.ConvOperator(gaussian(8, 4, 4, 3, 3).requires_grad_(), 5, padding=1)
    with pytest.raises(cs.TooLargeError, match="take a smaller p"):
        bounds.schatten(op, max_bytes=100_000)
    plain = cs.ConvOperator(op.weight.detach(), 5)
    assert bounds.schatten(plain, max_bytes=100_000).upper > 0
