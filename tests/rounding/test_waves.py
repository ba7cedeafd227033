"""Symbols and Gram polynomials against 50 digits: the error is never exceeded."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

from convspec.frequency.direct import DirectGram
from convspec.frequency.gram_polynomial import GramPolynomial
from convspec.frequency.reduced import ReducedSymbol
from convspec.operators.symbol import Symbol
from convspec.rounding.waves import TURN, nearest_turns, symbol_ball, wave_error, waves
from tests import exact

UNIT = 2.0**-53


def some_turns(dim: int, seed: int) -> torch.Tensor:
    """Eighths of a turn, random ones, and ones next to zero."""
    generator = torch.Generator().manual_seed(seed)
    eighths = torch.randint(0, 8, (3, dim), generator=generator) / 8
    anywhere = torch.rand(3, dim, generator=generator, dtype=torch.float64)
    tiny = torch.randint(0, 4, (2, dim), generator=generator) * TURN
    return nearest_turns(torch.cat([eighths.double(), anywhere, tiny.double()]))


LAGS = {
    "line": np.arange(9)[:, None],
    "long-line": np.array([[0], [3], [2**19], [2**20 - 1]]),
    "plane": np.indices((3, 4)).reshape(2, -1).T,
    "large-plane": np.indices((9, 8)).reshape(2, -1).T,
    "negative": np.array([[-3, 5], [4, -7], [0, 0]]),
    "space": np.indices((4, 4, 5)).reshape(3, -1).T,
}


@pytest.mark.parametrize("name", LAGS)
def test_waves_are_within_their_error(name: str) -> None:
    lags = LAGS[name].astype(np.int64)
    turns = some_turns(lags.shape[1], seed=len(lags))
    real, imaginary = waves(turns, lags)
    bound = wave_error(lags) * UNIT
    for x, row, column in zip(turns.tolist(), real, imaginary, strict=True):
        for q, a, b in zip(lags.tolist(), row.tolist(), column.tolist(), strict=True):
            with mpmath.workdps(exact.DIGITS):
                phase = mpmath.fsum(n * mpmath.mpf(t) for n, t in zip(q, x, strict=True))
                wave = mpmath.expjpi(2 * phase)
                assert abs(wave.real - a) <= bound
                assert abs(wave.imag - b) <= bound


def test_waves_want_exact_phases() -> None:
    with pytest.raises(ValueError, match="multiples of 2\\^-32"):
        waves(torch.tensor([[0.1]], dtype=torch.float64), np.array([[1]]))
    with pytest.raises(ValueError, match="less than 2\\^20"):
        waves(torch.zeros(1, 1, dtype=torch.float64), np.array([[2**20]]))


SYMBOLS = {
    "line": ((2, 3, 4), 1, (1,)),
    "plane": ((3, 2, 3, 2), 1, (1, 1)),
    "strided": ((4, 1, 3, 3), 2, (2, 1)),
    "depthwise": ((3, 1, 3, 3), 3, (1, 1)),
    "large": ((1, 1, 9, 8), 1, (1, 1)),
    "space": ((1, 2, 2, 2, 2), 1, (1, 1, 1)),
}
SCALES = {"ones": 1.0, "tiny": 1e-300, "huge": 1e300}


@pytest.fixture(params=SCALES)
def scale(request: pytest.FixtureRequest) -> float:
    return SCALES[request.param]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", SYMBOLS)
def test_symbol_and_gram_are_within_their_errors(
    name: str, dtype: torch.dtype, scale: float
) -> None:
    shape, groups, strides = SYMBOLS[name]
    generator = torch.Generator().manual_seed(len(name))
    weight = scale * torch.randn(shape, generator=generator, dtype=dtype)
    weight = weight * 10.0 ** -torch.randint(0, 12, shape, generator=generator)
    symbol = ReducedSymbol.of(Symbol.of_kernel(weight, groups, strides))
    turns = some_turns(symbol.dim, seed=0)[2:6]
    grams = [GramPolynomial(symbol), DirectGram(symbol)]
    for group in range(symbol.groups):
        C = symbol.coefficients[group]
        values, error = symbol_ball(C, symbol.lags, turns)
        places = torch.full((len(turns),), group)
        found = [gram.at(places, turns) for gram in grams]
        for j, x in enumerate(turns.tolist()):
            truth = exact.symbol(C, symbol.lags, x)
            with mpmath.workdps(exact.DIGITS):
                gap = mpmath.mnorm(exact.matrix(values[j]) - truth, "f")
                assert gap <= mpmath.mpf(float(error))
                for gram, matrices in zip(grams, found, strict=True):
                    gap = mpmath.mnorm(exact.matrix(matrices[j]) - truth * truth.H, "f")
                    assert gap <= mpmath.mpf(float(gram.error[group]))


def test_groups_of_a_mixed_batch() -> None:
    """Gathered, or group by group, the matrices are the same."""
    weight = torch.randn(24, 6, 3, generator=torch.Generator().manual_seed(0)).double()
    symbol = ReducedSymbol.of(Symbol.of_kernel(weight, 4, (1,)))
    turns = some_turns(1, seed=3)
    groups = torch.tensor([0, 0, 0, 2, 2, 3, 3, 3])
    for kind in (GramPolynomial, DirectGram):
        gram = kind(symbol)
        together = gram.at(groups, turns)
        for j in range(len(groups)):
            alone = gram.at(groups[j : j + 1], turns[j : j + 1])[0]
            torch.testing.assert_close(together[j], alone, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_bend_bounds_second_differences(seed: int) -> None:
    """``v^H G v`` at a step from an extreme differs by no more than ``bend``."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, 4, 3, 4, generator=generator, dtype=torch.float64)
    symbol = ReducedSymbol.of(Symbol.of_kernel(weight, 1, (1, 1)))
    gram = GramPolynomial(symbol)
    spans = (0.03, 0.02)
    bound = float(gram.bend(spans)[0])
    centre = torch.rand(1, 2, generator=generator, dtype=torch.float64)
    v = torch.randn(3, generator=generator, dtype=torch.float64)
    v = v / v.norm()
    for direction in (torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])):
        step = direction * torch.tensor(spans, dtype=torch.float64)
        points = nearest_turns(torch.cat([centre - step, centre, centre + step]))
        matrices = gram.at(torch.zeros(3, dtype=torch.int64), points).real
        low, middle, high = torch.einsum("i,kij,j->k", v, matrices, v)
        assert abs(low - 2 * middle + high) / 2 <= bound
