"""The benchmark of sweeps runs, and checks what it times."""

from __future__ import annotations

import pytest

import benchmarks.__main__ as command
from benchmarks.sweeps import SweepTimes, sweep_text


def test_two_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["sweep", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 checkpoints of the embedded network")
    assert len(lines) == 6
    assert command.main(["sweep", "x"]) == 2
    assert command.main(["sweep", "0"]) == 2


def test_the_text() -> None:
    found = SweepTimes(100, 0.5, 70.0, 0.5, 4.0, 0.7, ["changed rows: []"])
    text = sweep_text(found)
    assert "sweep: 70.0 s, 1.40 of that; aim: 60 s, missed" in text
    assert "140 times less; aim: 5 s, met" in text
    assert "changed: 0.70 s, 100 times less" in text
    assert text.endswith("WRONG: changed rows: []")
