"""Constants of networks in ONNX files, as torch writes them: those of the modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import convspec as cs
from convspec.cli import main
from tests.files.onnx_models import model, node, weight
from tests.gated_nets import Excited
from tests.gaussian import gaussian
from tests.network.networks import IMAGE, convolutional, filled, perceptron
from tests.random_nets import random_net


class Joined(nn.Module):
    """Skips, a join, pooling, upsampling and functions of several operations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect")
        self.norm = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.last = nn.Conv2d(8, 2, 1)
        self.shrink = nn.MaxPool2d(3, 2, 1, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.norm(self.first(x)))
        low = nn.functional.gelu(self.down(x))
        y = torch.cat([self.up(low), x * 0.5], 1)
        y = nn.functional.interpolate(self.last(y), scale_factor=2, mode="bilinear")
        return self.shrink(nn.functional.hardswish(y)).flatten(1)


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "torus": (convolutional, IMAGE),
    "vectors": (perceptron, (3,)),
    "joined": (lambda: filled(Joined()), IMAGE),
}


def written(net: nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    """The file that torch writes of a network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        like = next(net.parameters())
        file = str(path / "net.onnx")
        torch.onnx.export(net, (like.new_zeros(1, *shape),), file, dynamo=False)
    return path / "net.onnx"


@pytest.mark.parametrize("name", NETS)
def test_a_file_has_the_constant_of_its_module(name: str, tmp_path: Path) -> None:
    net, shape = NETS[name][0](), NETS[name][1]
    source = cs.open_model(written(net, shape, tmp_path))
    given = {"seconds": 2, "seed": 3}
    ours, theirs = cs.lipschitz(source, **given), cs.lipschitz(net, shape, **given)
    assert [step.name for step in ours.steps] == [step.name for step in theirs.steps]
    for one, other in zip(ours.steps, theirs.steps, strict=True):
        # torch folds batch norm into what it writes; others take what time there is
        if one.name in ("fused", "first ellipsoid"):
            assert one.upper == pytest.approx(other.upper, rel=1e-5)
    x, y = ours.pair or (None, None)
    assert x is not None
    assert y is not None
    net = net.double().requires_grad_(False)
    ratio = (net(x[None]) - net(y[None])).norm() / (x - y).norm()
    assert float(ratio) == pytest.approx(ours.lower, rel=1e-5)


def whole(outputs: Any) -> Tensor:
    """All outputs as one vector."""
    flat = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    return torch.cat([each.flatten() for each in flat])


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_are_bounded_as_files(seed: int, tmp_path: Path) -> None:
    net, shape = random_net(seed)
    source = cs.open_model(written(net, shape, tmp_path))
    module, found = source.model.module(None)
    assert found == shape
    for turn in range(3):
        x = gaussian(turn, 1, *shape)
        torch.testing.assert_close(module(x), net(x))
    bound = cs.lipschitz(source, method="scalar", lower=False)
    again = cs.lipschitz(net, shape, method="scalar", lower=False)
    x = gaussian(5, *shape)
    jacobian = torch.autograd.functional.jacobian(lambda v: whole(net(v[None])), x)
    steepest = torch.linalg.matrix_norm(jacobian.reshape(-1, x.numel()), 2)
    assert float(steepest) <= bound.upper <= 2 * again.upper


def test_a_domain_bounds_gates_of_a_file(tmp_path: Path) -> None:
    net = filled(nn.Sequential(nn.Conv2d(1, 4, 3), Excited(4, 2, nn.Sigmoid())))
    source = cs.open_model(written(net, IMAGE, tmp_path))
    with pytest.raises(cs.UnsupportedLayer, match="multiplies data with data"):
        cs.lipschitz(source)
    given = {"domain": (0.0, 1.0), "seconds": 2, "seed": 0}
    ours, theirs = cs.lipschitz(source, **given), cs.lipschitz(net, IMAGE, **given)
    assert ours.steps[0].upper == pytest.approx(theirs.steps[0].upper, rel=1e-5)
    assert 0 < ours.lower <= ours.upper


def test_a_certificate_of_a_module_holds_for_its_file(tmp_path: Path) -> None:
    net = convolutional()
    bound = cs.lipschitz(net, IMAGE, method="ellipsoid", seconds=2, lower=False)
    bound.save(tmp_path / "net.certificate")
    source = cs.open_model(written(net, IMAGE, tmp_path))
    found = cs.verify(tmp_path / "net.certificate", source)
    assert found.upper == cs.verify(tmp_path / "net.certificate", net).upper


def test_the_command_line_finds_the_shape_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(convolutional(), IMAGE, tmp_path)
    mark = tmp_path / "net.certificate"
    command = ["lipschitz", str(path), "--seconds", "1", "--certificate", str(mark)]
    assert main(command) == 0
    assert "product" in capsys.readouterr().out
    assert main(["verify", str(mark), str(path)]) == 0


def test_refusals_name_the_operation_of_the_file(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Floor", ["a"], ["y"], name="net/floor.1")]
    path = tmp_path / "net.onnx"
    path.write_bytes(model(nodes, IMAGE, {}).SerializeToString())
    with pytest.raises(cs.UnsupportedLayer, match=r"floor of 'net/floor_1'.*it jumps"):
        cs.lipschitz(cs.open_model(path), IMAGE)
    nodes = [node("LSTM", ["x", "w", "w"], ["y"], name="memory")]
    path.write_bytes(model(nodes, IMAGE, {"w": weight(2, 2)}).SerializeToString())
    with pytest.raises(cs.UnsupportedLayer, match="onnx::LSTM of 'memory'"):
        cs.lipschitz(cs.open_model(path), IMAGE)


def test_models_of_several_inputs_are_refused(tmp_path: Path) -> None:
    made = model([node("Add", ["x", "z"], ["y"])], IMAGE, {}, batch=1)
    made.graph.input.append(
        helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, *IMAGE])
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(cs.UnreadableModel, match="must have one input; this has 2, x, z"):
        cs.lipschitz(cs.open_model(path))
    with pytest.raises(cs.UnreadableModel, match="takes models of one input"):
        cs.lipschitz(cs.open_model(path), (IMAGE, IMAGE))


def test_uneven_pooling_on_a_domain(tmp_path: Path) -> None:
    """Of pixels beside minus infinity, and of averages of fewer pixels at a border."""
    uneven = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["c"], ["m"], **uneven),
        node("Sigmoid", ["m"], ["s"]),
        node("Mul", ["m", "s"], ["t"]),
        node("AveragePool", ["t"], ["a"], kernel_shape=[3, 3], pads=[1, 0, 0, 1]),
        node("Mul", ["a", "a"], ["y"]),
    ]
    made = model(nodes, (1, 9, 9), {"w": weight(3, 1, 3, 3)}, batch=1)
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    source = cs.open_model(path)
    bound = cs.lipschitz(source, domain=(-1.0, 1.0), seconds=2)
    module = source.model.module(None)[0].double()
    for seed in range(20):
        x = gaussian(seed, 1, 9, 9).clamp(-1, 1)
        jacobian = torch.autograd.functional.jacobian(lambda v: module(v[None]), x)
        steepest = torch.linalg.matrix_norm(jacobian.reshape(-1, x.numel()), 2)
        assert float(steepest) <= bound.upper
    assert 0 < bound.lower <= bound.upper


def test_half_precision_is_computed_in_single(tmp_path: Path) -> None:
    net = convolutional().half()
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["y"]),
    ]
    layer = net[0]
    tensors = {
        name: numpy_helper.from_array(part.detach().numpy(), name)
        for name, part in (("w", layer.weight), ("b", layer.bias))
    }
    path = tmp_path / "net.onnx"
    made = model(nodes, IMAGE, tensors, kind=TensorProto.FLOAT16, batch=1)
    path.write_bytes(made.SerializeToString())
    bound = cs.lipschitz(cs.open_model(path), seconds=1)
    exact = cs.spectral_norm(cs.ConvOperator(layer.weight.double(), (8, 8), padding=1))
    assert bound.lower <= exact.upper
    assert exact.lower <= bound.upper * (1 + 1e-9)
