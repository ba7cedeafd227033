"""What the call takes and refuses: k, which, methods, dtypes, limits, plans."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from tests import oracles
from tests.gaussian import gaussian


@pytest.fixture
def op() -> cs.ConvOperator:
    """3 channels of 4 x 5 pixels to 2 channels: 40 singular values."""
    return cs.ConvOperator(gaussian(0, 2, 3, 3, 3), (4, 5), padding=1)


# -- k and which ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dense", "fourier"])
@pytest.mark.parametrize("k", [1, 7, 39, 40])
def test_largest_and_smallest(op: cs.ConvOperator, k: int, method: str) -> None:
    """The first k and the last k of all values, descending either way."""
    if method == "fourier":
        op = op.circular()
    every = cs.spectrum(op, method=method)
    largest = cs.spectrum(op, k, method=method)
    smallest = cs.spectrum(op, k=k, which="smallest", method=method)
    assert np.array_equal(largest.values, every.values[:k])
    assert np.array_equal(smallest.values, every.values[40 - k :])
    for spec, which in ((largest, "largest"), (smallest, "smallest")):
        assert len(spec) == k
        assert spec.which == which
        assert spec.complete == (k == 40)
        assert spec.error == every.error
        assert spec.method == method
        assert spec.converged


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8], ids=lambda t: t.__name__)
def test_numpy_integers_are_integers(op: cs.ConvOperator, kind: Any) -> None:
    assert len(cs.spectrum(op, k=kind(3))) == 3


@pytest.mark.parametrize("k", [0, -1, 41, 2.0, "3", True, np.bool_(True)], ids=repr)
def test_bad_k(op: cs.ConvOperator, k: Any) -> None:
    message = re.escape(
        f"k must be None or an integer from 1 to min(m, n) = 40; got {k!r}"
    )
    for call in (cs.spectrum, cs.explain):
        with pytest.raises(ValueError, match=message):
            call(op, k)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("which", "middle", "which must be 'largest' or 'smallest'; got 'middle'"),
        ("which", None, "which must be 'largest' or 'smallest'; got None"),
        (
            "method",
            "lanczos",
            "method must be one of auto, dense, fourier, krylov; got 'lanczos'",
        ),
        ("method", None, "method must be one of auto, dense, fourier, krylov; got None"),
        (
            "dtype",
            torch.float16,
            "dtype must be torch.float32 or torch.float64; got torch.float16",
        ),
        (
            "dtype",
            torch.complex128,
            "dtype must be torch.float32 or torch.float64; got torch.complex128",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("call", [cs.spectrum, cs.explain], ids=["spectrum", "explain"])
def test_bad_arguments(
    op: cs.ConvOperator, call: Any, argument: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call(op, **{argument: value})


def test_keywords_in_order(op: cs.ConvOperator) -> None:
    """spectrum(op, k, which, method, vectors): by position what they are by name."""
    spec = cs.spectrum(op, 2, "smallest", "dense", True)
    assert (len(spec), spec.which, spec.method) == (2, "smallest", "dense")
    assert spec.left is not None
    assert not cs.spectrum(op).complete < True


# -- dtypes ---------------------------------------------------------------------------

GEOMETRIES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "zeros": ((3, 2, 3, 3), 5, {"padding": 1}),
    "circular": ((3, 2, 3, 3), 5, {"padding": 1, "padding_mode": "circular"}),
    "circular-strided": (
        (2, 2, 5),
        8,
        {"padding": 2, "stride": 2, "padding_mode": "circular"},
    ),
    "replicate": ((2, 2, 5), 6, {"padding": 4, "padding_mode": "replicate"}),
    "reflect-groups": (
        (4, 2, 3),
        6,
        {"padding": 2, "groups": 2, "padding_mode": "reflect"},
    ),
    "patches": ((3, 2, 3, 3), 6, {"stride": 3}),
    "pointwise-padded": ((3, 2, 1), 6, {"padding": 2, "padding_mode": "replicate"}),
    "depthwise": ((5, 1, 3), 6, {"groups": 5, "padding": 1, "padding_mode": "circular"}),
    "transposed": ((2, 3, 3), 4, {"stride": 2, "transposed": True}),
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("source", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_float32_arithmetic(geometry: str, source: torch.dtype, seed: int) -> None:
    """float64 results whose error covers float32 rounding, that of the weights too."""
    shape, size, options = GEOMETRIES[geometry]
    op = cs.ConvOperator(gaussian(seed, *shape, dtype=source), size, **options)
    truth, spec = cs.spectrum(op), cs.spectrum(op, dtype=torch.float32)
    assert spec.values.dtype == np.float64
    assert spec.eps == torch.finfo(torch.float32).eps
    assert truth.eps == torch.finfo(torch.float64).eps
    off = np.abs(spec.values - truth.values).max()
    assert 0 < off <= spec.error - truth.error
    assert spec.error <= 1e-3 * truth.norm
    assert spec.error > 1e6 * truth.error


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_low_precision_weights_are_cast_exactly(
    geometry: str, dtype: torch.dtype
) -> None:
    """The spectrum of the weights as they are, in float64 arithmetic."""
    shape, size, options = GEOMETRIES[geometry]
    weight = gaussian(1, *shape, dtype=dtype)
    low = cs.spectrum(cs.ConvOperator(weight, size, **options))
    exact = cs.spectrum(cs.ConvOperator(weight.double(), size, **options))
    assert np.array_equal(low.values, exact.values)
    assert low.error == exact.error
    assert low.eps == exact.eps


def test_complex64_weights() -> None:
    weight = torch.complex(gaussian(2, 2, 2, 3), gaussian(3, 2, 2, 3))
    op = cs.ConvOperator(weight.to(torch.complex64), 5, padding=1)
    known = oracles.singular_values(op.to(torch.complex128).to_dense().numpy())
    for dtype in (torch.float64, torch.float32):
        spec = cs.spectrum(op, dtype=dtype)
        assert np.abs(spec.values - known).max() <= spec.error


def test_trainable_layers() -> None:
    """Weights that require gradients are read, not followed."""
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, padding=1)
    op = cs.ConvOperator.from_layer(layer, 4)
    known = oracles.singular_values(op.to_dense().detach().double().numpy())
    spec = cs.spectrum(op)
    assert np.abs(spec.values - known).max() <= 2 * spec.error
    assert layer.weight.grad is None


def test_device(op: cs.ConvOperator) -> None:
    here = cs.spectrum(op, device="cpu")
    assert np.array_equal(here.values, cs.spectrum(op).values)


# -- limits ---------------------------------------------------------------------------


def test_too_large_at_once() -> None:
    """64 channels of 56 x 56 with zeros: 300 GiB dense, refused before anything."""
    weight = gaussian(4, 64, 64, 3, 3, dtype=torch.float32)
    op = cs.ConvOperator(weight, 56, padding=1)
    for vectors in (False, True):
        with pytest.raises(cs.TooLargeError) as caught:
            cs.spectrum(op, vectors=vectors)
        assert isinstance(caught.value, MemoryError)
        message = str(caught.value)
        assert repr(op) in message
        assert "must fit max_bytes = 2 GiB; " in message
        assert re.search(r"needs \d+(\.\d)? GiB; take a smaller input_size, ", message)
        assert "op.circular() for the " in message
        assert message.endswith("or raise max_bytes")
    assert cs.explain(op).method is None
    assert cs.explain(op).memory > 2**39
    assert cs.explain(op.circular()).method == "fourier"


@pytest.mark.parametrize("method", ["dense", "auto", "fourier"])
def test_max_bytes(op: cs.ConvOperator, method: str) -> None:
    """A plan's memory is what the limit is compared with."""
    if method == "fourier":
        op = op.circular()
    needed = cs.explain(op, method=method).memory
    spec = cs.spectrum(op, method=method, max_bytes=needed)
    assert len(spec) == 40
    assert cs.explain(op, method=method, max_bytes=needed).method == spec.method
    with pytest.raises(cs.TooLargeError, match="must fit max_bytes"):
        cs.spectrum(op, method=method, max_bytes=needed - 1)
    assert cs.explain(op, method=method, max_bytes=needed - 1).method is None


def test_groups_are_held_one_at_a_time() -> None:
    """64 depthwise channels of 20 x 20 are 25,600 rows, decomposed as 400."""
    op = cs.ConvOperator(gaussian(5, 64, 1, 3, 3), 20, padding=1, groups=64)
    plan = cs.explain(op)
    assert plan.method == "dense"
    assert "64 blocks of 400 x 400" in plan.reason
    assert plan.memory < 2**23


# -- plans ----------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("vectors", [False, True], ids=["values", "vectors"])
def test_explain_says_what_spectrum_does(geometry: str, vectors: bool) -> None:
    shape, size, options = GEOMETRIES[geometry]
    op = cs.ConvOperator(gaussian(6, *shape), size, **options)
    plan = cs.explain(op, vectors=vectors)
    assert plan.method == cs.spectrum(op, vectors=vectors).method
    assert plan.flops > 0
    assert plan.memory >= 8 * min(op.shape)
    assert len(plan.reason.split()) > 5
    assert str(plan).startswith(f"{plan.method} (")
    assert plan.reason in str(plan)


def test_reasons(op: cs.ConvOperator) -> None:
    assert re.search(r"zeros padding .*, so not Fourier", cs.explain(op).reason)
    assert "one block of 40 x 60" in cs.explain(op).reason
    assert "Fourier is exact" in cs.explain(op.circular()).reason
    assert "asked for" in cs.explain(op.circular(), method="dense").reason
    assert "singular vectors" in cs.explain(op, vectors=True).reason
    nothing = cs.explain(op, max_bytes=1000)
    assert nothing.method is None
    assert str(nothing).startswith("no method (")


def test_flops_order_methods() -> None:
    """Sixteen channels on 32 x 32: Fourier is cheaper by the square of the pixels."""
    op = cs.ConvOperator(gaussian(7, 16, 16, 3, 3), 32, padding=1).circular()
    fourier, dense = (cs.explain(op, method=m).flops for m in ("fourier", "dense"))
    assert 1e5 < dense / fourier < 1e7


@pytest.mark.parametrize(
    ("k", "which", "advice", "never"),
    [
        (None, "largest", ["number k of largest", "spectral_norm(op)"], []),
        (5, "largest", ["fewer than 5 values", "spectral_norm(op)"], ["number k of"]),
        (1, "largest", ["spectral_norm(op)"], ["fewer than", "number k of"]),
        (
            3,
            "smallest",
            ["spectral_envelope(op).smallest"],
            ["largest values", "norm(op)"],
        ),
    ],
    ids=["all", "five-largest", "largest", "smallest"],
)
def test_advice_fits_what_was_asked(
    k: int | None, which: str, advice: list[str], never: list[str]
) -> None:
    weight = gaussian(4, 16, 16, 3, 3, dtype=torch.float32)
    op = cs.ConvOperator(weight, 56, padding=1)
    with pytest.raises(cs.TooLargeError) as caught:
        cs.spectrum(op, k, which, max_bytes=1000)
    _, _, way_on = str(caught.value).rpartition("; take ")
    assert all(words in way_on for words in (*advice, "smaller input_size", "max_bytes"))
    assert not any(words in way_on for words in never)
