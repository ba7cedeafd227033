"""The benchmark of training with bounds certifies what it times."""

from __future__ import annotations

import copy

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import bounded_training


def test_a_step_of_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = torch.nn.Sequential(
        bounded_training.Block(3, 4, 2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 10),
    )
    monkeypatch.setattr(bounded_training, "resnet18", lambda: copy.deepcopy(small))
    assert command.main(["bounded-training", "4", "3"]) == 0
    said = capsys.readouterr().out
    assert "2 steps" in said
    assert "bound kept" in said
    assert command.main(["bounded-training", "x"]) == 2


def test_a_broken_bound_is_said() -> None:
    found = bounded_training.Training([1.0], [2.0], [0.9, 1.1], 3)
    assert not found.is_right
    assert "BROKEN" in bounded_training.bounded_text(found)
    assert "2.00x" in bounded_training.bounded_text(found)
