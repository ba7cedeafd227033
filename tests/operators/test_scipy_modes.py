"""Operators of SciPy's modes beside scipy.signal itself."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal

import convspec as cs

MODES = ("full", "same", "valid")
EPS = 2.0**-52


def drawn(seed: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    real = rng.standard_normal(shape)
    return real + 1j * rng.standard_normal(shape) if kind == "complex" else real


def sizes_1d() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [((n,), (k,)) for n in range(1, 8) for k in range(1, 10)]


def sizes_2d() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    kernels = product((1, 2, 3, 4, 6), repeat=2)
    return [(size, kernel) for kernel in kernels for size in ((4, 5), (3, 3), (1, 6))]


def sizes_3d() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [((3, 4, 2), kernel) for kernel in product((1, 2), (2, 3), (1, 2))]


def fits(size: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    return all(n >= k for n, k in zip(size, kernel, strict=True))


def assert_is_scipys(
    size: tuple[int, ...], kernel: np.ndarray, mode: str, correlate: bool
) -> None:
    """On an image, and column by column on all one-hot images."""
    call = signal.correlate if correlate else signal.convolve
    op = cs.ConvOperator.from_scipy(kernel, size, mode, correlate=correlate)
    x = drawn(1, size, "complex" if np.iscomplexobj(kernel) else "real")
    wanted = call(x, kernel, mode, method="direct")
    assert op.input_shape == (1, *size)
    assert op.output_shape == (1, *wanted.shape)
    found = op.apply(torch.from_numpy(x)[None]).numpy()[0]
    scale = np.abs(kernel).sum() * np.abs(x).max()
    assert np.abs(found - wanted).max() <= 4 * kernel.size * EPS * scale
    columns = [
        call(unit.reshape(size), kernel, mode, method="direct").ravel()
        for unit in np.eye(x.size)
    ]
    assert np.array_equal(op.to_dense().numpy(), np.stack(columns, axis=1))


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("correlate", [False, True], ids=["convolve", "correlate"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", [sizes_1d, sizes_2d, sizes_3d])
def test_is_what_scipy_computes(
    sizes: Any, mode: str, correlate: bool, kind: str
) -> None:
    seen = 0
    for seed, (size, kernel) in enumerate(sizes()):
        if mode == "valid" and not fits(size, kernel):
            continue
        assert_is_scipys(size, drawn(seed, kernel, kind), mode, correlate)
        seen += 1
    assert seen >= 8


def test_full_is_the_default_and_numpys() -> None:
    kernel, x = drawn(3, (4,), "real"), drawn(4, (6,), "real")
    op = cs.ConvOperator.from_scipy(kernel, 6)
    assert np.allclose(op.to_scipy() @ x, np.convolve(x, kernel), rtol=0, atol=1e-14)


def test_same_is_torchs_for_odd_kernels_and_one_beside_for_even_ones() -> None:
    for k, shift in ((3, 0), (4, 1), (5, 0), (2, 1)):
        kernel = np.arange(1.0, k + 1)
        found = cs.ConvOperator.from_scipy(kernel, 9, "same").geometry.axes[0]
        flipped = torch.from_numpy(kernel[::-1].copy())[None, None]
        torchs = cs.ConvOperator(flipped, 9, padding="same").geometry.axes[0]
        assert found.before - torchs.before == torchs.after - found.after == shift


def test_two_images_of_photographs_size() -> None:
    kernel, x = drawn(5, (5, 4), "real"), drawn(6, (31, 40), "real")
    op = cs.ConvOperator.from_scipy(kernel, (31, 40), "same")
    found = op.apply(torch.from_numpy(x)[None])[0].numpy()
    wanted = signal.convolve2d(x, kernel, "same")
    assert np.allclose(found, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("correlate", [False, True])
def test_the_adjoint_of_full_convolution_is_valid_correlation(correlate: bool) -> None:
    """And the other way round, kernels conjugated."""
    kernel = drawn(7, (3, 2), "complex")
    op = cs.ConvOperator.from_scipy(kernel, (5, 4), correlate=correlate)
    other = cs.ConvOperator.from_scipy(kernel, (7, 5), "valid", correlate=not correlate)
    assert torch.equal(op.H.to_dense(), other.to_dense())


def test_kernels_of_any_kind() -> None:
    """Tensors keep their dtype and gradient, integers are counted in float64."""
    kernel = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    op = cs.ConvOperator.from_scipy(kernel, 5, "same")
    assert op.dtype == torch.float32
    op.to_dense()[0].sum().backward()  # reads x_1, x_0 with k_0, k_1
    assert kernel.grad.tolist() == [1.0, 1.0, 0.0]
    assert cs.ConvOperator.from_scipy(np.array([1, 2]), 5).dtype == torch.float64
    backwards = np.array([1.0, 2.0, 4.0])[::-1]
    found = cs.ConvOperator.from_scipy(backwards, 3, "valid")
    assert found.to_dense().tolist() == [[1.0, 2.0, 4.0]]


REFUSED: dict[str, tuple[Any, Any, str, type[Exception], str]] = {
    "mode": (np.ones(3), 5, "circular", cs.GeometryError, r"'full', 'same' or 'valid'"),
    "no mode": (np.ones(3), 5, None, cs.GeometryError, r"mode must be .*got None"),
    "swapped": (
        np.ones((5, 4)),
        (3, 4),
        "valid",
        cs.GeometryError,
        r"at least as long .* axis 0 has size 3 and 5 taps; SciPy slides .*'same'",
    ),
    "neither": (
        np.ones((2, 5)),
        (3, 4),
        "valid",
        cs.GeometryError,
        r"axis 1 has size 4 and 5 taps; so does SciPy; use mode='full'",
    ),
    "channels": (np.ones((1, 1, 3, 3)), 5, "full", cs.GeometryError, r"ConvOperator\(w"),
    "a number": (np.ones(()), 5, "full", cs.GeometryError, r"1, 2 or 3 axes.*shape \(\)"),
    "no taps": (np.ones((2, 0)), 5, "full", cs.GeometryError, "no empty axis"),
    "no size": (np.ones(3), 0, "full", cs.GeometryError, "input_size must be"),
    "size of others": (np.ones(3), (4, 4), "full", cs.GeometryError, "1 integers"),
    "NaN": (
        np.array([np.nan]),
        5,
        "full",
        cs.NotFiniteError,
        "the kernel must be finite",
    ),
    "words": (np.array(["a"]), 5, "full", TypeError, "the kernel must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kernel, size, mode, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        cs.ConvOperator.from_scipy(kernel, size, mode)


def test_scipy_swaps_where_it_is_said_to() -> None:
    """A longer kernel in mode valid: SciPy has outputs, k - n + 1 per axis."""
    assert signal.convolve(np.ones((3, 4)), np.ones((5, 4)), "valid").shape == (3, 1)
    with pytest.raises(ValueError, match="at least as large"):
        signal.convolve(np.ones((3, 4)), np.ones((2, 5)), "valid")


def test_one_truth_value() -> None:
    with pytest.raises(TypeError, match="correlate must be one truth value"):
        cs.ConvOperator.from_scipy(np.ones(3), 5, correlate=np.ones(2))


@pytest.mark.parametrize("shape", [(3,), (3, 3)], ids=str)
def test_kernels_without_channels_are_led_there(shape: tuple[int, ...]) -> None:
    with pytest.raises(cs.GeometryError, match=r"ConvOperator\.from_scipy\(kernel, inp"):
        cs.ConvOperator(np.ones(shape), 9)


def test_full_padding_is_led_there() -> None:
    words = r"got 'full'; that is dilation \* .*ConvOperator\.from_scipy\(kernel, "
    with pytest.raises(cs.GeometryError, match=words):
        cs.ConvOperator(np.ones((1, 1, 3)), 9, padding="full")
    with pytest.raises(cs.GeometryError) as caught:
        cs.ConvOperator(np.ones((1, 1, 3)), 9, padding="fully")
    assert "from_scipy" not in str(caught.value)
