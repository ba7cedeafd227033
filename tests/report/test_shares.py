"""An envelope that takes long is decomposed in shares: steps of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import convspec as cs
from convspec.report import steps
from convspec.report.job import Job, Steps
from convspec.spectrum.fourier import cost
from tests.cache.nets import LIMITS, SHAPE, mixed
from tests.cache.same import assert_same_reports

NAME = "0"
LONG = {**LIMITS, "envelope_flops": 3e6}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of few operations."""
    monkeypatch.setattr(cost, "SHARE_FLOPS", 8e3)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of steps that are computed."""
    names: list[str] = []
    inner = Steps.compute.fget
    assert inner is not None

    def noting(self: Steps) -> Any:
        def compute(job: Job[Any]) -> Any:
            names.append(job.name)
            return inner(self)(job)

        return compute

    monkeypatch.setattr(Steps, "compute", property(noting))
    return names


def fails(*_: object) -> None:
    """In place of a step."""
    raise MemoryError("no more")


def test_all_shares_are_steps_and_say_what_one_step_does(
    small: None, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cs.analyze(mixed(), SHAPE, **LONG)[NAME].envelope
    shares = [name for name in taken if name.startswith("envelope, share")]
    assert len(set(shares)) > 3
    assert "envelope, joined" in taken
    monkeypatch.setattr(cost, "SHARE_FLOPS", 1e12)
    whole = cs.analyze(mixed(), SHAPE, **LONG)[NAME].envelope
    # blocks that are decomposed together with others may round otherwise
    np.testing.assert_allclose(found.lower, whole.lower, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.upper, whole.upper, rtol=0, atol=1e-14)
    assert found.tori == whole.tori


def test_shares_are_stored_and_found(
    small: None, taken: list[str], tmp_path: Path
) -> None:
    first = cs.analyze(mixed(), SHAPE, cache=tmp_path, **LONG)
    assert "envelope, joined" in taken
    taken.clear()
    assert_same_reports(cs.analyze(mixed(), SHAPE, cache=tmp_path, **LONG), first)
    assert taken == []


@pytest.mark.parametrize("part", ["envelope_share", "joined_envelope"])
def test_a_share_that_fails_leaves_the_other_quantities(
    part: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, part, fails)
    row = cs.analyze(mixed(), SHAPE, **LONG)[NAME]
    assert row.envelope is None
    assert row.circular is not None
    assert row.known.readings["schatten_4"].ends.gap < 1e-9
    assert str(row.left_out).count("other quantities failed: MemoryError: no more") == 1


def test_long_envelopes_are_shared_unless_told(taken: list[str]) -> None:
    """Of the size that shares have: some tori of 64 channels."""
    limits = {"max_flops": 1e11, "norm_flops": 1.0, "worst_case_flops": 1.0}
    limits |= {"envelope_flops": 5e10, "phases": 16}
    model = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    row = next(iter(cs.analyze(model, (64, 24, 24), **limits)))
    assert row.envelope is not None
    assert sum(name.startswith("envelope, share") for name in taken) > 1


def test_spectra_by_fourier_are_shared_too(
    small: None, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an exact row, and of the torus of the size of another."""
    found = cs.analyze(mixed(), SHAPE, **LONG)
    assert taken.count("spectrum, joined") >= 2
    assert "spectrum, share 1" in taken
    monkeypatch.setattr(cost, "SHARE_FLOPS", 1e12)
    whole = cs.analyze(mixed(), SHAPE, **LONG)
    pairs = [
        (found["1"].spectrum, whole["1"].spectrum),
        (found[NAME].circular, whole[NAME].circular),
    ]
    for one, other in pairs:
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-14)
        assert one.method == other.method == "fourier"
        assert float(one.error) == pytest.approx(float(other.error), 1e-9)


@pytest.mark.parametrize("part", ["spectrum_share", "joined_spectrum"])
def test_a_share_of_a_spectrum_that_fails(
    part: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, part, fails)
    report = cs.analyze(mixed(), SHAPE, **LONG)
    exact, enclosed = report["1"], report[NAME]
    assert exact.spectrum is None
    assert exact.norm is not None
    assert "norm failed: MemoryError: no more" in str(exact.left_out)
    assert enclosed.circular is None
    assert enclosed.envelope is not None


def test_estimates_are_shared_by_lattices(
    small: None, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cs.analyze(mixed(), SHAPE, **LONG)[NAME].estimates
    assert "estimates, joined" in taken
    assert {f"estimates, lattice {k}" for k in range(8)} <= set(taken)
    monkeypatch.setattr(cost, "SHARE_FLOPS", 1e12)
    whole = cs.analyze(mixed(), SHAPE, **LONG)[NAME].estimates
    assert list(found) == list(whole)
    assert found
    for name, about in found.items():
        one, other = (dataclasses.astuple(each) for each in (about, whole[name]))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("part", ["estimates_share", "joined_estimates"])
def test_a_lattice_that_fails(
    part: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, part, fails)
    row = cs.analyze(mixed(), SHAPE, **LONG)[NAME]
    assert row.estimates == {}
    assert row.envelope is not None
    assert "estimates failed: MemoryError: no more" in str(row.left_out)
