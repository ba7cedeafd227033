"""Envelopes: never violated, and as tight as the theory says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice, pairwise

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec.spectrum.envelope.envelope import Envelope, spectral_envelope
from tests import geometries, oracles
from tests.cases import Case
from tests.rounding.test_errors import DIGITS, FAMILIES, small_cases, truth

EPS = float(np.finfo(np.float64).eps)
MODES = ("zeros", "circular", "reflect", "replicate", "symmetric")
KINDS = (*MODES, "transposed")


def svd_slack(matrix: oracles.Array, top: float) -> float:
    """What LAPACK's values of the true matrix may be off by."""
    return (4 * max(matrix.shape) + 216) * EPS * top


def assert_encloses(case: Case, phases: int = 4) -> Envelope:
    """The band contains the intervals of the dense values, up to their own error."""
    matrix = case.matrix()
    values = oracles.singular_values(matrix)
    slack = svd_slack(matrix, values[0])
    band = spectral_envelope(case.operator(), phases=phases)
    assert band.shape == matrix.shape
    assert len(band) == len(values)
    assert np.isfinite(band.upper).all()
    assert (band.lower >= 0).all()
    assert (np.diff(band.lower) <= 0).all()
    assert (np.diff(band.upper) <= 0).all()
    assert (band.lower <= values + slack).all()
    assert (band.upper >= values - slack).all()
    low, high = band.frobenius_norm
    assert low <= oracles.frobenius(matrix) * (1 + 1e-13)
    assert high >= oracles.frobenius(matrix) * (1 - 1e-13)
    return band


# -- every geometry ----------------------------------------------------------------------


def balanced_cases(kind: str, seed: int) -> Iterator[Case]:
    """Endless: one padding mode or transposed, borders that matter, up to 3 axes."""
    rng = np.random.default_rng(seed)
    while True:
        dim = int(rng.choice([1, 2, 2, 3]))
        longest = {1: 24, 2: 7, 3: 4}[dim]
        size = rng.integers(1, longest + 1, dim).tolist()
        kernel = rng.integers(1, {1: 6, 2: 5, 3: 4}[dim], dim).tolist()
        stride = rng.integers(1, 4, dim).tolist() if rng.random() < 0.5 else [1] * dim
        dilation = rng.integers(1, 4, dim).tolist() if rng.random() < 0.3 else [1] * dim
        groups = int(rng.choice([1, 1, 2, 3]))
        pads = rng.integers(0, 4, (dim, 2)).tolist()
        if rng.random() < 0.5:  # the padding of 'same'
            totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            pads = [(t // 2, t - t // 2) for t in totals]
        case = Case(
            c_in=groups * int(rng.integers(1, 3)),
            c_out=groups * int(rng.integers(1, 3)),
            groups=groups,
            kernel=tuple(kernel),
            size=tuple(size),
            stride=tuple(stride),
            dilation=tuple(dilation),
            padding=tuple(map(tuple, pads)),
            padding_mode="zeros" if kind == "transposed" else kind,
            transposed=kind == "transposed",
            output_padding=(0,) * dim if kind == "transposed" else (),
            bias=False,
            pruned=bool(rng.random() < 0.2),
            dtype=torch.complex128 if rng.random() < 0.2 else torch.float64,
            seed=int(rng.integers(2**16)),
        )
        try:
            m, n = case.operator().shape
        except cs.GeometryError:  # more kernel or padding than torch allows
            continue
        if m * n <= 40_000:
            yield case


@pytest.mark.parametrize("kind", KINDS)
def test_never_violated(kind: str) -> None:
    for case in islice(balanced_cases(kind, seed=1), 70):
        assert_encloses(case)


@settings(max_examples=100)
@given(geometries.any_case())
def test_never_violated_on_drawn_geometries(case: Case) -> None:
    assert_encloses(case, phases=3)


@settings(max_examples=30)
@given(geometries.circulants(2))
def test_circulants_get_their_spectrum(case: Case) -> None:
    band = assert_encloses(case)
    assert (band.upper - band.lower <= 1e-12 * (1 + band.upper[0])).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
@pytest.mark.parametrize("kind", KINDS)
def test_never_violated_many(kind: str, seed: int) -> None:
    for case in islice(balanced_cases(kind, seed), 80):
        assert_encloses(case, phases=1 + seed)


@pytest.mark.slow
@settings(max_examples=1000)
@given(geometries.any_case())
def test_never_violated_on_many_drawn_geometries(case: Case) -> None:
    assert_encloses(case, phases=5)


# -- 50-digit truth, without any tolerance -----------------------------------------------


def assert_encloses_exactly(case: Case, weight: torch.Tensor) -> None:
    """Only what 50 digits themselves cannot tell is granted."""
    band = spectral_envelope(case.operator(weight))
    with mpmath.workdps(DIGITS):
        floor = mpmath.mpf(band.norm[1]) * mpmath.mpf(10) ** -40
        for low, true, high in zip(
            band.lower.tolist(), truth(case, weight), band.upper.tolist(), strict=True
        ):
            assert mpmath.mpf(low) <= true * (1 + mpmath.mpf(10) ** -30)
            assert mpmath.mpf(high) >= true * (1 - mpmath.mpf(10) ** -30) - floor


@pytest.mark.parametrize("family", FAMILIES)
def test_encloses_exact_values(family: str) -> None:
    rng = np.random.default_rng(5)
    for case in islice(small_cases(seed=11), 6):
        weight = FAMILIES[family](case.weight_and_bias()[0], rng)
        assert_encloses_exactly(case, weight)


# -- closed forms ------------------------------------------------------------------------


def line(*taps: float) -> torch.Tensor:
    return torch.tensor(taps, dtype=torch.float64)[None, None]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 21])
def test_dirichlet_laplacian_is_exact_above(n: int) -> None:
    """The torus n + 1 at its best phase has the norm of the Dirichlet Laplacian."""
    band = spectral_envelope(cs.ConvOperator(line(1, -2, 1), n, padding=1))
    norm = 4 * np.cos(np.pi / (2 * (n + 1))) ** 2
    assert norm <= band.upper[0] <= norm * (1 + 1e-12)


def test_dirichlet_norms_are_never_undercut() -> None:
    """The bound is attained, so that only the rounding is left; 50 digits decide."""
    for n in range(1, 40):
        band = spectral_envelope(cs.ConvOperator(line(1, -2, 1), n, padding=1))
        with mpmath.workdps(DIGITS):
            norm = 4 * mpmath.cos(mpmath.pi / (2 * (n + 1))) ** 2
            assert mpmath.mpf(band.upper[0]) >= norm


def test_phases_beat_the_plain_torus() -> None:
    """Of the second difference, turned from pixel to pixel: cosines do not give it."""
    op = cs.ConvOperator(torch.tensor([[[1j, -2, -1j]]]), 3, padding=1)
    assert spectral_envelope(op).upper[0] == pytest.approx(2 + 2**0.5, abs=1e-12)
    assert spectral_envelope(op, phases=1).upper[0] > 3.6
    plain = cs.ConvOperator(line(1, -2, 1), 3, padding=1)
    assert cs.spectrum(plain.circular()).norm == pytest.approx(3)  # below the true norm


@pytest.mark.parametrize("n", [5, 10, 20, 40])
def test_exponentially_small_value(n: int) -> None:
    """[1, 2] has a symbol >= 1, yet sigma_min falls like 2^-n; the next stays >= 1."""
    band = spectral_envelope(cs.ConvOperator(line(1, 2), n, padding=((0, 1),)))
    assert band.lower[-1] <= 2.0 * 2.0**-n
    assert band.lower[-2] >= 1 - 1e-12


def test_groups_are_bounded_apart() -> None:
    """Each group loses values of its own, so a small group keeps its scale."""
    weight = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0))
    weight = (
        weight.double() * torch.tensor([1e6, 1.0], dtype=torch.float64)[:, None, None]
    )
    both = spectral_envelope(cs.ConvOperator(weight, 20, padding=1, groups=2))
    single = [
        spectral_envelope(cs.ConvOperator(weight[g : g + 1], 20, padding=1))
        for g in (0, 1)
    ]
    upper = oracles.descending(np.concatenate([band.upper for band in single]))
    lower = oracles.descending(np.concatenate([band.lower for band in single]))
    assert (both.upper <= upper * (1 + 1e-12)).all()
    assert (both.lower >= lower * (1 - 1e-12)).all()


def test_one_tap_axes_factor_out() -> None:
    """A 1 x 3 kernel bounds each line; the other axis multiplies."""
    weight = torch.randn(1, 1, 3, generator=torch.Generator().manual_seed(1)).double()
    flat = spectral_envelope(cs.ConvOperator(weight, 9, padding=1))
    op = cs.ConvOperator(weight[:, :, None], (4, 9), padding=(0, 1))
    band = spectral_envelope(op)
    assert (band.upper <= np.repeat(flat.upper, 4) * (1 + 1e-12)).all()
    assert (band.lower >= np.repeat(flat.lower, 4) * (1 - 1e-12)).all()


def test_transposed_has_the_same_envelope() -> None:
    op = cs.ConvOperator(torch.randn(2, 3, 3, 3), (5, 6), stride=2, padding=1)
    here, there = spectral_envelope(op), spectral_envelope(op.T)
    assert there.shape == op.shape[::-1]
    assert (here.lower == there.lower).all()
    assert (here.upper == there.upper).all()


def test_stride_one_rows_where_the_stride_does_not_divide() -> None:
    """k = 2, s = 2, n = 3, ones: the norm sqrt(3) is above the polyphase symbol's."""
    op = cs.ConvOperator(
        line(1, 1), 3, stride=2, padding=((0, 1),), padding_mode="circular"
    )
    band = spectral_envelope(op)
    assert band.lower[0] <= 3**0.5 <= band.upper[0] <= 2 * (1 + 1e-12)


def test_zero_weights() -> None:
    for padding_mode in MODES:
        op = cs.ConvOperator(
            torch.zeros(2, 2, 3, 3), 5, padding=1, padding_mode=padding_mode
        )
        band = spectral_envelope(op)
        assert not band.upper.any()
        assert band.rank(0) == (0, 0)
        assert band.frobenius_norm == (0.0, 0.0)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e300])
def test_scale_is_no_matter(scale: float) -> None:
    weight = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(2)).double()
    plain = spectral_envelope(cs.ConvOperator(weight, 9, padding=1))
    band = spectral_envelope(cs.ConvOperator(weight * scale, 9, padding=1))
    assert band.upper[0] == pytest.approx(plain.upper[0] * scale, rel=1e-6)
    assert np.isfinite(band.lower).all()


def test_overflow_leaves_an_enclosure() -> None:
    weight = torch.full((1, 1, 3), 1.7e308, dtype=torch.float64)
    band = spectral_envelope(cs.ConvOperator(weight, 9, padding=1))
    assert band.upper[0] == np.inf
    assert band.lower[0] > 1e308
    assert np.isfinite(band.lower).all()


# -- tightness ---------------------------------------------------------------------------


# (c, n, k): upper over true at 50 and 75 % of the index, lower over true at 50 %, of
# another draw, made beforehand by other means
TABLE = {
    (3, 8, 3): (1.39, 1.57, 0.48),
    (3, 16, 3): (1.22, 1.26, 0.66),
    (5, 12, 3): (1.28, 1.49, 0.53),
    (8, 8, 3): (1.39, 1.86, 0.42),
    (8, 16, 3): (1.20, 1.49, 0.71),
    (3, 16, 5): (1.36, 1.91, 0.42),
}


@cache
def tightness(c: int, n: int, k: int) -> tuple[oracles.Array, oracles.Array]:
    """(upper over true, lower over true) of a normal kernel, index by index."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(c, c, k, k, generator=generator, dtype=torch.float64)
    op = cs.ConvOperator(weight, n, padding=k // 2)
    values = oracles.singular_values(op.to_dense().numpy())
    band = spectral_envelope(op, phases=16)
    return band.upper / values, band.lower / values


@pytest.mark.parametrize(("c", "n", "k"), TABLE)
def test_tightness(c: int, n: int, k: int) -> None:
    above, below = tightness(c, n, k)
    quarter = len(above) // 4
    assert above[0] <= 1.05
    assert above[:quarter].max() <= 1.3
    assert below[0] >= 0.5
    assert below[:quarter].min() >= 0.4


def test_tightness_in_the_bulk() -> None:
    """Medians over the table, no more than a tenth worse than those of the other draw.

    A tenth is what its own rows of one n and k differ by from their mean.
    """
    found = []
    for above, below in (tightness(*case) for case in TABLE):
        half, three_quarters = len(above) // 2, 3 * len(above) // 4
        found.append((above[half], above[three_quarters], below[half]))
    upper_half, upper_three_quarters, lower_half = np.median(found, axis=0)
    known = np.median(list(TABLE.values()), axis=0)
    assert upper_half <= 1.1 * known[0]
    assert upper_three_quarters <= 1.1 * known[1]
    assert lower_half >= 0.9 * known[2]


@pytest.mark.parametrize("mode", MODES)
def test_more_phases_never_widen(mode: str) -> None:
    weight = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    op = cs.ConvOperator(weight, (6, 7), padding=(1, 0), padding_mode=mode, stride=(1, 2))
    bands = [spectral_envelope(op, phases=phases) for phases in (1, 2, 4, 7, 16)]
    for few, more in pairwise(bands):
        assert (more.upper <= few.upper * (1 + 1e-12)).all()
        assert (more.lower >= few.lower * (1 - 1e-12) - 1e-12).all()


def test_large_operators_get_a_narrower_band() -> None:
    """The share of the border falls with the size: the lower band rises to meet it."""
    weight = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(4)).double()
    gaps = []
    for n in (8, 16, 32, 64):
        low, high = spectral_envelope(cs.ConvOperator(weight, n, padding=1)).nuclear_norm
        gaps.append((high - low) / high)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.15


# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("phases", [-1, 1.5, True, "4"])
def test_refuses_phases(phases: object) -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 5, padding=1)
    with pytest.raises(ValueError, match="phases must be an integer of at least 0; got"):
        spectral_envelope(op, phases=phases)  # type: ignore[arg-type]


def test_refuses_too_large() -> None:
    op = cs.ConvOperator(torch.ones(8, 8, 3, 3), 64, padding=1)
    with pytest.raises(cs.TooLargeError, match="smaller input_size, or raise max_bytes"):
        spectral_envelope(op, max_bytes=10_000)


def test_leaves_the_operator_alone() -> None:
    weight = torch.randn(2, 2, 3, requires_grad=True)
    before = weight.detach().clone()
    op = cs.ConvOperator(weight, 6, padding=1)
    band = spectral_envelope(op)
    assert (op.weight == before).all()
    with pytest.raises(ValueError, match="read-only"):
        band.upper[0] = 0
