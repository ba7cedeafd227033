"""The constant of a network: what is asked, what is found, what is refused and why."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from convspec.network import attempts, lipschitz
from convspec.network.attempts import Attempts
from convspec.network.certificate import Certificate
from convspec.network.reading import network_of
from tests.gaussian import gaussian
from tests.network.networks import IMAGE, convolutional, filled, perceptron
from tests.network.test_sound import steepest
from tests.random_nets import random_net

QUICK: dict[str, Any] = {"seconds": 0.5, "lower": False}


def names(bound: cs.NetworkBound) -> list[str]:
    return [step.name for step in bound.steps]


def matrix(model: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """Of a model that is affine, by its images of unit vectors, in float64."""
    double = copy.deepcopy(model).double()
    count = math.prod(shape)
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
    with torch.no_grad():
        images = double(basis) - double(torch.zeros(1, *shape, dtype=torch.float64))
    return images.reshape(count, -1).numpy().T


def slopes(model: nn.Module, shape: tuple[int, ...], count: int = 60) -> list[np.ndarray]:
    """Jacobians at random inputs, in float64."""
    double = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(count):
        x = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(double, x)
        found.append(jacobian.reshape(-1, math.prod(shape)).numpy())
    return found


def affine() -> nn.Module:
    """Layers on vectors, with an activation that is none."""
    return filled(
        nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(1.0), nn.Linear(6, 3)), seed=5
    )


# -- ends -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape"),
    [(convolutional, IMAGE), (perceptron, (3,))],
    ids=["image", "vector"],
)
def test_all_steps_are_above_all_slopes(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    model = make()
    bound = cs.lipschitz(model, shape, seconds=2)
    largest = max(np.linalg.norm(each, 2) for each in slopes(model, shape))
    assert all(step.upper >= largest * (1 - 1e-12) for step in bound.steps)
    assert 0 < bound.lower <= bound.upper == min(step.upper for step in bound.steps)
    x, y = (each.double()[None] for each in bound.pair)
    double = copy.deepcopy(model).double()
    with torch.no_grad():
        ratio = (double(x) - double(y)).norm() / (x - y).norm()
    assert float(ratio) >= bound.lower * (1 - 1e-12)
    assert bound.bound.lower == bound.lower
    assert bound.bound.upper == bound.upper


@pytest.mark.parametrize("method", ["auto", "dense"])
def test_an_affine_network_to_its_norm(method: str) -> None:
    """The ellipsoid of vectors gives it but for its margins, at any time that it has."""
    model = affine()
    bound = cs.lipschitz(model, (4,), method=method, seconds=3)
    truth = np.linalg.norm(matrix(model, (4,)), 2)
    assert truth * (1 - 1e-12) <= bound.upper
    assert truth * (1 - 1e-6) <= bound.lower <= truth * (1 + 1e-12)


def test_pairs_of_an_affine_network() -> None:
    model = affine()
    bound = cs.lipschitz(model, (4,), **QUICK)
    pairs = bound.pairs()
    A = matrix(model, (4,))
    truth = np.linalg.norm(A[:, None] - A[None], axis=-1)
    assert pairs.dtype == torch.float64
    assert np.all(pairs.numpy() >= truth * (1 - 1e-12))
    assert torch.equal(pairs.diagonal(), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(pairs, pairs.mT)
    limit = math.sqrt(2) * bound.upper
    assert bool((pairs <= limit * (1 + 1e-15)).all())
    pairs.zero_()
    assert float(bound.pairs().max()) > 0  # a copy was given


def test_pairs_of_a_network_are_above_those_of_its_slopes() -> None:
    model = perceptron()
    pairs = cs.lipschitz(model, (3,), **QUICK).pairs().numpy()
    for slope in slopes(model, (3,)):
        differences = np.linalg.norm(slope[:, None] - slope[None], axis=-1)
        assert np.all(pairs >= differences * (1 - 1e-12))


def test_networks_without_pairs() -> None:
    image = filled(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3)))
    for bound in (
        cs.lipschitz(image, IMAGE, method="ellipsoid", **QUICK),
        cs.lipschitz(perceptron(), (3,), method="scalar", lower=False),
    ):
        with pytest.raises(cs.NotApplicable, match="one vector of classes"):
            bound.pairs()


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(dim=1)], ids=repr)
def test_networks_without_activations(last: nn.Module) -> None:
    model = filled(nn.Sequential(nn.Linear(4, 3), last))
    bound = cs.lipschitz(model, (4,), method="dense", seconds=1)
    largest = max(np.linalg.norm(each, 2) for each in slopes(model, (4,)))
    assert bound.upper >= largest * (1 - 1e-12)
    assert bound.lower <= bound.upper


# -- methods ----------------------------------------------------------------------------

SCALAR = ["product", "fused", "LipLT"]
TORUS = ["first ellipsoid", "ellipsoid"]
DENSE = ["first dense ellipsoid", "dense ellipsoid"]


@pytest.mark.parametrize(
    ("method", "image", "vector"),
    [
        ("auto", SCALAR + TORUS + DENSE, SCALAR + DENSE),
        ("scalar", SCALAR, SCALAR),
        ("ellipsoid", SCALAR + TORUS, SCALAR),
        ("dense", SCALAR + DENSE, SCALAR + DENSE),
    ],
)
def test_steps_of_each_method(method: str, image: list[str], vector: list[str]) -> None:
    small = filled(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    )
    options = {"method": method, "seconds": 2, "lower": False}
    found = cs.lipschitz(small, (1, 6, 6), **options)
    assert [name for name in names(found) if name != "rescaled"] == image
    others = cs.lipschitz(perceptron(), (3,), **options)
    assert [name for name in names(others) if name != "rescaled"] == vector
    assert found.steps[1].upper <= found.steps[0].upper * 1.01
    assert (found.certificate is None) == (found.best.name in SCALAR)
    assert all(step.seconds >= 0 and step.words for step in found.steps)


def test_rescaled_norms_of_layers_that_undo_each_other() -> None:
    """Units of channels in which both layers have norm sqrt(10): 10 in place of 100."""
    first, second = (nn.Linear(2, 2, bias=False) for _ in range(2))
    first.weight.data = torch.tensor([[1.0, 0.0], [0.0, 10.0]])
    second.weight.data = torch.tensor([[10.0, 0.0], [0.0, 1.0]])
    model = nn.Sequential(first, nn.Tanh(), second)
    bound = cs.lipschitz(model, (2,), seconds=20, lower=False)
    step = bound.steps[names(bound).index("rescaled")]
    assert bound.steps[0].upper >= 100
    assert 10 <= step.upper <= 10.1


@pytest.mark.parametrize("seed", range(3))
def test_rescaled_norms_are_above_what_a_network_does(seed: int) -> None:
    model, shape = random_net(300 + seed)
    bound = cs.lipschitz(model, shape, seconds=4, lower=False)
    found = [step.upper for step in bound.steps if step.name == "rescaled"]
    for upper in found:
        assert upper >= steepest(model, shape, seed) * (1 - 1e-12)


def test_a_certificate_of_rescaled_norms(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    for number, parameter in enumerate(model.parameters()):
        parameter.data = gaussian(number, *parameter.shape)
    bound = cs.lipschitz(model, (3,), seconds=10, lower=False)
    (at,) = [k for k, step in enumerate(bound.steps) if step.name == "rescaled"]
    assert bound.steps[at].upper >= bound.upper
    work = Attempts(network_of(model, (3,), None), (3,), (), 4.0)
    work._ellipsoid("rescaled", 2.0, "dense ellipsoid")
    found = work.outcome()
    path = tmp_path / "rescaled"
    found.save(path)
    checked = cs.verify(path, model)
    assert found.upper <= checked.upper <= found.upper * (1 + 2e-5)


def test_methods_that_do_not_apply_say_why() -> None:
    """An image in a row whose pixels are mixed has no torus; vectors hold it."""
    layers = [nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Softmax(1), nn.Linear(16, 2)]
    model = filled(nn.Sequential(*layers))
    bound = cs.lipschitz(model, (1, 6, 6), seconds=1, lower=False)
    step = bound.steps[names(bound).index("ellipsoid")]
    assert step.upper == math.inf
    assert step.words.startswith("does not apply: ")
    assert math.isfinite(bound.upper)
    assert json.loads(bound.to_json())["steps"][3]["upper"] == "inf"


def test_progress_tells_the_least_so_far() -> None:
    told: list[tuple[str, float]] = []
    model = perceptron()
    bound = cs.lipschitz(
        model, (3,), progress=lambda name, upper: told.append((name, upper)), **QUICK
    )
    assert [name for name, _ in told] == names(bound)
    uppers = [upper for _, upper in told]
    assert uppers == sorted(uppers, reverse=True)
    assert uppers[-1] == bound.upper


def test_a_network_whose_passage_takes_too_long() -> None:
    """It is told before it is begun; the product of norms holds."""
    layers = [nn.Conv2d(1, 96, 1)]
    for _ in range(3):
        layers += [nn.ReLU(), nn.Conv2d(96, 96, 3, padding=1)]
    given = {"method": "ellipsoid", "seconds": 1, "lower": False}
    bound = cs.lipschitz(filled(nn.Sequential(*layers)), (1, 256, 256), **given)
    told = {step.name: step for step in bound.steps}
    assert told["ellipsoid"].upper == math.inf
    words = r"does not apply: .* takes about \d+ s; give that many"
    assert re.search(words, told["ellipsoid"].words)
    assert "rescaled" in told  # which takes less
    assert math.isfinite(bound.upper)


# -- units ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "scalar"])
def test_units_of_the_input(method: str) -> None:
    """``scale`` is the constant of the network behind the division, in raw units."""
    model = affine()
    scale = (0.5, 0.25, 2.0, 1.0)
    bound = cs.lipschitz(model, (4,), scale=scale, method=method, seconds=2)
    truth = np.linalg.norm(matrix(model, (4,)) / np.array(scale), 2)
    assert bound.upper >= truth * (1 - 1e-12)
    assert 0 < bound.lower <= truth * (1 + 1e-12)
    x, y = bound.pair
    apart = (x - y).double() * torch.tensor(scale, dtype=torch.float64)
    ratio = np.linalg.norm(matrix(model, (4,)) @ (x - y).double().numpy()) / apart.norm()
    assert float(ratio) >= bound.lower * (1 - 1e-9)
    assert "in units of 0.5, 0.25, 2, 1" in repr(bound)
    assert bound.to_dict()["scale"] == list(scale)


def test_one_unit_for_all_channels() -> None:
    model = perceptron()
    one = cs.lipschitz(model, (3,), scale=0.5, method="scalar", lower=False)
    plain = cs.lipschitz(model, (3,), method="scalar", lower=False)
    assert one.scale == (0.5, 0.5, 0.5)
    assert 2 * plain.upper <= one.upper <= 2 * plain.upper * (1 + 1e-12)


def test_units_are_part_of_the_certificate(tmp_path: Path) -> None:
    model = perceptron()
    bound = cs.lipschitz(model, (3,), scale=0.5, seconds=1, lower=False)
    bound.save(tmp_path / "c")
    assert Certificate.load(tmp_path / "c").scale == (0.5, 0.5, 0.5)
    assert "in units of 0.5" in repr(cs.verify(tmp_path / "c", model))


# -- models -----------------------------------------------------------------------------


def test_models_that_were_opened() -> None:
    opened = cs.open_model("tests.network.networks:convolutional", input_shape=IMAGE)
    found = cs.lipschitz(opened, method="scalar", lower=False)
    wanted = cs.lipschitz(convolutional(), IMAGE, method="scalar", lower=False)
    assert found.upper == wanted.upper


def test_exported_programs(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(
        torch.export.export(convolutional(), (torch.zeros(1, *IMAGE),)), path
    )
    found = cs.lipschitz(cs.open_model(path), method="scalar", lower=False)
    wanted = cs.lipschitz(convolutional(), IMAGE, method="scalar", lower=False)
    assert found.upper == pytest.approx(wanted.upper, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    model = perceptron().to(dtype)
    bound = cs.lipschitz(model, (3,), seconds=1)
    same = cs.lipschitz(copy.deepcopy(model).double(), (3,), method="scalar", lower=False)
    assert bound.steps[0].upper == same.steps[0].upper
    assert 0 < bound.lower <= bound.upper
    assert next(model.parameters()).dtype == dtype


def test_the_model_and_the_process_are_left_as_found() -> None:
    model = convolutional().train()
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    cs.lipschitz(model, IMAGE, seconds=1)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[key], each) for key, each in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_layer_norm_is_told() -> None:
    model = filled(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4)))
    bound = cs.lipschitz(model, (3,), method="scalar", lower=False)
    [warning] = bound.warnings
    assert "norm" in warning
    assert f"note: {warning}" in repr(bound)
    assert bound.to_dict()["warnings"] == [warning]


def test_an_upper_end_survives_a_search_that_fails() -> None:
    """A model of which no copy can be made has no pair, and its bound all the same."""

    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError("there is one only")

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).relu()

    bound = cs.lipschitz(Alone(), (3,), seconds=1)
    assert bound.lower == 0
    assert bound.pair is None
    assert math.isfinite(bound.upper)
    assert "no pair of inputs: " in bound.warnings[-1]
    assert "there is one only" in bound.warnings[-1]


# -- interrupted ------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, 6))
def test_an_interrupted_search_keeps_what_it_has(at: int) -> None:
    told = []

    def interrupt(name: str, upper: float) -> None:
        told.append(upper)
        if len(told) == at:
            raise KeyboardInterrupt

    bound = cs.lipschitz(perceptron(), (3,), seconds=1, progress=interrupt)
    assert bound.upper == min(told)
    assert len(bound.steps) == at + 1
    assert bound.steps[-1].upper == math.inf
    assert bound.steps[-1].words == "interrupted: what was found before holds"
    assert bound.lower == 0
    assert (bound.certificate is not None) == (at > 3)


def test_an_interrupted_search_for_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lipschitz, "attained", interrupt)
    bound = cs.lipschitz(perceptron(), (3,), method="scalar")
    assert names(bound) == ["product", "fused", "LipLT", "a pair"]
    assert bound.lower == 0
    assert "interrupted" in repr(bound)


def test_an_interruption_before_there_is_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(attempts, "constants", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cs.lipschitz(perceptron(), (3,))


# -- arguments --------------------------------------------------------------------------


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "method": ({"method": "magic"}, ValueError, "method must be one of 'auto'"),
    "seconds of 0": ({"seconds": 0}, ValueError, "seconds must be a positive number"),
    "seconds below": ({"seconds": -1.0}, ValueError, "seconds must be a positive"),
    "seconds in words": ({"seconds": "1"}, ValueError, "seconds must be a positive"),
    "no seconds": ({"seconds": math.nan}, ValueError, "seconds must be a positive"),
    "truth": ({"seconds": True}, ValueError, "seconds must be a positive number"),
    "few units": ({"scale": (1.0,)}, ValueError, "for each of 3 channels"),
    "units of 0": ({"scale": 0.0}, ValueError, "scale must be a positive number"),
    "no unit": ({"scale": math.nan}, ValueError, "scale must be a positive number"),
    "no limit": ({"scale": math.inf}, ValueError, "scale must be a positive number"),
    "unit in words": ({"scale": "std"}, ValueError, "scale must be a positive number"),
    "starts": ({"starts": torch.zeros(2, 4)}, cs.GeometryError, "starts must have shape"),
    "starts in lists": ({"starts": [0.0]}, TypeError, "starts must be a tensor"),
    "seed": ({"seed": -1}, ValueError, "seed must be an integer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before any work."""
    options, error, words = WRONG[case]
    monkeypatch.setattr(lipschitz, "network_of", None)
    with pytest.raises(error, match=words):
        cs.lipschitz(perceptron(), (3,), **options)


def test_wrong_models() -> None:
    with pytest.raises(TypeError, match=r"lipschitz takes a torch.nn.Module; got int"):
        cs.lipschitz(3, (3,))
    with pytest.raises(cs.UnreadableModel, match="a state dict holds the weights alone"):
        cs.lipschitz(dict(perceptron().state_dict()), (3,))
    with pytest.raises(cs.UnreadableModel, match=r"the shape of one input must be known"):
        cs.lipschitz(perceptron())
    with pytest.raises(cs.UnreadableModel, match="takes models of one input"):
        cs.lipschitz(perceptron(), ((3,), (3,)))
    with pytest.raises(cs.UnreadableModel, match="must be positive integers"):
        cs.lipschitz(perceptron(), (0,))
    with pytest.raises(cs.UnreadableModel, match="must run on its inputs"):
        cs.lipschitz(perceptron(), (4,))


def test_files_that_are_read_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "state.pth"
    torch.save(convolutional().state_dict(), path)
    with pytest.raises(cs.UnreadableModel, match="there is no module to run"):
        cs.lipschitz(cs.open_model(path), IMAGE)


class Product(nn.Module):
    """Two factors that depend on the input."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x  # here


class Sorted(nn.Module):
    """A count of entries, which no constant bounds."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumprod(x, 1)


@pytest.mark.parametrize("part", [Product, Sorted])
def test_refusals_name_the_module_and_the_line(part: type[nn.Module]) -> None:
    model = nn.Sequential()
    model.add_module("stem", nn.Linear(3, 3))
    model.add_module("culprit", part())
    with pytest.raises(cs.UnsupportedLayer) as caught:
        cs.lipschitz(model, (3,))
    assert "culprit" in str(caught.value)
    assert "test_lipschitz.py:" in str(caught.value)


# -- forms ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bound() -> cs.NetworkBound:
    """One with a pair and all kinds of steps."""
    return cs.lipschitz(perceptron(), (3,), seconds=1)


def test_it_is_a_table(bound: cs.NetworkBound) -> None:
    first, *rows = repr(bound).splitlines()
    assert first.endswith("(l2 to l2, certified above)")
    lower, upper = float(first.split()[0]), float(first.split()[4])
    assert lower <= bound.lower
    assert upper >= bound.upper  # rounded outward
    assert upper == pytest.approx(bound.upper, rel=1e-5)
    assert [row.split("  ")[1] for row in rows] == [*names(bound), "a pair"]
    for row, step in zip(rows, bound.steps, strict=False):
        assert float(row.split(step.name, 1)[1].split()[0]) >= step.upper


def test_json_and_dict(bound: cs.NetworkBound, tmp_path: Path) -> None:
    path = tmp_path / "bound.json"
    assert bound.to_json(path) is None
    found = json.loads(path.read_text())
    assert found == bound.to_dict() == json.loads(bound.to_json())
    assert found["lower"] == bound.lower
    assert found["upper"] == bound.upper
    assert found["method"] == bound.best.name
    assert [step["name"] for step in found["steps"]] == names(bound)


def test_dataframe(bound: cs.NetworkBound) -> None:
    pytest.importorskip("pandas")
    frame = bound.to_dataframe()
    assert list(frame.columns) == ["name", "upper", "seconds", "words"]
    assert frame["upper"].tolist() == [step.upper for step in bound.steps]
    assert frame["name"].tolist() == names(bound)


def test_latex(bound: cs.NetworkBound) -> None:
    text = bound.to_latex(digits=3)
    lines = text.splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    cells = [line.strip().removesuffix(r" \\").split(" & ") for line in lines[4:-2]]
    assert [cell[0] for cell in cells] == [
        *(name.capitalize() for name in names(bound)),
        "A pair",
    ]
    for cell, step in zip(cells, bound.steps, strict=False):
        assert step.upper <= float(cell[1].strip("$")) < 1.01 * step.upper
    assert float(cells[-1][1].split()[-1].strip("$")) <= bound.lower
    with pytest.raises(ValueError, match="digits must be at least 1"):
        bound.to_latex(digits=0)


def test_a_product_has_no_certificate(tmp_path: Path) -> None:
    found = cs.lipschitz(perceptron(), (3,), method="scalar", lower=False)
    with pytest.raises(cs.NotApplicable, match="which is computed again by"):
        found.save(tmp_path / "none")
    assert not list(tmp_path.iterdir())
