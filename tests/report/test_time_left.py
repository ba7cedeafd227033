"""How long an analysis takes yet, as it says while it is at work."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convspec as cs
from convspec.model.sites import named
from convspec.model.watched import watched
from convspec.report.begun import begun
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES, Draft
from convspec.report.limits import Limits
from convspec.report.time_left import PRIOR, TimeLeft

DEAR = (32, 64, 64)


def drafts(count: int) -> list[Draft]:
    layers = [nn.Conv2d(32, 32, 3, padding=1) for _ in range(count)]
    seen = watched(
        nn.Sequential(*layers), DEAR, None, linear=False, fold_batch_norm=False
    )
    rows = [
        begun(name, call, Limits.of("default", max_bytes=2**31))
        for name, call in named(seen.trace.calls)
    ]
    return [row for row in rows if isinstance(row, Draft)]


def test_it_falls_to_0() -> None:
    torch.manual_seed(0)
    rows = drafts(3)
    left = TimeLeft(rows, "default", 2)
    seen = [left.seconds]
    for stage in (NORM, QUANTITIES, ESTIMATES):
        for row in rows:
            row.seconds += left._ahead[id(row)][stage]  # as the law says
            left.done(row, stage)
            seen.append(left.seconds)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > seen[-1] == 0
    assert left.words == ""


def test_what_took_longer_than_the_law_says_makes_the_rest_longer() -> None:
    torch.manual_seed(0)
    rows = drafts(2)
    left = TimeLeft(rows, "default", 1)
    expected = left._ahead[id(rows[0])][NORM]
    rest = left.seconds - expected
    rows[0].seconds = 10 * expected + 9 * PRIOR
    left.done(rows[0], NORM)
    assert left.seconds == pytest.approx(10 * rest)


def test_one_row_is_at_work_at_the_end() -> None:
    torch.manual_seed(0)
    (row,) = drafts(1)
    alone, beside = (TimeLeft([row], "default", count) for count in (1, 8))
    assert alone.seconds == beside.seconds


def test_an_exact_row_is_done_with_its_norm() -> None:
    torch.manual_seed(0)
    (row,) = drafts(1)
    left = TimeLeft([row], "default", 1)
    row.spectrum = cs.spectrum(cs.ConvOperator(torch.ones(1, 1, 3), 5))
    left.done(row, NORM)
    assert left.seconds == 0


def test_progress_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimeLeft, "seconds", 84.0)
    seen: list[str] = []
    cs.analyze(nn.Conv2d(1, 1, 3), (1, 6, 6), progress=lambda *args: seen.append(args[2]))
    assert seen[0].endswith(": norm, about 84 s left")
    assert seen[-1] == ""
