"""What is known besides the tori: vectors by Krylov, other bounds, a budget."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs
from convspec.spectrum.envelope.envelope import spectral_envelope
from tests import oracles
from tests.rounding.test_errors import DIGITS, FAMILIES, small_cases, truth
from tests.spectrum.envelope.test_envelope import KINDS, MODES, balanced_cases, svd_slack


def layer(mode: str = "zeros", n: int = 12, c: int = 4) -> cs.ConvOperator:
    weight = torch.randn(c, c, 3, 3, generator=torch.Generator().manual_seed(0))
    return cs.ConvOperator(weight.double(), n, padding=1, padding_mode=mode)


# -- vectors ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_ritz_bounds_are_below_the_truth(family: str) -> None:
    """50 digits, no tolerance: good vectors, random and dependent ones, of any length."""
    rng = np.random.default_rng(6)
    for case in islice(small_cases(seed=12), 6):
        weight = FAMILIES[family](case.weight_and_bias()[0], rng)
        op = case.operator(weight)
        known = truth(case, weight)
        count = len(known)
        best = cs.spectrum(op, vectors=True).right
        noise = torch.from_numpy(rng.standard_normal((count, *op.input_shape)))
        vectors = {
            "singular": best,
            "half": best[: count // 2 + 1],
            "scaled": 3e5 * best,
            "noisy": best + 1e-3 * noise,
            "random": noise,
            "one direction": noise[:1].expand(count, *noise.shape[1:]),
        }
        for name, columns in vectors.items():
            leading = replace(cs.spectrum(op), right=columns)
            band = spectral_envelope(op, phases=0, max_flops=0, leading=leading)
            with mpmath.workdps(DIGITS):
                for bound, true in zip(band.lower.tolist(), known, strict=True):
                    assert mpmath.mpf(bound) <= true * (1 + mpmath.mpf(10) ** -30), name
            if name in ("singular", "half", "scaled"):
                slack = 1e-9 * float(known[0]) + 1e-322
                near = [float(x) - slack for x in known[: len(columns)]]
                assert (band.lower[: len(columns)] >= near).all()


def test_ritz_values_themselves_may_exceed_the_truth() -> None:
    """Why they are certified anew: rounding alone lifts some above the closed form."""
    above = 0
    for n in range(2, 40):
        op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), n, padding=1)
        found = cs.spectrum(op, 1, method="krylov", vectors=True)
        bound = spectral_envelope(op, phases=1, leading=found).lower[0]
        with mpmath.workdps(DIGITS):
            norm = 4 * mpmath.cos(mpmath.pi / (2 * (n + 1))) ** 2
            above += mpmath.mpf(found.norm) > norm
            assert norm * (1 - mpmath.mpf(10) ** -6) <= mpmath.mpf(float(bound)) <= norm
    assert above


@pytest.mark.parametrize("kind", KINDS)
def test_leading_values_raise_the_band_and_keep_it_true(kind: str) -> None:
    for case in islice(balanced_cases(kind, seed=31), 20):
        op, matrix = case.operator(), case.matrix()
        values = oracles.singular_values(matrix)
        slack = svd_slack(matrix, values[0])
        k = min(3, len(values))
        leading = cs.spectrum(op, k, method="krylov", rtol=1e-6, vectors=True)
        plain = spectral_envelope(op, phases=2)
        band = spectral_envelope(op, phases=2, leading=leading)
        assert (band.lower <= values + slack).all()
        assert (band.upper >= values - slack).all()
        assert (band.lower >= plain.lower).all()
        assert (band.upper <= plain.upper * (1 + 1e-12)).all()
        assert (band.lower[:k] >= leading.values - 1e-8 * values[0]).all()


def test_leading_values_enclose_the_norm_closely() -> None:
    op = layer(n=20)
    leading = cs.spectrum(op, 2, method="krylov", vectors=True)
    plain, band = spectral_envelope(op), spectral_envelope(op, leading=leading)
    assert plain.norm[1] / plain.norm[0] > 1.2
    assert band.norm[1] / band.norm[0] < 1.01
    assert band.sources[band.lower_source[0]] == "krylov"
    assert band.stable_rank[1] / band.stable_rank[0] < 1.02


def test_vectors_of_single_precision_and_a_transposed_operator() -> None:
    op = layer().T
    leading = cs.spectrum(op, 2, method="krylov", rtol=1e-3, vectors=True)
    leading = replace(leading, right=leading.right.float())
    band = spectral_envelope(op, phases=1, leading=leading)
    norm = cs.spectrum(op, method="dense").norm
    assert 0.999 * norm <= band.lower[0] <= norm


@pytest.mark.parametrize("case", ["no vectors", "another layer", "another shape"])
def test_refuses_other_spectra(case: str) -> None:
    op = layer()
    leading = {
        "no vectors": lambda: cs.spectrum(op, 1, method="krylov"),
        "another layer": lambda: cs.spectrum(layer(n=11), 1, vectors=True),
        "another shape": lambda: cs.spectrum(layer(n=6, c=16), 1, vectors=True),
    }[case]()
    with pytest.raises(ValueError, match=r"of the same operator .*; got .*vectors=True"):
        spectral_envelope(op, leading=leading)


# -- other bounds -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_true_bounds_tighten(mode: str) -> None:
    op = layer(mode, n=6)
    values = cs.spectrum(op, method="dense").values
    band = spectral_envelope(op, phases=2)
    more = band.tightened(lower=values[:5] * (1 - 1e-9), upper=values[:40] * (1 + 1e-9))
    near = 1e-12 * values[0]
    assert (more.lower <= values + near).all()
    assert (more.upper >= values - near).all()
    assert (more.lower >= band.lower).all()
    assert (more.upper <= band.upper).all()
    assert more.norm == pytest.approx((values[0], values[0]), rel=1e-8)
    assert more.upper[45] <= values[39] * (1 + 1e-8)
    for name in ("nuclear_norm", "effective_rank", "participation_ratio"):
        (low, high), (least, most) = getattr(band, name), getattr(more, name)
        assert low * (1 - 1e-9) <= least <= most <= high * (1 + 1e-9)
    assert "given" in {more.sources[i] for i in more.upper_source} or mode == "circular"


def test_nothing_more_changes_nothing() -> None:
    band = spectral_envelope(layer())
    again = band.tightened()
    assert (again.lower == band.lower).all()
    assert again.upper == pytest.approx(band.upper, rel=1e-9)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"lower": [99.0]}, "sigma_1 would be at least 99.0 and at most"),
        ({"upper": [0.1]}, "bounds must be true of the operator"),
        ({"lower": [math.nan]}, "lower must be at most 100 bounds, none negative or NaN"),
        ({"upper": [-1.0]}, "upper must be at most 100 bounds, none negative or NaN"),
        ({"upper": np.ones(101)}, "upper must be at most 100 bounds"),
    ],
)
def test_refuses_what_cannot_be_true(bounds: dict[str, object], words: str) -> None:
    band = spectral_envelope(layer(n=5))
    with pytest.raises(ValueError, match=words):
        band.tightened(**bounds)  # type: ignore[arg-type]


# -- the budget -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_fewer_tori_within_a_budget(mode: str) -> None:
    """The band only widens, holds with whatever it had, and says how much that was."""
    op = cs.ConvOperator(layer().weight, (7, 8), padding=(1, 0), padding_mode=mode)
    values = cs.spectrum(op, method="dense").values
    near = 1e-12 * values[0]
    bands = [spectral_envelope(op, max_flops=f) for f in (0, 1e3, 1e5, 3e5, 1e6, 1e12)]
    done = [band.tori[0] for band in bands]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == bands[-1].tori[1] > 1
    for band in bands:
        assert (band.lower <= values + near).all()
        assert (band.upper >= values - near).all()
        assert (band.upper >= bands[-1].upper * (1 - 1e-12)).all()
        assert (f"({band.tori[0]} of" in repr(band)) == (band.tori[0] < band.tori[1])
    assert np.isfinite(bands[0].upper).all()  # by the Frobenius norm alone


def test_a_circulant_beyond_the_budget_gets_bounds() -> None:
    op = layer("circular")
    exact = cs.spectrum(op)
    assert spectral_envelope(op).tori == (1, 1)
    band = spectral_envelope(op, max_flops=2e4)
    assert band.tori[0] == 0
    assert band.sources[band.upper_source[0]] == "unfolding"
    assert (band.upper >= exact.values).all()
    assert band.upper[0] <= 3.001 * exact.norm


def test_a_one_tap_layer_beyond_the_budget_gets_bounds() -> None:
    op = cs.ConvOperator(torch.randn(6, 5, 1, 1), 4)
    band = spectral_envelope(op, max_flops=1)
    values = cs.spectrum(op).values
    assert (band.upper >= values * (1 - 1e-12)).all()
    assert {band.sources[i] for i in band.upper_source} == {"frobenius"}


@pytest.mark.parametrize("mode", MODES)
def test_no_phase_is_the_unfolded_kernel(mode: str) -> None:
    """``sqrt(most reads of a pixel)`` times the norm of (c_out, c_in k) weights."""
    op = layer(mode, n=7)
    band = spectral_envelope(op, phases=0)
    values = cs.spectrum(op, method="dense").values
    assert (band.upper >= values * (1 - 1e-12)).all()
    if mode == "circular":
        return  # exact
    source = op.geometry.axes[0].source
    reads = int(np.bincount(source[source >= 0]).max())
    assert reads == {"zeros": 3, "reflect": 4, "replicate": 3, "symmetric": 3}[mode]
    unfolded = np.linalg.norm(op.weight.reshape(4, -1).numpy(), 2)
    assert band.upper[0] <= reads * unfolded * (1 + 1e-12)
    assert band.tori == (0, 0)


def test_unfolding_sharpens_replicated_borders() -> None:
    """A box filter keeps constants: its norm with replicate padding is 1 and no more."""
    op = cs.ConvOperator(
        torch.ones(1, 1, 3, 3) / 9, 20, padding=1, padding_mode="replicate"
    )
    norm = cs.spectrum(op, method="dense").norm
    band = spectral_envelope(op)
    assert norm <= band.upper[0] <= 1.01 * norm


def test_rank_takes_at_least_what_the_frobenius_norm_needs() -> None:
    """Without any torus the rank is at least ``||A||_F^2 / U_1^2``."""
    op = layer(n=10)
    band = spectral_envelope(op, phases=0)
    least, most = band.rank()
    assert not band.lower[least - 1] > 0
    assert least >= math.floor(band.stable_rank[0])
    assert least <= cs.spectrum(op, method="dense").rank() <= most
