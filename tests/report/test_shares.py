"""An envelope that takes long is decomposed in shares: steps of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import convspec as cs
from convspec.report import enclose, steps
from convspec.report.job import Job, Steps
from convspec.spectrum.envelope import plan as plans
from tests.cache.nets import LIMITS, SHAPE, mixed
from tests.cache.same import assert_same_reports

NAME = "0"
LONG = {**LIMITS, "envelope_flops": 3e6}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of few operations."""
    monkeypatch.setattr(plans, "SHARE_FLOPS", 8e3)
    monkeypatch.setattr(enclose, "SHARE_FLOPS", 8e3)


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


def test_all_shares_are_steps_and_say_what_one_step_does(
    small: None, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cs.analyze(mixed(), SHAPE, **LONG)[NAME].envelope
    shares = [name for name in taken if name.startswith("envelope, share")]
    assert len(set(shares)) > 3
    assert "envelope, joined" in taken
    monkeypatch.setattr(enclose, "SHARE_FLOPS", 1e12)
    whole = cs.analyze(mixed(), SHAPE, **LONG)[NAME].envelope
    np.testing.assert_array_equal(found.lower, whole.lower)
    np.testing.assert_array_equal(found.upper, whole.upper)
    assert found.tori == whole.tori


def test_shares_are_stored_and_found(
    small: None, taken: list[str], tmp_path: Path
) -> None:
    first = cs.analyze(mixed(), SHAPE, cache=tmp_path, **LONG)
    assert "envelope, joined" in taken
    taken.clear()
    assert_same_reports(cs.analyze(mixed(), SHAPE, cache=tmp_path, **LONG), first)
    assert taken == []


@pytest.mark.parametrize("part", ["envelope_share", "by_shares"])
def test_a_share_that_fails_leaves_the_other_quantities(
    part: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError("no more")

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
