"""What published code gets wrong: each test shows the defect, then the bound that holds.

The wrong value is computed here as the published code does; the truth is a dense SVD.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from benchmarks import published
from benchmarks.trained import nudenet_kernel
from convspec import bounds
from tests.oracles import Array

# sup of |F| is 5/3 between three samples of modulus 1
HIDDEN_PEAK = np.array([-2.0, 1.0, -2.0]) / 3
LAPLACIAN = np.array([1.0, -2.0, 1.0])
UPPER = [
    bounds.frobenius,
    bounds.one_inf,
    bounds.tsuzuku,
    bounds.fantastic_four,
    bounds.lip_bound,
    bounds.schatten,
    bounds.gram_iteration,
    bounds.gram_iteration_zero,
    bounds.sampled_symbol,
    bounds.krylov,
    bounds.power_iteration,
]
KERNEL_FORMULAS = (bounds.fantastic_four, bounds.tensor_norm, bounds.gram_iteration_zero)


def operator(weight: Array, size: int, **options: Any) -> cs.ConvOperator:
    """One channel, unless the weight has channels."""
    weight = np.asarray(weight, dtype=float)
    return cs.ConvOperator(
        weight[None, None] if weight.ndim < 3 else weight, size, **options
    )


def norm(op: cs.ConvOperator) -> float:
    return float(np.linalg.norm(op.to_dense().numpy(), 2))


def assert_all_hold(op: cs.ConvOperator, repeats: bool = False) -> None:
    """Every upper end is at least the truth, which LAPACK gives to 1e-14.

    Formulas of the kernel alone are refused where padding repeats pixels or rows.
    """
    truth = norm(op)
    repeats |= op.geometry.axes[0].mode in ("reflect", "replicate")
    for method in UPPER:
        if repeats and method in KERNEL_FORMULAS:
            with pytest.raises(cs.NotApplicable):
                method(op)
            continue
        assert method(op).upper >= truth * (1 - 1e-14), method.__name__
    assert bounds.reshaped_kernel(op).lower <= truth * (1 + 1e-14)


# -- the symbol and its grid ------------------------------------------------------------


def test_fft_truncates_kernels_larger_than_the_image() -> None:
    """``fft(K, (n, n))`` crops a 5 x 5 kernel to 3 x 3 instead of wrapping it."""
    kernel = np.random.default_rng(1).standard_normal((5, 5)) + 0.5
    op = operator(kernel, 3, padding=2, padding_mode="circular")
    cropped = np.abs(np.fft.fft2(kernel, (3, 3))).max()
    assert cropped < 0.9 * norm(op)
    assert_all_hold(op)
    assert bounds.gram_iteration(op).upper == pytest.approx(norm(op), rel=1e-9)


def test_a_circular_norm_does_not_bound_the_zero_padded_one() -> None:
    """[1, -2, 1] on 3 pixels: 3 with circular padding, 2 + sqrt(2) with zeros."""
    zeros = operator(LAPLACIAN, 3, padding=1)
    circular = operator(LAPLACIAN, 3, padding=1, padding_mode="circular")
    assert bounds.gram_iteration(circular).upper == pytest.approx(3)
    assert norm(zeros) == pytest.approx(2 + math.sqrt(2))
    assert_all_hold(zeros)


def test_a_coarse_grid_is_no_bound_without_its_factor() -> None:
    """A k x k grid, the default of published code for Gram iteration, misses the peak."""
    op = operator(HIDDEN_PEAK, 40, padding=1)
    on_grid = np.abs(np.fft.fft(HIDDEN_PEAK, 3)).max()
    assert on_grid == pytest.approx(1)
    assert norm(op) > 1.66
    for method in (bounds.sampled_symbol, bounds.gram_iteration):
        assert norm(op) <= method(op, samples=3).upper <= math.sqrt(3) * (1 + 1e-9)


def test_lip_bound_with_both_ends_of_the_circle() -> None:
    """linspace(0, 2 pi, N) has N - 1 distinct frequencies; the factor is that of N."""
    kernel = np.multiply.outer(HIDDEN_PEAK, HIDDEN_PEAK)
    op = operator(kernel, 20, padding=1)
    samples = 4
    line = np.linspace(0, 2 * np.pi, samples)
    waves = np.exp(1j * np.multiply.outer(line, np.arange(3)))
    published = np.abs(waves @ kernel @ waves.T).max() / (1 - 2 / samples)
    assert published == pytest.approx(2)
    assert norm(op) > 2.7
    assert bounds.lip_bound(op, samples=samples).upper >= norm(op)
    assert_all_hold(op)


def test_lip_bound_without_its_factor() -> None:
    """The default path of the published code, version 1, leaves the factor out."""
    op = operator(HIDDEN_PEAK, 40, padding=1)
    line = np.linspace(0, 2 * np.pi, 5)[:-1]
    waves = np.exp(1j * np.multiply.outer(line, np.arange(3)))
    assert np.abs(waves @ HIDDEN_PEAK).max() >= norm(op)  # the peak is a sample here
    line = np.linspace(0, 2 * np.pi, 4)
    waves = np.exp(1j * np.multiply.outer(line, np.arange(3)))
    assert np.abs(waves @ HIDDEN_PEAK).max() < norm(op)
    assert bounds.lip_bound(op, version=1, samples=3).upper >= norm(op)


def test_the_supremum_does_not_bound_reflected_borders() -> None:
    """A box of sum 1 has supremum 1, and more than that with reflect padding."""
    op = operator(np.ones(3) / 3, 8, padding=1, padding_mode="reflect")
    assert norm(op) > 1.02
    wide = operator(np.ones(5) / 5, 16, padding=2, padding_mode="replicate")
    assert norm(wide) > 1.005
    assert_all_hold(op)
    assert_all_hold(wide)


def test_the_polyphase_supremum_does_not_bound_other_circles() -> None:
    """[1, 1], stride 2, 3 pixels: sqrt(3), and the symbol of stride 2 is sqrt(2)."""
    options = {"stride": 2, "padding": ((0, 1),), "padding_mode": "circular"}
    op = operator(np.ones(2), 3, **options)
    assert norm(op) == pytest.approx(math.sqrt(3))
    assert float(torch.linalg.matrix_norm(op.symbol().at([[0.3]]), 2)) == pytest.approx(
        math.sqrt(2)
    )
    assert_all_hold(op)
    even = operator(np.ones(2), 4, **options)
    assert bounds.fantastic_four(even).upper == pytest.approx(math.sqrt(2))


def test_rows_that_circular_padding_repeats() -> None:
    """Padding beyond the size that is kept repeats outputs, and the norm grows."""
    op = operator(np.ones(1), 2, padding=2, padding_mode="circular")
    assert norm(op) == pytest.approx(math.sqrt(3))
    assert_all_hold(op, repeats=True)


# -- the reshaped kernel ----------------------------------------------------------------


def test_the_reshaped_kernel_is_a_lower_bound_only() -> None:
    """``spectral_norm`` of a layer leaves a norm of up to sqrt(h w)."""
    layer = nn.utils.parametrizations.spectral_norm(
        nn.Conv2d(1, 1, 3, padding=1, bias=False), n_power_iterations=50
    )
    with torch.no_grad():
        layer.parametrizations.weight.original.fill_(1.0)
        layer(torch.zeros(1, 1, 4, 4))  # a forward pass runs the power method
    op = cs.ConvOperator.from_layer(layer.eval(), 40)
    bound = bounds.reshaped_kernel(op)
    assert bound.lower == pytest.approx(1, abs=1e-5)
    assert bound.upper == math.inf
    assert norm(cs.ConvOperator(op.weight.detach().double(), 12, padding=1)) > 2.8
    assert bounds.fantastic_four(op).upper == pytest.approx(3, rel=1e-5)


def test_all_groups_on_top_of_each_other_are_no_lower_bound() -> None:
    """torch's reshaped weight of a depthwise layer has a larger norm than the layer."""
    weight = np.ones((4, 1, 1))
    op = operator(weight, 5, groups=4)
    assert np.linalg.norm(weight.reshape(4, -1), 2) == pytest.approx(2)
    assert norm(op) == pytest.approx(1)
    assert bounds.reshaped_kernel(op).lower == pytest.approx(1)


def test_groups_take_the_maximum_not_the_product() -> None:
    """Four depthwise groups: published code multiplies their norms."""
    scales = np.array([0.5, 1.2, 0.9, 1.1])
    op = operator(scales[:, None, None] * np.ones((4, 1, 3)) / 3, 8, padding=1, groups=4)
    single = [norm(operator(scale * np.ones(3) / 3, 8, padding=1)) for scale in scales]
    assert math.prod(single) < 0.5 * norm(op)
    assert norm(op) == pytest.approx(max(single))
    assert_all_hold(op)
    large = operator(np.full((4, 1, 1), 2.0), 5, groups=4)
    assert bounds.gram_iteration(large).upper == pytest.approx(2)


def test_the_average_overlap_is_no_bound() -> None:
    """Zero padding reads border pixels less often: only the maximum counts."""
    n = 30
    op = operator(np.ones((3, 3)) / 9, n, padding=1)
    average = ((3 * n - 2) / n) ** 2
    assert math.sqrt(average) * np.linalg.norm(np.ones(9) / 9) < norm(op)
    assert_all_hold(op)


@pytest.mark.parametrize("stride", [2, 3])
def test_overlap_of_dilated_taps(stride: int) -> None:
    """``ceil(k / s)`` taps reach a pixel if stride and dilation have no common factor."""
    op = operator(np.ones(3), 20, stride=stride, dilation=stride, padding=stride)
    assert math.sqrt(math.ceil(3 / stride) * 3) < norm(op)
    assert bounds.tsuzuku(op).upper == pytest.approx(3)
    assert_all_hold(op)
    coprime = operator(np.ones(3), 20, stride=2, dilation=3, padding=3)
    assert bounds.tsuzuku(coprime).upper == pytest.approx(math.sqrt(6))
    assert_all_hold(coprime)


def test_square_root_of_taps_with_reflect_padding() -> None:
    """sqrt(h w) counts a pixel in at most h w patches; reflected ones are in more."""
    op = operator(np.ones((3, 3)) / 3, 3, padding=1, padding_mode="reflect")
    assert 3 * np.linalg.norm(np.ones(9) / 3) / 3 < norm(op) / 3.7
    assert norm(op) == pytest.approx(3.7320508)
    assert bounds.tsuzuku(op).upper == pytest.approx(5)
    assert_all_hold(op)


@pytest.mark.parametrize("kernel", [(3, 4), (4, 3), (3, 3), (2, 4)])
def test_strides_that_divide_one_side_of_the_kernel_only(kernel: tuple[int, int]) -> None:
    """Published code pads the kernel to the stride only if neither side is divisible."""
    weight = np.random.default_rng(4).standard_normal((2, 3, *kernel))
    op = operator(weight, 7, stride=2, padding=1)
    assert_all_hold(op)
    padded = np.zeros((2, 3, 4, 4))
    padded[:, :, : kernel[0], : kernel[1]] = weight
    lags = [math.ceil(k / 2) for k in kernel]
    phases = padded.reshape(2, 3, 2, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4)
    phases = phases.reshape(2, 12, 2, 2)[:, :, : lags[0], : lags[1]]
    unfoldings = [
        phases.reshape(2, -1),
        phases.transpose(1, 0, 2, 3).reshape(12, -1),
        phases.transpose(0, 2, 1, 3).reshape(2 * lags[0], -1),
        phases.transpose(0, 3, 1, 2).reshape(2 * lags[1], -1),
    ]
    least = min(np.linalg.norm(matrix, 2) for matrix in unfoldings)
    expected = math.sqrt(math.prod(lags)) * least
    assert bounds.fantastic_four(op).upper == pytest.approx(expected, rel=1e-12)


# -- iterations -------------------------------------------------------------------------


def test_fantastic_four_by_the_power_method_is_lower() -> None:
    """The bound is attained here; two power steps on the unfolding fall below it."""
    mixing = np.diag([1.0, 0.99])
    op = operator(np.multiply.outer(mixing, np.ones(3)), 200, padding=1)
    matrix = np.multiply.outer(mixing, np.ones(3)).reshape(2, -1)
    u = np.array([0.05, 1.0])
    for _ in range(2):
        u = matrix @ (matrix.T @ u)
        u /= np.linalg.norm(u)
    assert math.sqrt(3) * np.linalg.norm(matrix.T @ u) < norm(op)
    assert norm(op) <= bounds.fantastic_four(op).upper <= 3 * (1 + 1e-12)


def higher_order_power_method(kernel: Array, start: Array) -> float:
    """``|<K, u v a b>|`` after alternating maximisation, all factors starting alike."""
    factors = [start.copy() for _ in range(4)]
    for step in range(200):
        axis = step % 4
        others = [factors[j] for j in range(4) if j != axis]
        image = np.einsum("axyz,x,y,z->a", np.moveaxis(kernel, axis, 0), *others).conj()
        factors[axis] = image / np.linalg.norm(image)
    return float(np.abs(np.einsum("wxyz,w,x,y,z->", kernel, *factors)))


def test_the_tensor_norm_by_the_power_method_ends_below() -> None:
    """A 2 x 2 x 2 x 2 kernel, and a start from which its norm is found to be 1, not 4."""
    kernel = np.zeros((2, 2, 2, 2))
    kernel[0, 0, 0, 0], kernel[1, 1, 1, 1] = 1, 4
    op = operator(kernel, 6, padding=1)
    found = higher_order_power_method(kernel, np.array([1.0, 0.1]))
    assert found == pytest.approx(1)
    assert norm(op) == pytest.approx(4)
    assert math.sqrt(4) * found < norm(op) / 1.9
    bound = bounds.tensor_norm(op)
    assert bound.guarantee == "estimate"
    assert bound.upper == pytest.approx(8)  # restarts find it; nothing promises that
    assert_all_hold(op)


@pytest.mark.slow
def test_the_tensor_norm_of_a_trained_layer_is_below_its_norm() -> None:
    """64 -> 64 of NudeNet's detector: 6.706 as published, where the layer has 7.783.

    No lack of steps: thirty times as many end in the same local maximum.
    """
    pytest.importorskip("onnx")
    weight = nudenet_kernel("model.12.m.0.cv2.conv.weight")
    assert weight.shape == (64, 64, 3, 3)
    op = cs.ConvOperator(weight, 56, padding=1)
    claimed, known = published.tensor_norm(weight), cs.spectral_norm(op)
    assert claimed == pytest.approx(6.706, abs=1e-3)
    assert published.tensor_norm(weight, 3000) == pytest.approx(claimed, rel=1e-5)
    assert known.lower == pytest.approx(7.783, abs=1e-3)
    assert claimed < known.lower
    assert bounds.tensor_norm(op).upper > known.upper  # from the symbol's maximum
    assert bounds.fantastic_four(op).upper >= known.lower


def test_the_tensor_norm_is_called_an_estimate_even_without_restarts() -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(2, 2, 2, 2, generator=generator, dtype=torch.float64)
    op = cs.ConvOperator(weight, 8, padding=1)
    bound = bounds.tensor_norm(op, restarts=0)
    assert bound.guarantee == "estimate"
    assert "not a bound" in bound.assumptions
    grid = torch.linalg.matrix_norm(op.symbol().grid(4)[:, :, 0], 2).max()
    assert bound.upper >= float(grid) * (1 - 1e-12)  # the start at the symbol's maximum


def test_gram_iteration_in_float32_needs_to_be_enlarged() -> None:
    """The plain result is below the norm for many matrices, the bound for none."""
    below = 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        c = int(torch.randint(1, 7, (), generator=generator))
        weight = torch.randn(c, c, 1, generator=generator)
        op = cs.ConvOperator(weight, 1)
        truth = float(torch.linalg.svdvals(weight[..., 0].double())[0])
        bound = bounds.gram_iteration(op, iterations=12, dtype=torch.float32)
        assert bound.upper >= truth
        assert bound.upper <= truth * (c**2.0**-13) * (1 + 1e-3)
        assert bound.value is not None
        below += float(bound.value) < truth
    assert below >= 9


def test_gram_iteration_does_not_overflow() -> None:
    """Without rescaling ``F^(2^10)`` leaves float32 and float64 at once."""
    generator = torch.Generator().manual_seed(5)
    weight = 100 * torch.randn(8, 8, 3, generator=generator)
    op = cs.ConvOperator(weight, 9, padding=1, padding_mode="circular")
    truth = norm(op.to(torch.float64))
    for dtype in (torch.float32, torch.float64):
        found = bounds.gram_iteration(op, iterations=20, dtype=dtype).upper
        assert truth * (1 - 1e-14) <= found <= truth * (1 + 1e-4)


def test_gram_iteration_converges_slowly_for_multiple_values() -> None:
    """An orthogonal matrix: the error is ``c^(1 / 2^(t+1))``, and only halves."""
    matrix = np.linalg.qr(np.random.default_rng(6).standard_normal((8, 8)))[0]
    op = operator(matrix[:, :, None], 4)
    for iterations in range(7):
        upper = bounds.gram_iteration(op, iterations).upper
        assert upper == pytest.approx(8**2.0 ** -(iterations + 1), rel=1e-9)


def test_a_residual_or_a_lower_value_is_no_upper_bound() -> None:
    """Power iteration reports what it found as a lower end, and a probable upper one."""
    op = operator(LAPLACIAN, 100, padding=1)
    truth = 4 * math.cos(math.pi / 202) ** 2
    for method in (bounds.power_iteration, bounds.krylov):
        bound = method(op, steps=3)
        assert bound.lower < 0.99 * truth
        assert bound.upper > truth
        assert bound.guarantee == "probabilistic"


def test_the_adjoint_of_a_stride_that_leaves_a_remainder() -> None:
    """``conv_transpose`` without output padding iterates on another operator."""
    weight = np.random.default_rng(7).standard_normal((1, 1, 3))
    op = operator(weight, 8, stride=2, padding=1)  # (8 + 2 - 3) % 2 = 1
    assert bounds.krylov(op).lower == pytest.approx(norm(op), rel=1e-9)
