"""Layers trained with a bound on their norm keep it, as certified after the fact."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import convspec as cs
from convspec.parametrize.spectral_norm import CertifiedNorm

# what an enclosure to 1e-6 may be wide; the layers leave room for it
ABOVE = 1 + 1e-12


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(layer: nn.Module, seed: int = 0) -> nn.Module:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        weight.copy_(
            torch.randn(weight.shape, generator=seeded(seed), dtype=weight.dtype)
        )
    return layer


def scaling(layer: nn.Module) -> CertifiedNorm:
    found = layer.parametrizations.weight[0]  # type: ignore[union-attr, index]
    assert isinstance(found, CertifiedNorm)
    return found


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "zeros": lambda: nn.Conv2d(3, 5, 3, padding=1),
    "wide padding": lambda: nn.Conv1d(2, 2, 3, padding=5),
    "stride": lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1),
    "patches": lambda: nn.Conv2d(2, 4, 2, stride=2),
    "dilation": lambda: nn.Conv1d(2, 3, 3, padding=2, dilation=2),
    "groups": lambda: nn.Conv2d(4, 8, 3, padding=1, groups=4),
    "circular": lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
    "reflect": lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
    "replicate": lambda: nn.Conv1d(2, 3, 5, padding=2, padding_mode="replicate"),
    "transposed": lambda: nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, groups=2),
    "volume": lambda: nn.Conv3d(2, 2, 2, padding=1),
    "1x1": lambda: nn.Conv2d(4, 3, 1),
    "double": lambda: nn.Conv2d(2, 2, 3, padding=1, dtype=torch.float64),
    "half": lambda: nn.Conv2d(2, 2, 3, padding=1, dtype=torch.float16),
    "complex": lambda: nn.Conv1d(2, 2, 3, padding=1, dtype=torch.complex64),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("size", [None, 6], ids=["every size", "one size"])
def test_every_kind_of_layer(make: Callable[[], nn.Module], size: int | None) -> None:
    layer = cs.parametrize.spectral_norm(filled(make()), size, bound=0.7)
    op = cs.ConvOperator.from_layer(layer, 6)
    assert op.dtype == next(layer.parameters()).dtype
    if size is None:
        norm: cs.Bound = cs.worst_case_norm(layer)
    else:
        norm = cs.spectral_norm(op)
    assert norm.upper <= 0.7 * ABOVE
    least = 0.6 if op.dtype != torch.float16 else 0.5
    assert norm.upper > least or make in (LAYERS["reflect"], LAYERS["replicate"])


def test_linear_layers() -> None:
    layer = cs.parametrize.spectral_norm(filled(nn.Linear(7, 4)), bound=2.0)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    top = np.linalg.norm(weight.detach().double().numpy(), 2)
    assert 2 * (1 - 1e-4) < top <= 2


def small_network(size: int | None) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 16, 3),
    )


class Residual(nn.Module):
    """Blocks with skips, circular padding and groups, behind a transposed layer."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 4, 2, stride=2)
        self.inner = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", groups=2)
        self.mix = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.up(x))
        y = y + self.mix(torch.tanh(self.inner(y)))
        logits: Tensor = self.head(y.mean(dim=(2, 3)))
        return logits


def normalised_network(size: int | None) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        nn.Conv2d(8, 3, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int | None]] = {
    "plain, at one size": (lambda: small_network(8), 8),
    "residual": (lambda: Residual(), None),
    "normalised": (lambda: normalised_network(None), None),
}


@pytest.mark.parametrize(("make", "size"), NETWORKS.values(), ids=NETWORKS)
def test_training_keeps_the_bound_at_every_step(
    make: Callable[[], nn.Module], size: int | None
) -> None:
    torch.manual_seed(0)
    network = make()
    layers = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    sizes = [8, 8] if size else [None] * len(layers)
    for layer, at in zip(layers, [*sizes, None][: len(layers)], strict=True):
        cs.parametrize.spectral_norm(layer, at, every=5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    centres = torch.randn(3, 2, 8, 8, generator=seeded(1))
    losses = []
    for step in range(200):
        labels = torch.randint(3, (16,), generator=seeded(step))
        noise = torch.randn(16, 2, 8, 8, generator=seeded(1000 + step))
        loss = nn.functional.cross_entropy(5 * network(centres[labels] + noise), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        for layer, at in zip(layers, [*sizes, None][: len(layers)], strict=True):
            assert norm_in_force(layer, at) <= ABOVE
    assert sum(losses[-20:]) < sum(losses[:20])
    # at most one in five passes, of two in a step
    assert all(1 < scaling(layer).proofs <= 82 for layer in layers)


def norm_in_force(layer: nn.Module, size: int | None) -> float:
    """Of the weight that the next pass in training takes."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    weight = weight.detach()
    if isinstance(layer, nn.Linear):
        return cs.spectral_norm(cs.ConvOperator(weight[..., None], 1)).upper
    given = {
        name: getattr(layer, name)
        for name in ("stride", "padding", "dilation", "groups", "padding_mode")
    }
    given["transposed"] = isinstance(layer, nn.ConvTranspose2d)
    if size is None:
        return cs.worst_case_norm(weight, **given).upper
    op = cs.ConvOperator(weight, size, **given)
    return cs.spectral_norm(op).upper


@pytest.mark.parametrize("size", [None, 5], ids=["every size", "one size"])
def test_gradients_are_those_of_the_quotient(size: int | None) -> None:
    layer = nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular", dtype=torch.float64)
    cs.parametrize.spectral_norm(filled(layer), size)
    goal = torch.randn(3, 2, 3, generator=seeded(3), dtype=torch.float64)
    (goal * layer.weight).sum().backward()
    original = layer.parametrizations.weight.original  # type: ignore[union-attr]
    found = original.grad

    weight = original.detach().clone().requires_grad_()
    if size is None:
        bound = cs.worst_case_norm(weight, padding=1, rtol=1e-9)
        assert bound.value is not None
        norm = bound.value
    else:
        op = cs.ConvOperator(weight, 5, padding=1, padding_mode="circular")
        norm = torch.linalg.matrix_norm(op.to_dense(), 2)
    ratio = float(
        (goal * layer.weight).sum().detach() / (goal * weight / norm).sum().detach()
    )
    (ratio * (goal * weight / norm).sum()).backward()
    assert 0.97 < ratio <= 1
    assert torch.allclose(
        found, weight.grad, rtol=0, atol=1e-4 * float(weight.grad.norm())
    )


def test_proofs_serve_while_the_weight_moves_little() -> None:
    layer = filled(nn.Conv2d(4, 4, 3, padding=1))
    cs.parametrize.spectral_norm(layer, slack=0.1, every=10)
    original = layer.parametrizations.weight.original  # type: ignore[union-attr, index]
    assert scaling(layer).proofs == 1
    with torch.no_grad():
        original.mul_(3.0)
    norm_in_force(layer, None)
    assert scaling(layer).proofs == 1  # a multiple needs none
    turned = torch.randn(original.shape, generator=seeded(4))
    for passes in range(1, 31):
        with torch.no_grad():
            original.copy_(filled(nn.Conv2d(4, 4, 3), passes).weight)
            original.add_(turned)
        assert norm_in_force(layer, None) <= ABOVE
    assert scaling(layer).proofs == 4  # each tenth pass
    layer.eval()
    with torch.no_grad():
        original.copy_(turned)
    assert norm_in_force(layer, None) > 0.9
    assert scaling(layer).proofs == 5


def test_kernels_within_the_bound_may_stay() -> None:
    layer = filled(nn.Conv2d(2, 2, 3, padding=1))
    with torch.no_grad():
        layer.weight.mul_(0.01)  # type: ignore[operator]
    before = layer.weight.clone()  # type: ignore[operator]
    cs.parametrize.spectral_norm(layer, at_most=True)
    assert torch.equal(layer.weight, before)  # type: ignore[arg-type]
    layer.weight = 100 * before
    assert 0.9 < cs.worst_case_norm(layer).upper <= ABOVE


def test_zeros_stay_zeros() -> None:
    layer = nn.Conv1d(1, 1, 3)
    nn.init.zeros_(layer.weight)
    cs.parametrize.spectral_norm(layer)
    assert not layer.weight.any()
    layer.weight.sum().backward()
    layer.weight = torch.ones(1, 1, 3)
    assert norm_in_force_1d(layer) <= ABOVE


def norm_in_force_1d(layer: nn.Conv1d) -> float:
    return cs.worst_case_norm(layer.weight.detach()).upper


def test_copies_state_and_removal() -> None:
    layer = cs.parametrize.spectral_norm(filled(nn.Conv2d(2, 2, 3, padding=1)))
    weight = layer.weight
    assert isinstance(weight, Tensor)
    assert torch.allclose(copy.deepcopy(layer).weight, weight)
    assert [*layer.state_dict()] == ["bias", "parametrizations.weight.original"]
    fresh = cs.parametrize.spectral_norm(nn.Conv2d(2, 2, 3, padding=1))
    fresh.load_state_dict(layer.state_dict())
    assert cs.worst_case_norm(fresh).upper <= ABOVE
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.allclose(layer.weight, weight)  # type: ignore[arg-type]


def test_autocast_inference_and_compilation() -> None:
    layer = cs.parametrize.spectral_norm(filled(nn.Conv2d(2, 2, 3, padding=1)))
    x = torch.randn(1, 2, 6, 6, generator=seeded(5))
    plain = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(layer(x).float(), plain, atol=0.05)
        assert layer.weight.dtype == torch.float32  # type: ignore[union-attr]
    with torch.inference_mode():
        fresh = cs.parametrize.spectral_norm(copy.deepcopy(layer.eval()))
        assert fresh(x).shape == plain.shape
    compiled = torch.compile(layer.train(), backend="eager")
    assert torch.allclose(compiled(x), layer(x))


WRONG: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], type[Exception], str]] = {
    "bound": (lambda: nn.Conv2d(1, 1, 3), {"bound": 0.0}, ValueError, "bound must be"),
    "slack": (lambda: nn.Conv2d(1, 1, 3), {"slack": 1.0}, ValueError, "slack must be"),
    "every": (lambda: nn.Conv2d(1, 1, 3), {"every": 0}, ValueError, "every must be"),
    "size": (
        lambda: nn.Conv2d(1, 1, 5),
        {"input_size": 3},
        cs.GeometryError,
        "at least as long as the kernel",
    ),
    "layer": (lambda: nn.ReLU(), {}, cs.UnsupportedLayer, "one of torch.nn.Conv1d"),
    "lazy": (lambda: nn.LazyConv2d(3, 3), {}, cs.UnsupportedLayer, "lazy"),
}


@pytest.mark.parametrize(("make", "given", "error", "words"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(
    make: Callable[[], nn.Module],
    given: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        cs.parametrize.spectral_norm(make(), **given)


def test_weights_that_are_not_finite_are_refused() -> None:
    layer = cs.parametrize.spectral_norm(filled(nn.Conv1d(1, 1, 3)))
    with torch.no_grad():
        layer.parametrizations.weight.original[0, 0, 0] = math.nan  # type: ignore[union-attr, index]
    with pytest.raises(cs.NotFiniteError, match="weight"):
        layer(torch.ones(1, 1, 5))


def test_networks_of_such_layers_have_their_constants() -> None:
    network = nn.Sequential(
        cs.parametrize.spectral_norm(filled(nn.Conv2d(1, 4, 3, padding=1)), 6),
        nn.ReLU(),
        cs.parametrize.spectral_norm(filled(nn.Conv2d(4, 4, 3, stride=2))),
        nn.Flatten(),
        cs.parametrize.spectral_norm(filled(nn.Linear(16, 3)), bound=2.0),
    )
    report = cs.analyze(network, (1, 6, 6))
    assert all(row.norm.upper <= ABOVE for row in report)
    assert cs.lipschitz(network, (1, 6, 6), method="scalar", lower=False).upper <= 2
    assert network.training
