"""What calls tell of their progress: a function of the caller, a bar, nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

import convspec as cs


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 1, 3), nn.ReLU())


CALLS: dict[str, tuple[Callable[..., object], str]] = {
    "analyze": (lambda told: cs.analyze(model(), (1, 8), progress=told), "100%"),
    "lipschitz": (
        lambda told: cs.lipschitz(model(), (1, 8), seconds=0.2, progress=told),
        "L <= ",
    ),
}
CASES = pytest.mark.parametrize(("call", "words"), CALLS.values(), ids=CALLS)


@CASES
@pytest.mark.parametrize("where", ["terminal", "notebook"])
def test_a_bar(
    call: Callable[..., object],
    words: str,
    where: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a notebook it is written as to a terminal: no widgets need be installed."""
    if where == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
    else:
        monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    call(True)
    assert words in capsys.readouterr().err


class Kept(list[object]):
    """A list that is told of steps, and false as long as it is empty."""

    def __call__(self, *step: object) -> None:
        self.append(step)


@CASES
def test_a_function_is_told_whatever_it_is(
    call: Callable[..., object], words: str
) -> None:
    kept = Kept()
    call(kept)
    assert kept


@CASES
@pytest.mark.parametrize("told", [True, False, None])
def test_nothing_in_a_pipe(
    call: Callable[..., object],
    words: str,
    told: bool | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    call(told)
    assert words not in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(cs.ConvSpecError, match=r"install convspec\[cli\]"):
        cs.analyze(model(), (1, 8), progress=True)
