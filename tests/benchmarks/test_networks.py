"""The networks that are measured: their convolutions, and what is said of a small one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks import networks_spectra
from benchmarks.__main__ import main
from benchmarks.networks import Craft, ResNet, RRDBNet, UNet, he
from benchmarks.networks_spectra import Measured, Network, Row, measure, text


def convolutions(model: nn.Module) -> int:
    kinds = nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d
    return sum(isinstance(layer, kinds) for layer in model.modules())


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: ResNet((2, 2, 2, 2), 1), 20),
        (lambda: ResNet((3, 4, 6, 3), 4), 53),
        (Craft, 27),
        (lambda: RRDBNet(blocks=1), 3 * 5 + 6),
        (UNet, 8 + 3 + 6 + 1),
    ],
    ids=["resnet18", "resnet50", "craft", "rrdbnet", "unet3d"],
)
def test_networks_have_their_convolutions(build: type[nn.Module], count: int) -> None:
    assert convolutions(build()) == count


def test_networks_run() -> None:
    with torch.no_grad():
        assert Craft().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 2, 16, 16)
        assert ResNet((1, 1), 1).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 128, 4, 4)
        small = RRDBNet(blocks=1, width=4, growth=2)
        assert small(torch.zeros(1, 3, 5, 6)).shape == (1, 3, 20, 24)
        volume = UNet((2, 3, 4))
        assert volume(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)
        image = UNet((2, 3), dim=2)
        assert image(torch.zeros(1, 1, 8, 6)).shape == (1, 2, 8, 6)


def test_random_weights_do_not_depend_on_what_was_drawn_before() -> None:
    first = he(RRDBNet(blocks=1, width=2, growth=2)).state_dict()
    again = he(RRDBNet(blocks=1, width=2, growth=2)).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first if k.endswith("weight"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(
        "two layers",
        lambda: he(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 1, 1))),
        (2, 9, 9),
        1e-3,
        1.0,
    )
    monkeypatch.setitem(networks_spectra.NETWORKS, "small", network)


@pytest.mark.usefixtures("small")
def test_a_network_is_measured() -> None:
    found = measure("small", max_flops=0.0)
    assert [row.name for row in found.rows] == ["0", "1"]
    assert found.wrong == ()
    assert 0 < found.gap < 1e-3
    assert found.peak > 2**20
    line = text([found]).splitlines()[1]
    assert line.startswith("two layers")
    assert "WRONG" not in text([found])


@pytest.mark.usefixtures("small")
def test_a_norm_that_a_vector_contradicts_is_told() -> None:
    row = Row("a", "3x3", 0.1, 1e-2, dict.fromkeys(networks_spectra.SHOWN, 0.1), {})
    found = Measured("small", 1.0, 2**30, (row,), ("a",))
    assert text([found]).splitlines()[-1] == "  WRONG: a"


def test_unknown_networks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks-spectra", "alexnet"]) == 2
    assert "networks are mobilenet, craft" in capsys.readouterr().out
