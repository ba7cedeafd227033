"""What ``analyze`` says of models that hide their layers, and of endless nesting."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convspec as cs

X = torch.zeros(1, 1, 8, 8)


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()).eval()


def quiet(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():  # TorchScript is deprecated in some versions
        warnings.simplefilter("ignore")
        return make()


def exported() -> Any:
    return torch.export.export(net(), (X,))


HIDDEN: dict[str, Callable[[], Any]] = {
    "scripted": lambda: torch.jit.script(net()),
    "traced": lambda: torch.jit.trace(net(), X),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(net())),
    "exported": lambda: exported().module(),
}


class Headed(nn.Module):
    """A convolution, then a part."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 1, 3, padding=1)
        self.body = part
        self.train()

    def train(self, mode: bool = True) -> Headed:
        if not mode or not hasattr(self, "body"):
            return super().train(mode)
        self.training = self.head.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.head(x))


@pytest.mark.parametrize("kind", HIDDEN)
def test_a_model_that_hides_its_layers_is_refused(kind: str) -> None:
    word = "torch.export" if kind == "exported" else "TorchScript"
    with pytest.raises(cs.UnreadableModel, match=f"it is .*{word}.* the module that it"):
        cs.analyze(quiet(HIDDEN[kind]), (1, 8, 8))


def test_an_exported_program_is_refused() -> None:
    with pytest.raises(
        cs.UnreadableModel, match="export program, which hides them; pass"
    ):
        cs.analyze(quiet(exported), (1, 8, 8))


@pytest.mark.parametrize("kind", HIDDEN)
def test_a_part_that_hides_its_layers_is_named(kind: str) -> None:
    model = Headed(quiet(HIDDEN[kind]))
    report = cs.analyze(model, (1, 8, 8))
    assert [row.name for row in report] == ["head"]
    (note,) = report.notes
    word = "torch.export" if kind == "exported" else "TorchScript"
    assert note.startswith("body is ")
    assert word in note
    assert "convolutions in it are not seen" in note
    assert note in " ".join(repr(report).split())
    assert model.training
    assert model.head.training


def test_deep_nesting_is_said_in_words() -> None:
    deep: nn.Module = nn.Conv2d(1, 1, 1)
    for _ in range(2000):
        deep = nn.Sequential(deep)
    with pytest.raises(cs.UnreadableModel, match=r"recursion limit, \d+, .*Sequential"):
        cs.analyze(deep, (1, 8, 8))


def test_a_module_that_calls_itself_is_said_in_words() -> None:
    class Endless(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return self(x)

    with pytest.raises(cs.UnreadableModel, match="holds or calls itself"):
        cs.analyze(Endless(), (1, 8, 8))


def test_symbolic_traces_keep_their_layers() -> None:
    report = cs.analyze(torch.fx.symbolic_trace(net()), (1, 8, 8))
    assert [row.name for row in report] == ["0"]
