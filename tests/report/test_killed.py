"""An analysis that is killed at any moment goes on where it was."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import convspec as cs
from tests.cache.nets import LIMITS, SHAPE, analysing, chain
from tests.cache.same import assert_same_reports

Entries = dict[str, tuple[bytes, int]]


def entries(folder: Path) -> Entries:
    """Contents and times of all entries."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.glob("*.npz")
    }


def killed(folder: Path, layers: int, after: int, delay: float) -> None:
    """An analysis, killed a moment after there are so many entries."""
    process = analysing(folder, layers)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "begun\n"
        while len([*folder.glob("*.npz")]) < after and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(delay)
        process.kill()
        process.wait()


def goes_on(folder: Path, layers: int, report: cs.ModelReport) -> int:
    """Resume, compare, and count the entries that were there."""
    before = entries(folder)
    found = cs.analyze(chain(layers), SHAPE, cache=folder, **LIMITS)
    assert_same_reports(found, report)
    after = entries(folder)
    assert before.items() <= after.items()  # neither written anew nor touched
    return len(before)


def test_killed_three_times(tmp_path: Path) -> None:
    report = cs.analyze(chain(12), SHAPE, cache=tmp_path / "whole", **LIMITS)
    whole, draw = len(entries(tmp_path / "whole")), random.Random(0)
    for place, after in enumerate(draw.sample(range(1, whole - 8), 3)):
        folder = tmp_path / str(place)
        killed(folder, 12, after, 0.02 * draw.random())
        assert after <= goes_on(folder, 12, report) < whole
        assert len(entries(folder)) == whole


def test_killed_again_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for after in (3, 9):
        killed(folder, 12, after, 0.0)
        assert len(entries(folder)) >= after
    report = cs.analyze(chain(12), SHAPE, **LIMITS)
    assert goes_on(folder, 12, report) >= 9


@pytest.fixture(scope="module")
def undisturbed() -> cs.ModelReport:
    """The report of the long chain."""
    return cs.analyze(chain(30), SHAPE, **LIMITS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_killed_at_any_moment(
    tmp_path: Path, seed: int, undisturbed: cs.ModelReport
) -> None:
    draw = random.Random(seed)
    killed(tmp_path / "cache", 30, draw.randrange(70), 0.1 * draw.random())
    goes_on(tmp_path / "cache", 30, undisturbed)
