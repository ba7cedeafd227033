"""Features of operators against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

import convspec as cs
from convspec.forecast.features import Features, torus_flops

ONES = {
    "1-d": (torch.ones(4, 9, 5), 11),
    "2-d": (torch.ones(8, 2, 3, 3), (7, 9)),
    "3-d": (torch.ones(2, 3, 1, 2, 3), (4, 5, 6)),
}


@pytest.mark.parametrize(("weight", "size"), ONES.values(), ids=ONES)
def test_the_peaks_of_ones_are_those_of_matrices_of_rank_one(
    weight: torch.Tensor, size: tuple[int, ...]
) -> None:
    """The norm of such a matrix is its Frobenius norm."""
    found = Features.of(cs.ConvOperator(weight, size))
    a, b, taps = len(weight), weight.shape[1], weight[0, 0].numel()
    assert found.spike == pytest.approx(-math.log(a**-0.5 + (b * taps) ** -0.5), rel=1e-9)
    expected = math.log(taps) / 2 - math.log(a**-0.5 + b**-0.5)
    assert found.direct == pytest.approx(expected, rel=1e-9)


def test_the_peaks_of_noise_are_near_0() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(96, 64, 3, 3, generator=generator, dtype=torch.float64)
    found = Features.of(cs.ConvOperator(weight, 8, padding=1))
    assert abs(found.spike) < 0.15
    assert abs(found.direct) < 0.15


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_the_size_of_weights_makes_no_difference(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 3, 3, generator=generator, dtype=torch.float64)
    plain = Features.of(cs.ConvOperator(weight, 12)).by_name
    found = Features.of(cs.ConvOperator(scale * weight, 12)).by_name
    assert found == pytest.approx(plain, rel=1e-9)


def test_zero_weights_have_no_peaks() -> None:
    found = Features.of(cs.ConvOperator(torch.zeros(2, 2, 3), 5))
    assert (found.spike, found.direct) == (0.0, 0.0)


def test_geometry() -> None:
    """Of a strided, grouped layer with taps shown twice."""
    op = cs.ConvOperator(
        torch.ones(6, 2, 3, 3),
        (8, 10),
        stride=2,
        padding=1,
        groups=3,
        padding_mode="reflect",
    )
    found = Features.of(op, planned=1e6)
    expected = {
        "side": math.log(2),  # two output channels of each group
        "aspect": math.log(8 / 2),  # four phases of two input channels
        "groups": math.log(3),
        "frequencies": math.log(4 * 5),
        "taps": math.log(9),
        "phases": math.log(4),
        "planned": math.log(1e6),
        "torus": math.log(20 * 3 * 20 * 2 * 2 * 8),
        "line": 0.0,
        "space": 0.0,
        "repeats": 1.0,
    }
    known = found.by_name
    assert {name: known[name] for name in expected} == pytest.approx(expected)
    assert torus_flops(op) == 20 * 3 * 20 * 2 * 2 * 8


def test_a_transposed_layer_is_the_convolution_whose_transpose_it_is() -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    layer = cs.ConvOperator(weight, (6, 6), stride=2, padding=1, transposed=True)
    sizes = layer.geometry.sizes
    plain = cs.ConvOperator(weight, sizes, stride=2, padding=1)
    assert Features.of(layer).reads == Features.of(plain).reads
    assert Features.of(layer).side == Features.of(plain).side
    assert Features.of(layer).frequencies == Features.of(plain).frequencies


def test_complex_weights() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 3, 3, generator=generator, dtype=torch.complex128)
    turned = Features.of(cs.ConvOperator(1j * weight, 9))
    assert turned.by_name == pytest.approx(
        Features.of(cs.ConvOperator(weight, 9)).by_name
    )
