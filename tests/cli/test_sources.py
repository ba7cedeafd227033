"""``convspec analyze``, ``matrix`` and ``spectrum`` of every source."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from matplotlib.image import imread
from safetensors.torch import save_file
from scipy import sparse

import convspec as cs
from convspec.cli import main
from tests.cli.models import SHAPE, small

FACTORY = "tests.cli.models:small"
SIZES = "3,8,8"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network in every format."""
    folder = tmp_path_factory.mktemp("files")
    model, x = small(), torch.zeros(1, *SHAPE)
    state = model.state_dict()
    torch.save(state, folder / "state.pth")
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "w.pt"
    )
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "state.safetensors")
    torch.export.save(torch.export.export(model, (x,)), folder / "model.pt2")
    onnx.save(written(model), folder / "model.onnx")
    (folder / "sizes.toml").write_text(
        '[[layer]]\nnames = "1"\npadding = 1\npadding_mode = "reflect"\nsize = [8, 8]\n'
        '[[layer]]\nnames = "4"\nstride = 2\npadding = 1\nsize = [8, 8]\n'
    )
    return folder


def written(model: torch.nn.Module) -> onnx.ModelProto:
    """The two convolutions as an ONNX graph, a Pad in front of the first."""
    helper, arrays = onnx.helper, {}
    for name in ("1", "4"):
        layer = model.get_submodule(name)
        for part in ("weight", "bias"):
            arrays[f"{name}.{part}"] = getattr(layer, part).detach().numpy()
    arrays["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["p"], mode="reflect"),
        helper.make_node("Conv", ["p", "1.weight", "1.bias"], ["y"], name="1"),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node(
            "Conv",
            ["z", "4.weight", "4.bias"],
            ["out"],
            name="4",
            pads=[1] * 4,
            strides=[2, 2],
        ),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", kind, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("out", kind, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


SOURCES: dict[str, Callable[[Path], list[str]]] = {
    "factory": lambda folder: [FACTORY, "--input-shape", SIZES],
    "with weights": lambda folder: [
        FACTORY,
        *("--input-shape", SIZES, "--weights", str(folder / "w.pt")),
    ],
    "module": lambda folder: ["tests.cli.models:instance", "--input-shape", SIZES],
    "pt2": lambda folder: [str(folder / "model.pt2")],
    "onnx": lambda folder: [str(folder / "model.onnx"), "--input-shape", SIZES],
    "pth": lambda folder: [
        *(str(folder / "state.pth"), "--geometry", str(folder / "sizes.toml")),
    ],
    "safetensors": lambda folder: [
        *(str(folder / "state.safetensors"), "--geometry", str(folder / "sizes.toml")),
    ],
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_layers_have_the_same_numbers(
    source: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    assert main(["analyze", *SOURCES[source](files), "--json", str(path)]) == 0
    found = {row["name"]: row for row in json.loads(path.read_text())["layers"]}
    for row in cs.analyze(small(), SHAPE):
        for name in ("norm", "rank", "condition_number", "nuclear_norm"):
            ours, theirs = found[row.name][name], row.to_dict()[name]
            assert ours == pytest.approx(theirs, rel=1e-6)
        assert found[row.name]["worst_case_upper"] == pytest.approx(
            row.worst_case.upper, rel=1e-3
        )
    printed = capsys.readouterr()
    assert f"wrote {path}" in printed.out
    assert printed.err == ""  # no bar in a pipe


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_bare_checkpoint_has_what_its_kernels_determine(
    suffix: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(files / f"state{suffix}")]) == 0
    out = capsys.readouterr().out
    assert "2 convolutions: 2 by the kernel alone" in out
    assert "conv2d 3x3" in out
    assert "a state dict tells no stride" in out
    worst = cs.worst_case_norm(small()[1].weight, rtol=1e-4)
    assert f"{worst.upper:.3f}"[:4] in out


def test_all_files_are_written(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"json": "r.json", "csv": "r.csv", "html": "r.html", "latex": "r.tex"}
    options = [
        x for kind, name in names.items() for x in (f"--{kind}", str(tmp_path / name))
    ]
    options += [
        "--figures",
        str(tmp_path / "new" / "figures"),
        "--layers",
        "4",
        "--quiet",
    ]
    assert main(["analyze", str(files / "model.pt2"), *options]) == 0
    assert capsys.readouterr() == ("", "")
    with (tmp_path / "r.csv").open() as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == ["4"]
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert "\\begin{tabular}" in (tmp_path / "r.tex").read_text()
    for name in ("layers.png", "4.png"):
        assert imread(tmp_path / "new" / "figures" / name).std() > 0.05
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*names.values(), "new"]
    )


def test_rows_that_fail_make_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    source = ["analyze", "tests.cli.models:partly", "--input-shape", SIZES]
    assert main(source) == 1
    assert "OtherConvolution" in capsys.readouterr().out
    assert main([*source, "--layers", "0"]) == 0


def test_options_reach_the_analysis(
    files: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    options = ["--linear", "--fold-batch-norm", "--effort", "quick", "--json", str(path)]
    options += ["--seconds", "50", "--memory", "0.5", "--input-shape", SIZES]
    assert main(["analyze", FACTORY, *options]) == 0
    found = json.loads(path.read_text())
    assert [row["name"] for row in found["layers"]] == ["1", "4", "6"]
    assert "batch norm after" in found["layers"][0]["geometry"]
    call = found["provenance"]["call"]
    for words in ("effort='quick'", "seconds=50", "max_bytes=536870912"):
        assert words in call


@pytest.mark.parametrize("kind", [".npz", ".npy"])
@pytest.mark.parametrize("source", ["factory", "pt2", "onnx"])
def test_matrices(source: str, kind: str, files: Path, tmp_path: Path) -> None:
    path = tmp_path / f"matrix{kind}"
    assert main(["matrix", *_with_layer(SOURCES[source](files)), "--out", str(path)]) == 0
    found = sparse.load_npz(path).toarray() if kind == ".npz" else np.load(path)
    op = cs.analyze(small(), SHAPE)["4"].operator
    assert found == pytest.approx(op.to_dense().detach().numpy(), rel=1e-6)


def test_spectra(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = cs.analyze(small(), SHAPE)["4"]
    assert main(["spectrum", *_with_layer(SOURCES["pt2"](files))]) == 0
    values = [float(line) for line in capsys.readouterr().out.split()]
    assert values == pytest.approx(row.spectrum.values.tolist(), rel=1e-12)
    table, figure = tmp_path / "s.csv", tmp_path / "s.pdf"
    options = ["-k", "3", "--out", str(table), "--plot", str(figure)]
    assert main(["spectrum", *_with_layer(SOURCES["factory"](files)), *options]) == 0
    header, *lines = table.read_text().split()
    assert header == "singular_value"
    assert [float(x) for x in lines] == pytest.approx(values[:3], rel=1e-5)
    assert figure.read_bytes().startswith(b"%PDF")


def _with_layer(source: list[str]) -> list[str]:
    return [source[0], "4", *source[1:]]


# -- what goes wrong --------------------------------------------------------------------


WRONG: dict[str, tuple[list[str], str]] = {
    "no such source": (["analyze", "nonsense"], "a source must be a factory package"),
    "no such file": (["analyze", "nowhere.onnx"], "nowhere.onnx"),
    "no such module": (
        ["analyze", "nowhere.at.all:make"],
        "must be importable from here",
    ),
    "no such function": (["analyze", "tests.cli.models:nowhere"], "has no attribute"),
    "factory that raises": (
        ["analyze", "tests.cli.models:failing"],
        "RuntimeError: no such",
    ),
    "no module": (["analyze", "tests.cli.models:nothing"], "it made a int"),
    "no shape": (
        ["analyze", FACTORY],
        "give it without the batch, .* --input-shape 3,224",
    ),
    "wrong shape": (
        ["analyze", FACTORY, "--input-shape", "1,8,8"],
        "must run on its inputs",
    ),
    "no such layer": (
        ["analyze", FACTORY, "--input-shape", SIZES, "--layers", "features.*"],
        "'features.*' matches none; there are: 1, 4",
    ),
    "no such row": (
        ["spectrum", FACTORY, "features.0", "--input-shape", SIZES],
        "got 'features.0'; there are: 1, 4, 6",
    ),
    "missing folder": (
        ["analyze", FACTORY, "--input-shape", SIZES, "--json", "no/such/folder.json"],
        "the folder must exist: no/such",
    ),
    "neither sparse nor dense": (
        ["matrix", FACTORY, "4", "--input-shape", SIZES, "--out", "m.txt"],
        "must end in .npz, sparse, or .npy, dense",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line_and_status_2(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = WRONG[case]
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("convspec: error: ")
    assert re.search(words.replace("*'", r"\*'").replace(".npz", r"\.npz"), line)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--input-shape", "3x8x8"),
        ("--seconds", "-1"),
        ("--memory", "much"),
        ("--effort", "enormous"),
    ],
)
def test_bad_options(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["analyze", FACTORY, option, value])
    assert left.value.code == 2
    assert option in capsys.readouterr().err


def test_a_report_that_is_there_survives_a_failed_run(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("{}")
    assert main(["analyze", "tests.cli.models:failing", "--json", str(path)]) == 2
    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]


def test_factories_are_found_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Conv2d(1, 2, 3)\n"
    )
    done = _process(["analyze", "mine:net", "--input-shape", "1,6,6"], tmp_path)
    assert done.returncode == 0
    assert "1 convolution on input (1, 6, 6)" in done.stdout
    assert done.stderr == ""


def test_whoever_reads_may_stop(tmp_path: Path) -> None:
    code = "import sys; from convspec.cli import main; sys.exit(main(sys.argv[1:]))"
    command = f'"{sys.executable}" -c "{code}" spectrum {FACTORY} 1 --input-shape {SIZES}'
    done = subprocess.run(
        f"{command} | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert len(done.stdout.split()) == 1
    assert done.stderr == ""


def _process(arguments: list[str], folder: Path) -> Any:
    code = "import sys; from convspec.cli import main; sys.exit(main(sys.argv[1:]))"
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_run_says_how_long_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["tests.cli.models:small", "--input-shape", "3,8,8"]
    files = ["--json", str(tmp_path / "report.json"), "--figures", str(tmp_path / "f")]
    assert main(["analyze", *given, *files, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "analyze takes about" in printed
    assert "spectrum by dense" in printed
    assert list(tmp_path.iterdir()) == []
