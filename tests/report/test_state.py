"""``analyze`` leaves model, inputs and random state as it found them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import convspec as cs

SHAPE = (2, 6, 6)
HOOKS = [name for name in vars(nn.Module()) if "hooks" in name]


class Busy(nn.Module):
    """All that a run could change: batch norm, dropout, power iteration, random draws."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.frozen = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.lipschitz = parametrizations.spectral_norm(nn.Conv2d(3, 3, 2))
        self.spare = nn.Conv2d(1, 1, 1)
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(self.conv(x)))
        x = self.frozen(self.lipschitz(x)) + torch.rand(1)
        if self.fails:
            raise RuntimeError("behind the last layer")
        return x


def busy(training: bool, fails: bool = False) -> Busy:
    """A model with its own modes, gradients and hooks, all of them unlike a new one's."""
    model = Busy().train(training)
    model.frozen.train(not training)
    model.lipschitz.parametrizations.weight[0].train(not training)
    model.fails = fails
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.grad = torch.full_like(parameter, number + 0.5)
    model.spare.weight.grad = None
    model.conv.weight.requires_grad_(False)
    model.conv.register_forward_pre_hook(lambda module, args: None)
    model.conv.register_forward_hook(lambda module, args, output: None)
    model.norm.register_full_backward_hook(lambda module, given, result: None)
    return model


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything that must not change, tensors cloned."""
    return {
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {
            (name, kind): list(getattr(module, kind).items())
            for name, module in model.named_modules()
            for kind in HOOKS
            if isinstance(getattr(module, kind), dict)
        },
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "identity": {k: id(p) for k, p in model.named_parameters()},
        "requires_grad": {k: p.requires_grad for k, p in model.named_parameters()},
        "grad": {
            k: None if p.grad is None else p.grad.clone()
            for k, p in model.named_parameters()
        },
        "attributes": {name: sorted(vars(m)) for name, m in model.named_modules()},
        "rng": torch.get_rng_state(),
        "grad_mode": torch.is_grad_enabled(),
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    return bool(left == right)


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert [part for part in before if not same(before[part], after[part])] == []


def test_the_snapshot_sees_what_a_plain_run_changes() -> None:
    """Without this the tests below could pass for want of anything to see."""
    model = busy(training=True)
    before = snapshot(model)
    model.eval()
    model.conv.register_forward_pre_hook(lambda module, args: None)
    model.train()(torch.zeros(1, *SHAPE)).sum().backward()
    after = snapshot(model)
    changed = {part for part in before if not same(before[part], after[part])}
    assert changed == {"modes", "hooks", "state", "grad", "rng"}
    moved = [k for k, v in before["state"].items() if not same(v, after["state"][k])]
    assert {"norm.running_mean", "norm.num_batches_tracked"} <= set(moved)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_model_is_left_as_it_was(training: bool) -> None:
    model = busy(training)
    before = snapshot(model)
    report = cs.analyze(model, SHAPE)
    assert_same(before, snapshot(model))
    assert [row.name for row in report] == ["conv", "lipschitz"]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_model_that_raises_is_left_as_it_was(training: bool) -> None:
    model = busy(training, fails=True)
    before = snapshot(model)
    with pytest.raises(cs.UnreadableModel, match="behind the last layer"):
        cs.analyze(model, SHAPE)
    assert_same(before, snapshot(model))


def _add_lazy(model: Busy) -> None:
    model.late = nn.LazyConv2d(1, 1)


def test_model_that_is_refused_is_left_as_it_was() -> None:
    model = busy(training=True)
    _add_lazy(model)
    modes = {name: module.training for name, module in model.named_modules()}
    hooks = snapshot_hooks(model)
    rng = torch.get_rng_state()
    with pytest.raises(cs.UnsupportedLayer):
        cs.analyze(model, SHAPE)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert snapshot_hooks(model) == hooks
    assert torch.equal(torch.get_rng_state(), rng)


def snapshot_hooks(model: nn.Module) -> list[list[Any]]:
    return [
        list(getattr(module, kind) or ()) for module in model.modules() for kind in HOOKS
    ]


@pytest.mark.parametrize("enabled", [True, False], ids=["grad", "no_grad"])
def test_gradient_mode_is_left_as_it_was(enabled: bool) -> None:
    with torch.set_grad_enabled(enabled):
        cs.analyze(nn.Conv1d(1, 1, 2), (1, 4))
        assert torch.is_grad_enabled() == enabled


def test_given_inputs_are_left_as_they_were() -> None:
    x = torch.linspace(0, 1, 8).reshape(1, 1, 8).requires_grad_()
    expected = x.detach().clone()
    cs.analyze(nn.Sequential(nn.Conv1d(1, 1, 3), nn.ReLU(inplace=True)), inputs=[x])
    assert torch.equal(x.detach(), expected)
    assert x.requires_grad
    assert x.grad is None


def test_model_runs_once_in_evaluation_mode_without_gradients() -> None:
    seen: list[tuple[bool, bool, torch.Size, torch.dtype]] = []
    model = nn.Sequential(nn.Conv1d(2, 1, 3)).double()
    model.register_forward_pre_hook(
        lambda module, args: seen.append(
            (module.training, torch.is_grad_enabled(), args[0].shape, args[0].dtype)
        )
    )
    cs.analyze(model, (2, 5))
    assert seen == [(False, False, torch.Size([1, 2, 5]), torch.float64)]
    assert model.training
