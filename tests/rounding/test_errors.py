"""The claimed error is never exceeded: 50-digit truth, compared without any tolerance.

The matrix is assembled in exact fractions by plain loops and decomposed by mpmath.
About 380 cases by default; ``-m slow`` runs 2400 more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs
from convspec.operators.product_error import sum_error
from tests import oracles
from tests.cases import Case

DIGITS = 50
EPS = float(np.finfo(np.float64).eps)
MODES = ("zeros", "circular", "reflect", "replicate", "symmetric")
KINDS = (*MODES, "transposed", "torus", "torus", "torus")
TINIEST = float(np.nextafter(0, 1))  # 2^-1074


# -- truth --------------------------------------------------------------------------


def exact_matrix(case: Case, weight: oracles.Array) -> oracles.Array:
    """The matrix of fractions for a real weight: sums of coinciding taps are exact."""
    return case.assembled(np.vectorize(Fraction, otypes=[object])(weight))


def to_mpmath(fractions: oracles.Array) -> oracles.Array:
    """An array of fractions in the digits of the context."""
    entries = [mpmath.mpf(f.numerator) / f.denominator for f in fractions.flat]
    return np.array(entries, dtype=object).reshape(fractions.shape)


def truth(case: Case, weight: torch.Tensor) -> list[mpmath.mpf]:
    """All singular values, descending, to 50 digits of the largest."""
    parts = [weight.real, weight.imag] if weight.is_complex() else [weight]
    with mpmath.workdps(DIGITS):
        real, *rest = (to_mpmath(exact_matrix(case, p.double().numpy())) for p in parts)
        entries = real + 1j * rest[0] if rest else real
        if len(entries) < entries.shape[1]:
            entries = entries.T
        decompose = mpmath.svd_c if rest else mpmath.svd_r
        values = decompose(mpmath.matrix(entries.tolist()), compute_uv=False)
        return sorted((values[i] for i in range(len(values))), reverse=True)


def assert_error_holds(
    case: Case, weight: torch.Tensor, dtype: torch.dtype = torch.float64
) -> None:
    """Each value of each exact method is within ``error`` of the truth."""
    op = case.operator(weight)
    known = truth(case, weight)
    methods = dict.fromkeys(["dense", cs.explain(op).method])
    specs = [cs.spectrum(op, method=method, dtype=dtype) for method in methods]
    specs.append(cs.spectrum(op, vectors=True, dtype=dtype))
    for spec in specs:
        assert len(spec) == len(known)
        assert 0 <= spec.error < np.inf
        for value, true in zip(spec.values.tolist(), known, strict=True):
            with mpmath.workdps(DIGITS):
                assert abs(mpmath.mpf(value) - true) <= spec.error


# -- small operators of every kind ------------------------------------------------------


def small_cases(seed: int) -> Iterator[Case]:
    """Endless: one or two axes, 3 to 8 singular values, every mode, many on a torus."""
    rng = np.random.default_rng(seed)
    while True:
        dim, mode = int(rng.integers(1, 3)), str(rng.choice(KINDS))
        stride, dilation = rng.integers(1, 3, (2, dim)).tolist()
        size = rng.integers(1, 7 if dim == 1 else 4, dim).tolist()
        kernel = rng.integers(1, 5 if dim == 1 else 4, dim).tolist()
        extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        pads = rng.integers(0, 4, (dim, 2)).tolist()
        if mode == "torus":
            size = [s * n for s, n in zip(stride, size, strict=True)]
            totals = [max(0, e - s) for e, s in zip(extents, stride, strict=True)]
            pads = [(t // 3, t - t // 3) for t in totals]
        case = Case(
            c_in=int(rng.integers(1, 3)),
            c_out=int(rng.integers(1, 3)),
            groups=1,
            kernel=tuple(kernel),
            size=tuple(size),
            stride=tuple(stride),
            dilation=tuple(dilation),
            padding=tuple(map(tuple, pads)),
            padding_mode={"torus": "circular", "transposed": "zeros"}.get(mode, mode),
            transposed=mode == "transposed",
            output_padding=(0,) * dim if mode == "transposed" else (),
            bias=False,
            dtype=torch.complex128 if rng.random() < 0.25 else torch.float64,
            seed=int(rng.integers(2**16)),
        )
        try:
            m, n = case.operator().shape
        except cs.GeometryError:  # more kernel or padding than torch allows
            continue
        if 3 <= min(m, n) <= 8 and max(m, n) <= 24:
            yield case


def integers(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Small integers: ranks are deficient and values repeat."""
    return torch.from_numpy(rng.integers(-1, 2, weight.shape)).to(weight.dtype)


def mixed(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Entries of size 1e-8 beside entries of size 1."""
    return weight * torch.from_numpy(rng.choice([1e-8, 1.0], weight.shape))


def far_apart(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Entries from 1e-150 to 1."""
    return weight * torch.from_numpy(10.0 ** -rng.integers(0, 151, weight.shape))


def ill_conditioned(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Every slice is nearly the first one."""
    near = weight[:1, :1].expand(weight.shape).clone()
    return near + 1e-12 * weight


def cancelling(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each tap is nearly minus the one before: where two coincide, little is left."""
    flat = weight[..., :1].expand(weight.shape).clone()
    flat[..., 1::2] *= -1
    return flat + 1e-14 * weight


def nearly_repeated(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """One tap of size 1, the rest about 60 eps: values that LAPACK takes as equal."""
    unit = torch.zeros_like(weight)
    channels = range(min(weight.shape[:2]))
    unit.flatten(2)[channels, channels, 0] = 1
    return unit + 60 * EPS * weight


def subnormal(weight: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Multiples of the least positive number, up to 9 of them."""
    return integers(weight, rng) * rng.integers(1, 10) * TINIEST


def scaled(factor: float) -> Callable[..., torch.Tensor]:
    return lambda weight, rng: weight * factor


FAMILIES: dict[str, Callable[[torch.Tensor, np.random.Generator], torch.Tensor]] = {
    "gaussian": scaled(1.0),
    "integers": integers,
    "1e-150": scaled(1e-150),
    "1e150": scaled(1e150),
    "1e-300": scaled(1e-300),
    "1e300": scaled(1e300),
    "mixed-1e-8": mixed,
    "far-apart": far_apart,
    "ill-conditioned": ill_conditioned,
    "cancelling": cancelling,
    "nearly-repeated": nearly_repeated,
    "subnormal": subnormal,
}


def assert_family(
    family: str, seed: int, count: int, dtype: torch.dtype = torch.float64
) -> None:
    for case in islice(small_cases(seed), count):
        weight = case.weight_and_bias()[0]
        drawn = FAMILIES[family](weight, np.random.default_rng(case.seed))
        assert_error_holds(case, drawn, dtype)


@pytest.mark.parametrize("family", FAMILIES)
def test_error_holds(family: str) -> None:
    assert_family(family, seed=0, count=14)


@pytest.mark.parametrize("family", FAMILIES)
def test_error_holds_in_float32(family: str) -> None:
    """Of weights in float64, whose cast to float32 is a part of the error."""
    assert_family(family, seed=1, count=6, dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_many_more(family: str, dtype: torch.dtype) -> None:
    assert_family(family, seed=2, count=100, dtype=dtype)


# -- chosen cases -----------------------------------------------------------------------


def one_axis(kernel: int, size: int, pads: tuple[int, int], **given: Any) -> Case:
    usual: dict[str, Any] = {"stride": (1,), "dilation": (1,), "groups": 1, "bias": False}
    shape = {"kernel": (kernel,), "size": (size,), "padding": (pads,)}
    return Case(**{"c_in": 1, "c_out": 1, **usual, **shape, **given})


def line(*taps: float) -> torch.Tensor:
    return torch.tensor(taps, dtype=torch.float64)[None, None]


CHOSEN: dict[str, tuple[Case, torch.Tensor]] = {
    "replicate-cancels-to-zero": (
        one_axis(3, 1, (1, 1), padding_mode="replicate"),
        line(0.1, 0.2, -0.3),
    ),
    "replicate-cancels-at-the-edge": (
        one_axis(3, 4, (2, 2), padding_mode="replicate"),
        line(1.0, -1.0, 1e-17),
    ),
    "reflect-cancels": (
        one_axis(3, 3, (1, 1), padding_mode="reflect"),
        line(1 / 3, 1e-16, -1 / 3),
    ),
    "folded-taps-cancel": (
        one_axis(4, 2, (1, 2), padding_mode="circular"),
        line(1e16, 1.0, -1e16, 1.0),
    ),
    "many-taps-on-one-pixel": (
        one_axis(7, 1, (3, 3), padding_mode="replicate"),
        line(1e16, 1.0, -1e16, 1.0, 1e-3, -1.0, 0.1),
    ),
    "ill-conditioned-causal": (one_axis(2, 6, (0, 1)), line(1e-3, 1.0)),
    "square-root-scales": (
        one_axis(1, 3, (2, 4), padding_mode="replicate", c_in=2, c_out=2),
        torch.tensor([[0.1, 0.7], [0.3, 1 / 3]], dtype=torch.float64)[..., None],
    ),
    "row-of-huge-numbers": (one_axis(3, 3, (0, 0)), line(1e200, -1e200, 2e200)),
    "row-of-tiny-numbers": (one_axis(3, 3, (0, 0)), line(1e-200, -1e-200, 2e-200)),
    "patches-of-tiny-numbers": (
        one_axis(2, 4, (0, 0), stride=(2,)),
        line(3e-170, -4e-170),
    ),
    "patches-of-huge-numbers": (one_axis(2, 4, (0, 0), stride=(2,)), line(3e170, -4e170)),
    "torus-of-huge-numbers": (
        one_axis(2, 4, (0, 1), padding_mode="circular"),
        line(1e170, 1e160),
    ),
    "least-positive-number": (one_axis(3, 4, (1, 1)), line(TINIEST, -TINIEST, TINIEST)),
    "least-positive-on-a-torus": (
        one_axis(3, 5, (1, 1), padding_mode="circular"),
        line(TINIEST, -2 * TINIEST, TINIEST),
    ),
    "zero": (one_axis(3, 3, (1, 1)), line(0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_chosen(name: str) -> None:
    assert_error_holds(*CHOSEN[name])


@pytest.mark.parametrize("small", [30, 60, 90, 100, 101, 150])
@pytest.mark.parametrize("n", [3, 5, 8, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_off_diagonal_that_lapack_drops(dtype: torch.dtype, n: int, small: int) -> None:
    """1 on and a few eps above the diagonal: up to 100 eps LAPACK's xLASQ2 drops it all.

    As a line with padding, and as the channels of a 1x1 layer.
    """
    above = small * torch.finfo(dtype).eps
    assert_error_holds(one_axis(2, n, (0, 1)), line(1.0, above), dtype)
    matrix = torch.eye(n) + above * torch.ones(n - 1, dtype=torch.float64).diag(1)
    pointwise = one_axis(1, 1, (0, 0), c_in=n, c_out=n)
    assert_error_holds(pointwise, matrix[..., None], dtype)


@pytest.mark.parametrize("scale", [1e-50, 1e-42, 1e-30, 1e-20, 1e18, 1e30, 1e40], ids=str)
@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("pads", [(1, 1), (0, 0)], ids=["same", "valid"])
def test_scales_of_float32(pads: tuple[int, int], mode: str, scale: float) -> None:
    """Squares that float32 cannot hold, and numbers that it cannot hold itself."""
    case = one_axis(3, 3, pads, padding_mode=mode)
    assert_error_holds(case, line(1.0, -2.0, 1.0) * scale, torch.float32)


def test_truth_is_the_truth() -> None:
    """The oracle on a matrix with known values, in the digits it claims."""
    values = truth(one_axis(3, 3, (1, 1)), line(1.0, -2.0, 1.0))
    with mpmath.workdps(DIGITS):
        known = [2 + mpmath.sqrt(2), mpmath.mpf(2), 2 - mpmath.sqrt(2)]
        gaps = [abs(v - w) for v, w in zip(values, known, strict=True)]
        assert max(gaps) < mpmath.mpf(10) ** -48


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular"])
def test_sum_error(mode: str, seed: int) -> None:
    """Where taps coincide, A is off by no more, in the Frobenius norm, than claimed."""
    kernel, size = (7, 3), (4, 2)
    pads = ((3, 3), (1, 1))
    case = Case(2, 2, 1, kernel, size, (1, 1), (1, 1), pads, mode, bias=False, seed=seed)
    op, weight = case.operator(), case.weight_and_bias()[0]
    bound = sum_error(weight, [axis.overlap for axis in op.geometry.axes], EPS)
    with mpmath.workdps(DIGITS):
        exact = to_mpmath(exact_matrix(case, weight.numpy()))
        gaps = op.to_dense().numpy().astype(object) - exact
        assert 0 < mpmath.norm(gaps.ravel().tolist()) <= bound
