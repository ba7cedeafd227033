"""Models of all kinds: TorchScript, exported and compiled ones, and what is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
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


KINDS: dict[str, Callable[[], Any]] = {
    "scripted": lambda: torch.jit.script(net()),
    "traced": lambda: torch.jit.trace(net(), X),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(net())),
    "exported": lambda: exported().module(),
    "program": exported,
    "compiled": lambda: torch.compile(net()),
    "data parallel": lambda: nn.DataParallel(net()),
    "symbolic": lambda: torch.fx.symbolic_trace(net()),
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


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_all_kinds_have_the_rows_of_the_module(kind: str) -> None:
    torch.manual_seed(0)
    (row,) = cs.analyze(quiet(KINDS[kind]), (1, 8, 8))
    torch.manual_seed(0)
    (plain,) = cs.analyze(net(), (1, 8, 8))
    assert np.array_equal(row.spectrum.values, plain.spectrum.values)
    assert row.geometry == plain.geometry == "3x3 p1"
    assert row.calls == 1


@pytest.mark.parametrize("kind", ["scripted", "traced", "exported", "compiled"])
def test_parts_of_other_kinds_have_their_rows(kind: str) -> None:
    model = Headed(quiet(KINDS[kind]))
    report = cs.analyze(model, (1, 8, 8))
    assert [row.name for row in report] == ["head", "body.0"]
    assert report.notes == ()
    assert model.training
    assert model.head.training


def test_a_frozen_part_has_no_names_left() -> None:
    report = cs.analyze(Headed(quiet(KINDS["frozen"])), (1, 8, 8))
    first, second = report
    assert first.name == "head"
    assert second.name.startswith("(test_source.py:")


def test_a_state_dict_is_refused_by_its_name() -> None:
    with pytest.raises(cs.UnreadableModel, match="a state dict holds the weights alone"):
        cs.analyze(net().state_dict(), (1, 8, 8))


def test_a_script_function_is_refused_by_its_name() -> None:
    function = quiet(lambda: torch.jit.trace(torch.relu, X))
    with pytest.raises(cs.UnreadableModel, match="a TorchScript function is none"):
        cs.analyze(function, (1, 8, 8))


def test_a_mapping_of_inputs_is_keyword_arguments() -> None:
    class Headless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Conv2d(1, 2, 3)

        def forward(self, pixel_values: Tensor | None = None) -> dict[str, Tensor]:
            assert pixel_values is not None
            return {"y": self.c(pixel_values)}

    report = cs.analyze(Headless(), inputs={"pixel_values": X})
    assert [(row.name, row.geometry) for row in report] == [("c", "3x3")]
    assert report.input_shape == {"pixel_values": [1, 1, 8, 8]}


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
