"""Each bound is the number that its formula gives, written out again in NumPy."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec import bounds
from convspec.bounds import gram_zero
from convspec.errors import GeometryError, TooLargeError
from tests import oracles
from tests.gaussian import gaussian
from tests.oracles import Array


def kernel(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def norm(matrix: Array) -> float:
    return float(np.linalg.norm(matrix, 2))


def dense(op: cs.ConvOperator) -> Array:
    found: Array = op.to_dense().numpy()
    return found


def sampled(weight: Array, sizes: tuple[int, ...]) -> Array:
    """F on a grid, summed tap by tap; (points, rows, columns)."""
    values = []
    for place in np.ndindex(*sizes):
        value = np.zeros(weight.shape[:2], dtype=complex)
        for tap in np.ndindex(*weight.shape[2:]):
            turns = sum(p * t / n for p, t, n in zip(place, tap, sizes, strict=True))
            value += weight[(slice(None), slice(None), *tap)] * np.exp(2j * np.pi * turns)
        values.append(value)
    return np.array(values)


WEIGHTS = {
    "1d": (kernel(0, 3, 2, 4), 9),
    "2d": (kernel(1, 2, 3, 3, 2), (6, 7)),
    "3d": (kernel(2, 2, 2, 2, 3, 2), (3, 4, 3)),
}
everywhere = pytest.mark.parametrize(("weight", "size"), WEIGHTS.values(), ids=WEIGHTS)


def operator(weight: Array, size: Any, **options: Any) -> cs.ConvOperator:
    return cs.ConvOperator(weight, size, **{"padding": 1, **options})


# -- from the entries ------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", ["zeros", "circular", "reflect", "replicate", "symmetric"]
)
@pytest.mark.parametrize("stride", [1, 2])
@everywhere
def test_entries(weight: Array, size: Any, stride: int, mode: str) -> None:
    op = operator(weight, size, stride=stride, padding_mode=mode)
    matrix = dense(op)
    total = float(np.linalg.norm(matrix))
    bound = bounds.frobenius(op)
    assert bound.upper == pytest.approx(total, rel=1e-12)
    assert bound.lower == pytest.approx(total / math.sqrt(min(matrix.shape)), rel=1e-12)

    columns, rows = np.abs(matrix).sum(axis=0).max(), np.abs(matrix).sum(axis=1).max()
    bound = bounds.one_inf(op)
    assert bound.upper == pytest.approx(math.sqrt(columns * rows), rel=1e-12)
    m, n = matrix.shape
    expected = max(rows / math.sqrt(n), columns / math.sqrt(m))
    assert bound.lower == pytest.approx(expected, rel=1e-12)


def test_entries_of_groups_are_those_of_the_largest() -> None:
    weight = kernel(3, 4, 2, 3)
    op = operator(weight, 6, groups=2)
    halves = [operator(weight[:2], 6), operator(weight[2:], 6)]
    for method in (bounds.frobenius, bounds.one_inf):
        assert method(op).upper == max(method(half).upper for half in halves)


def test_reflected_columns_are_heavier() -> None:
    weight = kernel(4, 2, 2, 3, 3)
    bordered = operator(weight, 5, padding_mode="reflect")
    assert (
        bounds.one_inf(bordered).upper > 1.1 * bounds.one_inf(operator(weight, 5)).upper
    )


# -- from unfoldings --------------------------------------------------------------------


@everywhere
def test_reshaped_kernel(weight: Array, size: Any) -> None:
    """The larger of R and L, once an output sees all taps and a pixel all outputs."""
    op = operator(weight, 12 if weight.ndim == 3 else (7,) * (weight.ndim - 2))
    right = weight.reshape(len(weight), -1)
    left = weight.swapaxes(0, 1).reshape(weight.shape[1], -1)
    assert bounds.reshaped_kernel(op).lower == pytest.approx(
        max(norm(right), norm(left)), rel=1e-12
    )


def test_reshaped_kernel_with_stride_is_a_block_of_the_operator() -> None:
    """A pixel of one phase is read by every other tap; outputs see all of them."""
    weight = kernel(5, 4, 1, 4)
    op = operator(weight, 12, stride=2)
    patch = norm(weight.reshape(4, -1))
    phases = [norm(weight[:, 0, phase::2].reshape(1, -1)) for phase in (0, 1)]
    assert bounds.reshaped_kernel(op).lower == pytest.approx(
        max(patch, *phases), rel=1e-12
    )


def test_reshaped_kernel_of_an_image_smaller_than_the_kernel() -> None:
    """No output sees all taps: what the best one sees is still a block of A."""
    op = operator(np.array([[[5.0, 1.0, 5.0]]]), 2)
    assert norm(dense(op)) == pytest.approx(6)
    assert bounds.reshaped_kernel(op).lower == pytest.approx(math.sqrt(26))
    assert norm(op.weight.numpy().reshape(1, -1)) > 7  # what torch would normalise


COUNTS = [
    ("zeros", 9, 3, {"padding": 1}, 3),
    ("stride-2", 9, 3, {"padding": 1, "stride": 2}, 2),
    ("stride-3", 9, 3, {"padding": 1, "stride": 3}, 1),
    ("dilation-2-stride-2", 9, 3, {"padding": 2, "stride": 2, "dilation": 2}, 3),
    ("small-image", 3, 5, {"padding": 2}, 3),
    ("reflect-5", 9, 5, {"padding": 2, "padding_mode": "reflect"}, 6),
    ("reflect-7", 9, 7, {"padding": 3, "padding_mode": "reflect"}, 8),
    ("replicate-5", 9, 5, {"padding": 2, "padding_mode": "replicate"}, 6),
    ("replicate-7", 9, 7, {"padding": 3, "padding_mode": "replicate"}, 10),
    ("circular", 9, 5, {"padding": 2, "padding_mode": "circular"}, 5),
]


@pytest.mark.parametrize(
    ("size", "taps", "options", "count"),
    [row[1:] for row in COUNTS],
    ids=[row[0] for row in COUNTS],
)
def test_tsuzuku_counts(
    size: int, taps: int, options: dict[str, Any], count: int
) -> None:
    weight = np.zeros((1, 1, taps))
    weight[0, 0] = 1
    op = operator(weight, size, **options)
    reached = cs.ConvOperator(torch.ones(1, 1, taps), size, **options)
    assert int((reached.to_dense().sum(dim=0)).max()) == count
    assert bounds.tsuzuku(op).upper == pytest.approx(math.sqrt(count * taps), rel=1e-12)


def test_tsuzuku_is_the_norm_of_patchify() -> None:
    weight = kernel(7, 5, 3, 2, 2)
    op = operator(weight, 8, stride=2, padding=0)
    assert bounds.tsuzuku(op).upper == pytest.approx(norm(dense(op)), rel=1e-12)
    assert bounds.reshaped_kernel(op).lower == pytest.approx(norm(dense(op)), rel=1e-12)


@everywhere
def test_fantastic_four(weight: Array, size: Any) -> None:
    """All ways to send the spatial axes to one side or the other."""
    dim = weight.ndim - 2
    norms = []
    for left in np.ndindex(*(2,) * dim):
        first = [2 + j for j in range(dim) if left[j]]
        last = [2 + j for j in range(dim) if not left[j]]
        moved = weight.transpose(0, *first, 1, *last)
        height = weight.shape[0] * math.prod(weight.shape[j] for j in first)
        norms.append(norm(moved.reshape(height, -1)))
    expected = math.sqrt(math.prod(weight.shape[2:])) * min(norms)
    assert bounds.fantastic_four(operator(weight, size)).upper == pytest.approx(
        expected, rel=1e-12
    )


def test_fantastic_four_of_a_sum_of_shifts_is_the_supremum() -> None:
    """``K_t = C`` for all taps: both are the number of taps times ``||C||``."""
    mixing = kernel(8, 3, 2)
    op = operator(np.multiply.outer(mixing, np.ones((3, 2))), 9)
    assert bounds.fantastic_four(op).upper == pytest.approx(6 * norm(mixing), rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_tensor_norm_of_a_product(dim: int) -> None:
    """A tensor of rank 1 has the product of the norms as its norm."""
    vectors = [kernel(9 + j, 2 + j) for j in range(dim + 2)]
    weight = np.ones(())
    for vector in vectors:
        weight = np.multiply.outer(weight, vector)
    expected = math.prod(float(np.linalg.norm(v)) for v in vectors)
    taps = math.prod(weight.shape[2:])
    found = bounds.tensor_norm(operator(weight, 6))
    assert found.upper == pytest.approx(math.sqrt(taps) * expected, rel=1e-9)


@everywhere
def test_tensor_norm_is_below_the_unfoldings_and_above_the_symbol(
    weight: Array, size: Any
) -> None:
    op = operator(weight, size)
    found = bounds.tensor_norm(op).upper
    assert found <= bounds.fantastic_four(op).upper * (1 + 1e-9)
    assert found >= norm(dense(op)) * 0.99


# -- from the symbol --------------------------------------------------------------------


def cosines(weight: Array, sizes: tuple[int, ...]) -> float:
    pairs = zip(weight.shape[2:], sizes, strict=True)
    return math.prod(1 / math.cos(math.pi * (k - 1) / (2 * n)) for k, n in pairs)


@everywhere
def test_sampled_symbol(weight: Array, size: Any) -> None:
    sizes = (24, 13, 9)[: weight.ndim - 2]
    largest = max(map(norm, sampled(weight, sizes)))
    expected = largest * cosines(weight, sizes)
    found = bounds.sampled_symbol(operator(weight, size), samples=sizes)
    assert found.upper == pytest.approx(expected, rel=1e-11)


@everywhere
def test_lip_bound(weight: Array, size: Any) -> None:
    sizes = (16, 11, 8)[: weight.ndim - 2]
    values = sampled(weight, sizes)
    squares = (np.abs(values) ** 2).sum(axis=2)  # (points, rows)
    factor = cosines(weight, sizes)
    op = operator(weight, size)
    second = math.sqrt(squares.sum(axis=1).max()) * factor
    assert bounds.lip_bound(op, samples=sizes).upper == pytest.approx(second, rel=1e-11)
    first = math.sqrt(squares.max(axis=0).sum()) * factor
    found = bounds.lip_bound(op, version=1, samples=sizes)
    assert found.upper == pytest.approx(first, rel=1e-11)
    assert found.name == "lip_bound_v1"


@everywhere
def test_gram_iteration(weight: Array, size: Any) -> None:
    """The Schatten norm ``2^(t+1)`` at the frequencies of the circle."""
    sizes = (6, 5, 4)[: weight.ndim - 2]
    op = operator(weight, sizes, padding="same", padding_mode="circular")
    spectra = np.linalg.svd(sampled(weight, sizes), compute_uv=False)
    for iterations in (0, 1, 4):
        p = 2.0 ** (iterations + 1)
        expected = ((spectra**p).sum(axis=1) ** (1 / p)).max()
        found = bounds.gram_iteration(op, iterations)
        assert found.upper == pytest.approx(expected, rel=1e-11)
        assert found.value is not None
        assert float(found.value) == pytest.approx(expected, rel=1e-13)


def laurent_gram(weight: Array, iterations: int) -> Array:
    """The kernel of the t-th Gram operator by plain correlation, one axis."""
    taps = [weight[:, :, t] for t in range(weight.shape[2])]
    for _ in range(iterations):
        size = 2 * len(taps) - 1
        sums = [np.zeros((taps[0].shape[1],) * 2) for _ in range(size)]
        for a, first in enumerate(taps):
            for b, second in enumerate(taps):
                sums[b - a + len(taps) - 1] += first.T @ second
        taps = sums
    return np.stack(taps, axis=2)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_gram_iteration_zero(iterations: int) -> None:
    weight = kernel(13, 4, 2, 3)
    gram = laurent_gram(weight, iterations)
    expected = np.abs(gram).sum(axis=(1, 2)).max() ** 2.0**-iterations
    found = bounds.gram_iteration_zero(operator(weight, 8), iterations)
    assert found.upper == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("differentiable", [False, True])
def test_gram_iteration_zero_some_waves_at_a_time(
    differentiable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long kernel correlated with itself by NumPy, sums of a row at a time."""
    monkeypatch.setattr(gram_zero, "WAVE_BYTES", 1)
    weight = gaussian(5, 1, 1, 40).requires_grad_(differentiable)
    taps = weight[0, 0].detach().numpy()
    once = np.correlate(taps, taps, "full")
    twice = np.correlate(once, once, "full")
    op = cs.ConvOperator(weight, 50, padding=20)
    expected = np.abs(twice).sum() ** 0.25
    found = bounds.gram_iteration_zero(op, 2).upper
    assert expected <= found <= expected * (1 + 1e-9)


def test_gram_iteration_zero_in_the_plane() -> None:
    """Separable kernels: Gram kernels, and their row sums, are products."""
    line = np.array([1.0, -2.0, 0.5])
    op = operator(np.multiply.outer(line, line)[None, None], 8)
    sums = np.abs(laurent_gram(line[None, None], 2)).sum()
    assert bounds.gram_iteration_zero(op, 2).upper == pytest.approx(
        (sums**2) ** 0.25, rel=1e-9
    )


def test_gram_iteration_zero_tends_to_the_supremum() -> None:
    weight = kernel(14, 3, 3, 3)
    op = operator(weight, 8)
    top = max(map(norm, sampled(weight, (4096,))))
    errors = [bounds.gram_iteration_zero(op, t).upper / top - 1 for t in range(1, 8)]
    assert all(b < 0.7 * a for a, b in pairwise(errors))
    assert 0 < errors[-1] < 0.02


@everywhere
@pytest.mark.parametrize("p", [2, 4, 8])
def test_schatten(weight: Array, size: Any, p: int) -> None:
    """The average over an ample grid, times the number of outputs or of pixels."""
    op = operator(weight, size)
    sizes = tuple(4 * (k - 1) + 3 for k in weight.shape[2:])
    spectra = np.linalg.svd(sampled(weight, sizes), compute_uv=False)
    average = (spectra**p).sum() / math.prod(sizes)
    pixels = math.prod(op.input_shape[1:])
    outputs = math.prod(op.output_shape[1:])
    expected = (min(pixels, outputs) * average) ** (1 / p)
    assert bounds.schatten(op, p).upper == pytest.approx(expected, rel=1e-11)
    values = np.linalg.svd(dense(op), compute_uv=False)
    assert (values**p).sum() ** (1 / p) <= expected


def test_schatten_of_a_circulant_is_exact() -> None:
    weight = kernel(15, 2, 3, 3, 3)
    op = operator(weight, (4, 6), padding_mode="circular", stride=2)
    values = np.linalg.svd(dense(op), compute_uv=False)
    for p in (2, 8, 32):
        expected = (values**p).sum() ** (1 / p)
        assert bounds.schatten(op, p).upper == pytest.approx(expected, rel=1e-11)


# -- what all have in common ------------------------------------------------------------

KERNEL_ONLY = [
    bounds.fantastic_four,
    bounds.lip_bound,
    bounds.gram_iteration,
    bounds.gram_iteration_zero,
    bounds.sampled_symbol,
]


@pytest.mark.parametrize("method", KERNEL_ONLY, ids=lambda method: method.__name__)
def test_kernel_bounds_do_not_depend_on_the_size(method: Any) -> None:
    weight = kernel(16, 3, 2, 3, 3)
    found = {method(operator(weight, n, padding=p)).upper for n, p in ((5, 1), (9, 0))}
    assert len(found) == 1


@pytest.mark.parametrize("method", KERNEL_ONLY, ids=lambda method: method.__name__)
def test_kernel_bounds_do_not_depend_on_the_dilation(method: Any) -> None:
    weight = kernel(17, 3, 2, 3)
    plain = method(operator(weight, 12)).upper
    assert method(operator(weight, 12, dilation=3)).upper == plain
    strided = method(operator(weight, 12, stride=2)).upper
    assert method(operator(weight, 12, stride=2, dilation=3)).upper == strided
    assert method(operator(weight, 12, stride=2, dilation=2)).upper == plain


@pytest.mark.parametrize("method", KERNEL_ONLY, ids=lambda method: method.__name__)
def test_strides_sharpen_kernel_bounds(method: Any) -> None:
    weight = kernel(18, 3, 2, 3, 3)
    assert (
        method(operator(weight, 12, stride=2)).upper < method(operator(weight, 12)).upper
    )


def test_transposed_operators_have_the_bounds_of_the_convolution() -> None:
    weight = torch.from_numpy(kernel(19, 3, 2, 3, 3))
    op = cs.ConvOperator(weight, 8, stride=2, padding=1)
    for method in [*KERNEL_ONLY, bounds.frobenius, bounds.one_inf, bounds.tsuzuku]:
        assert method(op.T).upper == method(op).upper
    assert bounds.krylov(op.T).lower == pytest.approx(bounds.krylov(op).lower, rel=1e-6)


def test_complex_weights() -> None:
    weight = kernel(20, 2, 3, 3) + 1j * kernel(21, 2, 3, 3)
    op = operator(weight, 7)
    sizes = (64,)
    expected = max(map(norm, sampled(weight, sizes))) * cosines(weight, sizes)
    assert bounds.sampled_symbol(op, samples=64).upper == pytest.approx(
        expected, rel=1e-11
    )
    truth = oracles.singular_values(dense(op))[0]
    for bound in bounds.table(op):
        assert isinstance(bound, cs.Bound)
        assert bound.lower <= truth * (1 + 1e-14)
        assert bound.upper >= truth * (1 - 1e-14)


# -- bad arguments ----------------------------------------------------------------------

OP = cs.ConvOperator(torch.ones(1, 1, 3), 5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: bounds.lip_bound(OP, version=3),
            ValueError,
            "version must be 1 or 2; got 3",
        ),
        (
            lambda: bounds.sampled_symbol(OP, samples=2),
            GeometryError,
            "at least the lags",
        ),
        (lambda: bounds.lip_bound(OP, samples=(3, 3)), GeometryError, "samples must be"),
        (lambda: bounds.gram_iteration(OP, samples=0), GeometryError, "samples must be"),
        (lambda: bounds.gram_iteration(OP, -1), ValueError, "at least 0; got -1"),
        (lambda: bounds.gram_iteration(OP, 2.5), ValueError, "an integer .* got 2.5"),
        (
            lambda: bounds.gram_iteration(OP, dtype=torch.float16),
            ValueError,
            r"must be torch.float32 or torch.float64; got torch.float16",
        ),
        (lambda: bounds.gram_iteration_zero(OP, 0), ValueError, "at least 1; got 0"),
        (
            lambda: bounds.gram_iteration_zero(OP, 3, max_bytes=100),
            TooLargeError,
            "take fewer iterations",
        ),
        (lambda: bounds.schatten(OP, 3), ValueError, "a power of two, at least 2; got 3"),
        (lambda: bounds.schatten(OP, 1), ValueError, "a power of two, at least 2; got 1"),
        (lambda: bounds.schatten(OP, 4.0), ValueError, "power of two.* got 4.0"),
        (lambda: bounds.tensor_norm(OP, restarts=-1), ValueError, "got -1"),
        (lambda: bounds.krylov(OP, steps=0), ValueError, "steps must be .* got 0"),
        (
            lambda: bounds.power_iteration(OP, starts=0),
            ValueError,
            "starts must be .* got 0",
        ),
        (lambda: bounds.krylov(OP, failure=0), ValueError, r"in \(0, 1\); got 0"),
        (lambda: bounds.krylov(OP, max_bytes=10), TooLargeError, "fewer starts or steps"),
        (
            lambda: bounds.power_iteration(OP, max_bytes=10),
            TooLargeError,
            "6 images and their products must fit max_bytes = 10 bytes; it needs .* KiB; "
            "take fewer starts, or raise max_bytes",
        ),
        (
            lambda: bounds.sampled_symbol(OP, max_bytes=10),
            TooLargeError,
            "the list of .* frequencies must fit .* take fewer samples, or raise",
        ),
        (
            lambda: bounds.gram_iteration(OP, max_bytes=10),
            TooLargeError,
            "the list of .* frequencies must fit .* take fewer samples, or raise",
        ),
        (lambda: bounds.lip_bound(OP, max_bytes=10), TooLargeError, "take fewer samples"),
        (lambda: bounds.tensor_norm(OP, max_bytes=10), TooLargeError, "fewer restarts"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
