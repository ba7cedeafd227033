"""The benchmark among neighbours runs, and compares norms before times."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import benchmarks.__main__ as command
import benchmarks.neighbours as room
from benchmarks.neighbours import Beside, beside_text
from benchmarks.networks_spectra import Network


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 2, 3, padding=1))


def test_a_small_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = Network("small", small, (2, 8, 8), 1e-4, 1.0)
    monkeypatch.setitem(room.NETWORKS, "mobilenet", network)
    monkeypatch.setattr(room, "STARTING", 0.1)
    monkeypatch.setattr(room, "available_cores", lambda: 1)
    monkeypatch.setattr(command, "AIM", 1e9)
    assert command.main(["neighbours"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("small: 2 layers, 1 busy neighbours")
    assert "WRONG" not in out
    assert command.main(["neighbours", "nothing"]) == 2


def test_the_text() -> None:
    found = Beside("a net", 2, 10.0, 21.0, (0.5, 1.5, 4.0), False)
    text = beside_text(found)
    assert "alone 10.0 s, beside them 21.0 s: 2.10 times" in text
    assert "1.50 times as long at the median, 0.50 to 4.00; aim 3.5, met" in text
    assert text.endswith("WRONG: norms differ")
    missed = Beside("a net", 2, 10.0, 21.0, (3.6,), True)
    assert beside_text(missed).endswith("aim 3.5, missed")
