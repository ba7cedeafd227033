"""The demo on a small network: the files, the pictures' contents, the choice of model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

import convspec as cs
from convspec.demo import run
from convspec.demo.digits import DigitsNet
from convspec.demo.mobilenet import MobileNetV2
from convspec.demo.run import Network, choose_network, run_demo
from convspec.errors import UnreadableModel
from tests.demo_files import FILES
from tests.oracles import onehot_matrix, singular_values, svd_tolerance


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 3, padding=1)
    )
    return Network("small", model.double().eval(), (1, 12, 12), "0", 6)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures by file name, instead of the files."""
    found: dict[str, Figure] = {}
    monkeypatch.setattr(
        Figure, "savefig", lambda self, path, **_: found.update({Path(path).name: self})
    )
    return found


def axes(figure: Figure) -> Axes:
    return figure.axes[0]


# -- files ------------------------------------------------------------------------------


def test_files_are_written_and_returned_in_order(
    network: Network, tmp_path: Path
) -> None:
    folder = tmp_path / "not" / "there"
    report, files = run_demo(network, folder)
    assert files == [folder / name for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [row.name for row in report] == ["0", "1"]
    assert json.loads(files[0].read_text())["layers"] == report.to_dict()["layers"]
    assert files[1].read_text().count("\n") == 3
    assert "<h1>small</h1>" in files[2].read_text(encoding="utf-8")
    for picture in files[3:]:
        assert picture.read_bytes().startswith(b"\x89PNG\r\n")


def test_second_run_replaces_the_files(network: Network, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old")
    run_demo(network, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert not any((tmp_path / name).read_bytes() == b"old" for name in FILES)


def test_no_figure_stays_open(network: Network, tmp_path: Path) -> None:
    run_demo(network, tmp_path)
    assert plt.get_fignums() == []


def test_progress_is_that_of_the_analysis(
    network: Network, tmp_path: Path, figures: dict[str, Figure]
) -> None:
    seen: list[tuple[int, int, str]] = []
    run_demo(network, tmp_path, lambda *args: seen.append(args))
    assert sorted(seen[:2]) == [(0, 2, "1: norm"), (1, 2, "0: norm")]
    assert seen[2:] == [(2, 2, "")]


# -- pictures ---------------------------------------------------------------------------


def test_layers_are_those_of_the_report(
    network: Network, tmp_path: Path, figures: dict[str, Figure]
) -> None:
    run_demo(network, tmp_path)
    ax = axes(figures["layers.png"])
    assert ax.get_title() == "small: singular values of its 2 convolutions"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1"]


def test_operator_is_the_matrix_at_the_crop(
    network: Network, tmp_path: Path, figures: dict[str, Figure]
) -> None:
    run_demo(network, tmp_path)
    ax = axes(figures["operator.png"])
    matrix = onehot_matrix(network.model[0], (6, 6))
    cells = np.asarray(ax.images[0].get_array())
    assert cells.shape == matrix.shape == (18, 36)
    assert np.abs(cells - matrix).max() <= 1e-14
    first, second = ax.get_title().splitlines()
    assert first == "0: its 18 x 36 matrix"
    assert second.startswith("input cropped")
    assert "6 x 6" in second


def test_padding_compares_the_layer_with_its_torus(
    network: Network, tmp_path: Path, figures: dict[str, Figure]
) -> None:
    run_demo(network, tmp_path)
    ax = axes(figures["padding.png"])
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == ["zero padding, dense: exact", "circular padding, Fourier: exact"]
    circular = nn.Conv2d(1, 2, 3, stride=2, padding=1, padding_mode="circular").double()
    circular.load_state_dict(network.model[0].state_dict())
    for layer, line in zip((network.model[0], circular), ax.lines, strict=True):
        matrix = onehot_matrix(layer, (6, 6))
        difference = line.get_ydata() - singular_values(matrix)
        assert np.abs(difference).max() <= svd_tolerance(matrix)


def test_full_size_is_not_called_cropped(
    network: Network, tmp_path: Path, figures: dict[str, Figure]
) -> None:
    run_demo(dataclasses.replace(network, crop=12), tmp_path)
    assert axes(figures["padding.png"]).get_title().endswith("\ninput 12 x 12")


def test_other_padding_is_named(
    network: Network, tmp_path: Path, figures: dict[str, Figure]
) -> None:
    network.model[0] = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect").double()
    run_demo(network, tmp_path)
    first, _ = axes(figures["padding.png"]).get_legend().get_texts()
    assert first.get_text() == "reflect padding, dense: exact"


# -- the choice -------------------------------------------------------------------------


def never(*_: Any) -> NoReturn:
    raise AssertionError("must not be fetched")


def failing(*_: Any) -> NoReturn:
    raise UnreadableModel("no way to the weights")


def test_offline_is_the_embedded_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "load_mobilenet", never)
    chosen = choose_network(offline=True)
    assert isinstance(chosen.model, DigitsNet)
    assert chosen.input_shape == (1, 8, 8)
    assert chosen.notice.startswith("offline")


def test_embedded_network_where_fetching_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "load_mobilenet", failing)
    chosen = choose_network(offline=False)
    assert isinstance(chosen.model, DigitsNet)
    assert chosen.notice.splitlines() == [
        "no way to the weights",
        "Going on with the embedded network instead of MobileNetV2.",
    ]


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "load_mobilenet", never)
    with pytest.raises(AssertionError, match="must not be fetched"):
        choose_network(offline=False)


def test_mobilenet_from_the_cache_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Path | None] = []

    def load(cache: Path | None) -> MobileNetV2:
        seen.append(cache)
        with torch.device("meta"):
            return MobileNetV2()

    monkeypatch.setattr(run, "load_mobilenet", load)
    chosen = choose_network(False, tmp_path)
    assert seen == [tmp_path]
    assert (chosen.name, chosen.notice) == ("MobileNetV2 (ImageNet)", "")
    assert chosen.input_shape == (3, 224, 224)
    assert chosen.crop < 224


@pytest.mark.parametrize("which", ["digits", "mobilenet"])
def test_shown_layer_has_a_dense_spectrum_and_a_torus_at_its_crop(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(run, "load_mobilenet", lambda _: MobileNetV2().eval())
    chosen = choose_network(offline=which == "digits")
    layer = chosen.model.get_submodule(chosen.layer)
    assert layer.in_channels == chosen.input_shape[0]  # it sees the image
    op = cs.ConvOperator.from_layer(layer, chosen.crop)
    assert cs.explain(op, method="dense").flops < 1e12
    assert cs.explain(op.circular(), method="fourier").method == "fourier"
    assert op.circular().shape == op.shape
