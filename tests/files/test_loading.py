"""Weights in models whose names have other prefixes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convspec.errors import UnreadableModel
from convspec.files.loading import load_weights

F32 = torch.float32


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)


def weights(seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(held.shape, generator=generator, dtype=F32).to(held.dtype)
        for name, held in Net().state_dict().items()
    }


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def assert_loaded(model: nn.Module, state: dict[str, Tensor]) -> None:
    found = model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert found.keys() == state.keys()


def test_names_that_fit_need_nothing() -> None:
    model = Net()
    assert load_weights(model, weights()) == []
    assert_loaded(model, weights())


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "_orig_mod.", "module._orig_mod.", "state.net.model.module."],
)
def test_prefixes_of_the_weights(prefix: str) -> None:
    model = Net()
    notes = load_weights(model, prefixed(prefix, weights()))
    assert notes == [f"the prefix {prefix} was taken from the names of the weights"]
    assert_loaded(model, weights())


def test_prefixes_of_the_model() -> None:
    model = nn.ModuleDict({"backbone": nn.ModuleDict({"net": Net()})})
    notes = load_weights(model, weights())
    assert notes == [
        "the prefix backbone.net. of the model was put before the names of the weights"
    ]
    assert_loaded(model, prefixed("backbone.net.", weights()))


def test_prefixes_of_both() -> None:
    model = nn.ModuleDict({"backbone": Net()})
    notes = load_weights(model, prefixed("module.", weights()))
    assert notes == [
        "the prefix module. was taken from the names of the weights",
        "the prefix backbone. of the model was put before them",
    ]
    assert_loaded(model, prefixed("backbone.", weights()))


def test_what_is_called_like_a_prefix_stays() -> None:
    model = nn.ModuleDict({"model": Net()})
    assert load_weights(model, prefixed("model.", weights())) == []
    assert_loaded(model, prefixed("model.", weights()))


def test_parts_that_were_compiled() -> None:
    model = Net()
    state = {
        name.replace("first.", "first._orig_mod."): tensor
        for name, tensor in weights().items()
    }
    assert load_weights(model, state) == [
        "_orig_mod. was taken from names of the weights"
    ]
    assert_loaded(model, weights())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_a_compiled_model() -> None:
    inner = Net()
    model: Any = torch.compile(inner)
    load_weights(model, weights())
    assert_loaded(inner, weights())


def test_all_faults_are_told_and_nothing_is_loaded() -> None:
    model = Net()
    load_weights(model, weights())
    state = weights(2)
    del state["first.bias"], state["norm.weight"]
    state["first.weight"] = torch.ones(2, 1, 5, 5, dtype=F32)
    state["norm.bias"] = torch.ones(3, dtype=F32)
    state |= {"head.weight": torch.ones(1, dtype=F32), "head.bias": torch.ones(1)}
    with pytest.raises(UnreadableModel) as caught:
        load_weights(model, state)
    said = str(caught.value)
    assert "missing: first.bias, norm.weight;" in said
    assert "unexpected: head.weight, head.bias;" in said
    assert "first.weight (2, 1, 5, 5) in place of (2, 1, 3, 3), norm.bias (3,)" in said
    assert said.isprintable()
    assert_loaded(model, weights())


def test_every_name_is_told() -> None:
    model = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(300)))
    with pytest.raises(UnreadableModel) as caught:
        load_weights(model, {})
    assert all(f"{n}.weight, {n}.bias" in str(caught.value) for n in range(300))


def test_a_shape_of_one_is_not_stretched() -> None:
    state = weights() | {"norm.bias": torch.ones(1, dtype=F32)}
    with pytest.raises(UnreadableModel, match=r"norm.bias \(1,\) in place of \(2,\)"):
        load_weights(Net(), state)


def test_complex_weights_do_not_become_real() -> None:
    state = weights()
    state["first.weight"] = state["first.weight"].to(torch.complex64)
    with pytest.raises(UnreadableModel, match=r"complex in place of real: first\.weight"):
        load_weights(Net(), state)


def test_values_that_are_not_finite_are_loaded() -> None:
    state = weights()
    state["first.bias"] = torch.tensor([torch.nan, torch.inf], dtype=F32)
    model = Net()
    load_weights(model, state)
    assert torch.equal(model.first.bias.isnan(), torch.tensor([True, False]))


def test_models_without_memory_get_the_weights() -> None:
    with torch.device("meta"):
        model = Net()
    load_weights(model, weights())
    assert_loaded(model, weights())


def test_lazy_layers_take_their_shapes() -> None:
    model = nn.Sequential(nn.LazyConv2d(2, 3))
    state = {name: t for name, t in weights().items() if "first" in name}
    state = {name.replace("first", "0"): tensor for name, tensor in state.items()}
    load_weights(model, state)
    assert_loaded(model, state)


def test_a_hook_that_fails_leaves_the_model_as_it_was() -> None:
    class Fails(Net):
        def _load_from_state_dict(self, *given: Any) -> None:
            super()._load_from_state_dict(*given)
            with torch.no_grad():
                self.norm.weight.zero_()
            raise KeyError("of its own\nformat")

    model = Fails()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UnreadableModel, match="KeyError: 'of its own"):
        load_weights(model, weights())
    assert_loaded(model, before)
