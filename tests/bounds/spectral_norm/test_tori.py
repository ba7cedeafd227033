"""Norms from counts on tori and Lehmann's bound, and what these are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec.bounds.spectral_norm import norm as whole
from convspec.bounds.spectral_norm import steps as norm
from convspec.bounds.spectral_norm.count import singular_values_above
from convspec.bounds.spectral_norm.field import Field
from convspec.bounds.spectral_norm.lehmann import Ritz
from convspec.bounds.spectral_norm.lower import _energy
from convspec.bounds.spectral_norm.parts import Parts, Wrap
from convspec.bounds.spectral_norm.prune import prune
from convspec.bounds.spectral_norm.search import best_relation
from convspec.operators.product_error import convolution_error
from convspec.operators.reduce import Reduction
from convspec.rounding import svd_error, verified_singular_values
from convspec.rounding.waves import nearest_turns, symbol_ball
from convspec.tori.relations import relations
from tests import geometries
from tests.cases import Case
from tests.enclosures import assert_meets, extended_matrix, norm_enclosure
from tests.gaussian import gaussian

EPS = 2.0**-52

KINDS = {
    **{f"conv{d}d": geometries.convolutions(d) for d in (1, 2, 3)},
    **{f"transposed{d}d": geometries.transposed(d) for d in (1, 2, 3)},
    "asymmetric": geometries.asymmetric(),
}


@pytest.fixture
def tori_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tori come before the operator itself, however small."""
    monkeypatch.setattr(norm, "SMALL_FLOPS", 0.0)
    monkeypatch.setattr(whole, "mirrored_norm", lambda *_: None)


def check(kind: st.SearchStrategy[Case], count: int) -> None:
    @settings(max_examples=count)
    @given(case=kind, rtol=st.sampled_from([1e-2, 1e-4, 1e-6, 1e-9]))
    def run(case: Case, rtol: float) -> None:
        op = case.operator()
        bound = cs.spectral_norm(op, rtol)
        assert_meets(bound, norm_enclosure(extended_matrix(case)), op)
        assert bound.gap <= max(rtol, 2e-9)

    run()


@pytest.mark.usefixtures("tori_first")
@pytest.mark.parametrize("kind", KINDS)
def test_random_operators(kind: str) -> None:
    check(KINDS[kind], 16)


@pytest.mark.slow
@pytest.mark.usefixtures("tori_first")
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_random_operators(kind: str) -> None:
    check(KINDS[kind], 500)


def low_pass(seed: int, *shape: int) -> torch.Tensor:
    """A peak at frequency 0."""
    return gaussian(seed, *shape).abs()


def modulated(seed: int, frequency: float, *shape: int) -> torch.Tensor:
    """Peaks at plus and minus a frequency."""
    place = sum(np.indices(shape[2:]))
    wave = torch.as_tensor(np.cos(frequency * place))
    return low_pass(seed, *shape) * wave


PEAKED: dict[str, tuple[torch.Tensor, Any, dict[str, Any]]] = {
    # name: weight, size, options
    "laplacian": (torch.tensor([[[1.0, -2, 1]]]), 30, {"padding": 1}),
    "box": (torch.ones(1, 1, 3, 3), 12, {"padding": 1}),
    "low-pass": (low_pass(0, 3, 4, 3, 3), 11, {"padding": 1}),
    "valid": (low_pass(1, 3, 3, 3, 3), 12, {}),
    "transposed": (low_pass(2, 3, 2, 3, 3), 9, {"padding": 1, "transposed": True}),
    "stride": (low_pass(3, 3, 3, 4, 4), 16, {"padding": 1, "stride": 2}),
    "dilation": (low_pass(4, 2, 2, 3, 3), 14, {"padding": 2, "dilation": 2}),
    "groups": (low_pass(5, 4, 2, 3, 3), 12, {"padding": 1, "groups": 2}),
    "line": (low_pass(6, 2, 3, 5), 40, {"padding": 2}),
    "volume": (low_pass(7, 2, 2, 2, 2, 2), (5, 6, 5), {"padding": 1}),
    "one-tap-axis": (low_pass(8, 2, 2, 1, 3), (3, 20), {"padding": (0, 1)}),
    "pair": (modulated(9, 1.3, 2, 2, 5), 41, {"padding": 2}),
    "pair-2d": (modulated(10, 1.1, 2, 3, 3, 3), 13, {"padding": 1}),
    "duplicated": (low_pass(11, 1, 1, 3, 3).repeat(4, 1, 1, 1), 9, {"groups": 4}),
    "multiple": (torch.eye(4)[:, :, None, None] * low_pass(11, 1, 1, 3, 3), 9, {}),
}


@pytest.mark.usefixtures("tori_first")
@pytest.mark.parametrize("rtol", [1e-6])
@pytest.mark.parametrize("name", PEAKED)
def test_peaked_symbols_are_counted(name: str, rtol: float) -> None:
    """A few values of A above the level that a torus leaves, degenerate or not."""
    weight, size, options = PEAKED[name]
    op = cs.ConvOperator(weight.double(), size, **options)
    bound = cs.spectral_norm(op, rtol)
    assert_meets(bound, norm_enclosure(op.to_dense().numpy().astype(np.longdouble)), op)
    assert bound.gap <= rtol
    assert any(word in bound.assumptions for word in ("Lehmann", "torus", "supremum"))
    if rtol == 1e-6 and name in ("laplacian", "box", "low-pass", "valid", "dilation"):
        assert "Lehmann" in bound.assumptions


@pytest.mark.usefixtures("tori_first")
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_counts_end_well_within_the_gap(rtol: float) -> None:
    """A level a little lower costs nothing, and leaves a fraction of the gap."""
    for name in ("box", "low-pass", "valid"):
        weight, size, options = PEAKED[name]
        bound = cs.spectral_norm(cs.ConvOperator(weight.double(), size, **options), rtol)
        assert "Lehmann" in bound.assumptions
        assert bound.gap < rtol / 4


def cancelling(seed: int, channels: int, taps: int, rest: float) -> torch.Tensor:
    """Taps that add up to nearly nothing where all of them read one pixel."""
    weight = gaussian(seed, channels, channels, taps)
    weight = weight - weight.mean(dim=-1, keepdim=True)
    return weight + rest * gaussian(seed + 1000, channels, channels, taps)


@pytest.mark.parametrize("first", ["tori", "any"])
@pytest.mark.parametrize("mode", ["circular", "replicate", "reflect", "symmetric"])
@pytest.mark.parametrize("rest", [0.0, 1e-18, 1e-16, 1e-14, 1e-10])
def test_taps_that_coincide_and_cancel(
    rest: float, mode: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their sums are rounded by far more than a unit of what is left of them."""
    if first == "tori":
        monkeypatch.setattr(norm, "SMALL_FLOPS", 0.0)
    monkeypatch.setattr(whole, "mirrored_norm", lambda *_: None)
    for seed in range(12):
        size, taps = 1 + seed % 3, 3 + seed % 2
        padding = min(taps - 1, size - (mode == "reflect"))
        if size + 2 * padding < taps:
            continue
        weight = cancelling(seed, 1 + seed % 3, taps, rest)
        op = cs.ConvOperator(weight, size, padding=padding, padding_mode=mode)
        matrix = wide_line(weight, op.geometry.axes[0].source, size)
        for rtol in (1e-2, 1e-9):
            bound = cs.spectral_norm(op, rtol)
            assert_meets(bound, norm_enclosure(matrix), op)


def wide_line(weight: torch.Tensor, source: np.ndarray, size: int) -> np.ndarray:
    """The matrix of a 1-D convolution, coinciding taps added in extended precision."""
    wide = weight.numpy().astype(np.longdouble)
    outputs = source.shape[1]
    matrix = np.zeros((len(wide), outputs, wide.shape[1], size), dtype=np.longdouble)
    for (tap, out), pixel in np.ndenumerate(source):
        if pixel >= 0:
            matrix[:, out, :, pixel] += wide[:, :, tap]
    return matrix.reshape(len(wide) * outputs, -1)


def test_a_line_of_cancelling_taps_on_a_torus() -> None:
    """The taps of a one-pixel axis add up; a circulant is left, summed exactly."""
    for seed in (2, 10, 21):
        first, second = gaussian(seed, 2, 8, 8, 1, 3)
        weight = torch.cat([first, second, -(first + second)], 2)
        weight = weight + 1e-11 * gaussian(seed + 100, 8, 8, 3, 3)
        op = cs.ConvOperator(weight, (1, 60), padding=1, padding_mode="circular")
        exact = [
            [float(sum(map(Fraction, taps))) for taps in row] for row in tap_rows(weight)
        ]
        line = torch.tensor(exact, dtype=torch.float64).reshape(8, 8, 3)
        truth = np.linalg.norm(np.fft.fft(line.numpy(), 60).transpose(2, 0, 1), 2, (1, 2))
        bound = cs.spectral_norm(op, 1e-9, max_flops=1e6)
        assert "torus" in bound.assumptions
        assert bound.upper >= truth.max() * (1 - 1e-13)
        assert bound.lower <= truth.max() * (1 + 1e-13)


def tap_rows(weight: torch.Tensor) -> list[list[list[float]]]:
    """The taps along the third axis of each row of places along the fourth."""
    return weight.transpose(2, 3).flatten(1, 2).tolist()


def test_no_operator_of_weights_that_are_not_zero() -> None:
    """Two taps that cancel, as both read the first row alone, and four of zeros."""
    kernel = gaussian(0, 64, 64, 1, 2)
    weight = torch.cat([kernel, -kernel, torch.zeros(64, 64, 4, 2)], 2)
    pads = (5, 1), (0, 0)
    op = cs.ConvOperator(weight, (4, 100), padding=pads, padding_mode="replicate")
    bound = cs.spectral_norm(op)
    assert bound.lower <= op.frobenius_norm()
    assert bound.upper < 1e-6


@pytest.mark.usefixtures("tori_first")
def test_closed_form_of_the_laplacian() -> None:
    """``4 cos^2(pi / (2 n + 2))``, far below the supremum 4."""
    for n in (9, 30, 101):
        op = cs.ConvOperator(PEAKED["laplacian"][0].double(), n, padding=1)
        bound = cs.spectral_norm(op, 1e-9)
        with mpmath.workdps(40):
            known = 4 * mpmath.cos(mpmath.pi / (2 * n + 2)) ** 2
            assert bound.lower <= known <= bound.upper
        assert bound.gap <= 1e-9


@pytest.mark.usefixtures("tori_first")
@pytest.mark.parametrize("channels", [1, 3])
def test_identities_are_as_degenerate_as_can_be(channels: int) -> None:
    """Every singular value is the largest: no count helps, no bound is below it."""
    weight = torch.zeros(channels, channels, 3, 3, dtype=torch.float64)
    weight[range(channels), range(channels), 1, 1] = 1
    weight[0, 0, 0, 0] = 1e-14
    bound = cs.spectral_norm(cs.ConvOperator(weight, 9, padding=1), 1e-6)
    assert bound.upper >= 1
    assert bound.gap <= 1e-6


def ritz_of(op: cs.ConvOperator, rows: torch.Tensor) -> Ritz:
    return Ritz(op, rows, convolution_error(op), 5.0)


def vectors() -> Iterator[tuple[cs.ConvOperator, torch.Tensor, np.ndarray]]:
    """Operators, their right singular vectors, all of them, and values squared."""
    for seed in range(6):
        weight = gaussian(seed, 3, 2, 3)
        weight = weight / weight.abs().max() * 0.9
        op = cs.ConvOperator(weight, 7, padding=1)
        s, v = torch.linalg.svd(op.to_dense())[1:]
        yield op, v, (s**2).numpy()


@pytest.mark.parametrize("spread", [0.0, 1e-8, 1e-3, 0.1])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_lehmann_bounds_hold_for_any_vectors(count: int, spread: float) -> None:
    """Near singular vectors, mixed and perturbed by as much as there is room for."""
    for seed, (op, v, squares) in enumerate(vectors()):
        low, _ = norm_enclosure(op.to_dense().numpy().astype(np.longdouble))
        mixed = gaussian(seed, count, count) @ v[:count]
        rows = mixed + spread * gaussian(seed + 1, count, v.shape[1])
        for share in (0.1, 0.5, 0.9):
            nu = float(squares[count] + share * (squares[count - 1] - squares[count]))
            upper = ritz_of(op, rows).upper(nu, count)
            if upper < math.inf:
                assert Fraction(upper) >= Fraction(low) ** 2
            if spread < 1e-6:
                assert upper <= squares[0] * (1 + 1e-9)


def test_lehmann_refuses_vectors_below_the_level() -> None:
    op, v, squares = next(vectors())
    nu = float(squares[1] + squares[2]) / 2
    assert ritz_of(op, v[:3]).upper(nu, 3) == math.inf
    assert ritz_of(op, v[:2]).upper(nu, 3) == math.inf  # too few
    assert ritz_of(op, v[[0, 0]]).upper(nu, 2) == math.inf  # dependent


def test_lehmann_rounds_up() -> None:
    """At least the exact t of these very vectors, in 60 digits, and hardly more."""
    for op, v, squares in vectors():
        rows = v[:2] + 1e-3 * gaussian(0, 2, v.shape[1])
        nu = float(squares[1] + squares[2]) / 2
        upper = ritz_of(op, rows).upper(nu, 2)
        with mpmath.workdps(60):
            a = mpmath.matrix(op.to_dense().tolist())
            x = mpmath.matrix(rows.tolist()).T
            z = a.T * (a * x) - mpmath.mpf(nu) * x
            numerator, denominator = z.T * z, x.T * z
            root = mpmath.cholesky(denominator) ** -1
            top = max(mpmath.eigsy(root * numerator * root.T, eigvals_only=True))
            assert nu + top <= upper <= (nu + top) * (1 + mpmath.mpf(1e-10))


def torus_of(op: cs.ConvOperator, phases: int = 1) -> Parts:
    reduced = Reduction.of(op)
    kinds = [best_relation(relations(read)) for read in reduced.kept]
    turn = Fraction(1, phases) % 1
    return Parts.of(reduced.weight, reduced.groups, [Wrap(k, turn) for k in kinds])


WEIGHTS = {
    "line": (gaussian(20, 3, 2, 3), 20),
    "plane": (gaussian(21, 2, 3, 3, 3), 14),
    "peaked": (low_pass(22, 3, 3, 3, 3), 14),
    "complex": (gaussian(23, 2, 2, 3, 3, dtype=torch.complex128), 13),
    "volume": (gaussian(24, 2, 2, 2, 2, 2), 9),
}


@pytest.mark.parametrize("share", [0.95, 0.999])
@pytest.mark.parametrize("name", WEIGHTS)
def test_what_is_pruned_is_below_the_level(name: str, share: float) -> None:
    """At thousands of frequencies, of which as many as possible near the level."""
    weight, size = WEIGHTS[name]
    field = Field.of(torus_of(cs.ConvOperator(weight, size, padding=1)), 2**31)
    assert field is not None
    symbol = field.symbol
    turns = nearest_turns(torch.rand(1000, symbol.dim, dtype=torch.float64))
    F, error = symbol_ball(symbol.coefficients[0], symbol.lags, turns)
    lower, upper = verified_singular_values(F)
    top = float(upper[:, 0].max())
    level = share * top
    region = prune(field, level, 1.05 * top, 10**4)
    assert region is not None
    outside = region.outside(turns)[0]
    assert bool((lower[outside, 0] - error <= level).all())
    assert bool(outside.any())
    # and what is left is not everything near: cells shrink towards the level set
    assert bool((upper[~outside, 0] >= 0.5 * level).all())


@pytest.mark.parametrize("phases", [1, 2, 3])
@pytest.mark.parametrize("name", WEIGHTS)
def test_counts_are_those_of_the_torus(name: str, phases: int) -> None:
    weight, size = WEIGHTS[name]
    parts = torus_of(cs.ConvOperator(weight, size, padding=1), phases)
    field = Field.of(parts, 2**31)
    assert field is not None
    grid = field.grid(parts)
    matrices = field.gram.at_grid(
        torch.zeros(len(grid.index), dtype=torch.int64), grid.index, grid.sizes
    )
    values = torch.linalg.eigvalsh(matrices).clamp(min=0).sqrt()
    known = np.sort(np.repeat(values.numpy(), grid.multiplicity, axis=0).ravel())[::-1]
    # two backward stable decompositions of the same matrices
    error = 2 * svd_error(field.symbol.side, field.symbol.side, known[0] ** 2, EPS)
    for place in (1, 3, 8):
        level = (known[place - 1] + known[place]) / 2
        if known[place - 1] - known[place] < 1e-6:
            continue
        region = prune(field, level, 1.05 * known[0], 10**6)
        for some in (None, region):
            above = singular_values_above(field, grid, some, level, 40)
            assert above is not None
            assert above.count(level) == place
            gaps = np.abs(np.square(above.values) - known[:place] ** 2)
            # and a square root and a square of each, rounded
            assert (gaps <= error + 4 * EPS * known[0] ** 2).all()
    assert singular_values_above(field, grid, None, float(known[20]), 4) is None


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("shape", [(40, 9), (5, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_energies(
    shape: tuple[int, int], strides: tuple[int, int], dtype: torch.dtype
) -> None:
    """The sum over channels and phases of squared DFTs, by its definition."""
    pixels = gaussian(30, 3, 7, 10, dtype=dtype)
    total = np.zeros(shape)
    for channel in pixels.to(torch.complex128).numpy():
        for p in range(strides[0]):
            for q in range(strides[1]):
                part = channel[p :: strides[0], q :: strides[1]]
                for j, n in enumerate(shape):
                    place = np.arange(part.shape[j])
                    wave = np.exp(-2j * np.pi * np.outer(np.arange(n), place) / n)
                    part = np.moveaxis(np.tensordot(wave, part, ([1], [j])), 0, j)
                total += np.abs(part) ** 2
    assert np.allclose(_energy(pixels, shape, strides).numpy(), total)
