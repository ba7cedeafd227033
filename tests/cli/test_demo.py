"""The command line: exit status, what goes to which stream, errors in one line."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.image import imread

import convspec as cs
from convspec.cli import main
from convspec.demo import run
from convspec.demo.mobilenet import MobileNetV2
from convspec.errors import ConvSpecError, UnreadableModel
from convspec.extras import MissingExtra
from tests.demo_files import FILES

LAYERS = ["dense", "depthwise", "pointwise", "dilated", "strided", "transposed"]


@pytest.fixture(scope="module", autouse=True)
def plain_streams() -> Iterator[None]:
    """Rich must not take the streams of the tests for a terminal."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        yield


class Outcome(NamedTuple):
    status: int
    out: str
    err: str
    folder: Path
    figures: list[int]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """``convspec demo --offline``, once for all tests that read what it wrote."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    before = plt.get_fignums()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["demo", "--offline", "--out", str(folder)])
    figures = [number for number in plt.get_fignums() if number not in before]
    return Outcome(status, out.getvalue(), err.getvalue(), folder, figures)


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[run.Network, Path]]:
    """What the command line asks ``run_demo`` for; nothing is analysed."""
    seen: list[tuple[run.Network, Path]] = []

    def stub(network: run.Network, folder: Path, progress: Any) -> Any:
        seen.append((network, folder))
        progress(0, 1, "layer")
        progress(1, 1, "")
        return "THE REPORT", [folder / "one", folder / "two"]

    monkeypatch.setattr(run, "run_demo", stub)
    return seen


def raising(error: BaseException) -> Any:
    def stub(*_: Any, **__: Any) -> NoReturn:
        raise error

    return stub


# -- arguments --------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(["--version"])
    assert info.value.code == 0
    assert capsys.readouterr() == (f"{cs.__version__}\n", "")


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(["--help"])
    assert info.value.code == 0
    out, err = capsys.readouterr()
    assert "demo" in out
    assert err == ""


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["demo", "--bogus"], ["demo", "--out"], ["demo", "extra"]],
    ids=" ".join,
)
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: convspec")
    assert "error:" in err.splitlines()[-1]


def test_arguments_default_to_those_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["convspec", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == f"{cs.__version__}\n"


def test_folder_is_demo_by_default(analysed: list[Any]) -> None:
    assert main(["demo", "--offline"]) == 0
    assert [folder for _, folder in analysed] == [Path("demo")]


# -- the demo ---------------------------------------------------------------------------


def test_demo_succeeds_and_writes_its_files(demo: Outcome) -> None:
    assert demo.status == 0
    assert sorted(path.name for path in demo.folder.iterdir()) == sorted(FILES)
    assert demo.figures == []  # none left open


def test_demo_prints_the_table_to_standard_output(demo: Outcome) -> None:
    title, _, header, rule, *rows = demo.out.splitlines()
    assert title == "digits CNN (embedded)"
    assert header.split()[:2] == ["layer", "kernel"]
    assert set(rule) == {"-"}
    assert [row.split()[0] for row in rows[: len(LAYERS)]] == LAYERS
    layers = json.loads((demo.folder / "report.json").read_text())["layers"]
    for row, layer in zip(rows, layers, strict=False):
        assert f" {layer['norm']:.4g} " in row
        assert f" {layer['rank']} " in row
    assert "6 convolutions on input (1, 8, 8): 6 with their exact spectrum" in demo.out


def test_demo_says_last_what_it_wrote(demo: Outcome) -> None:
    paths = ", ".join(str(demo.folder / name) for name in FILES)
    assert demo.out.splitlines()[-1] == f"wrote {paths}"


def test_the_notice_goes_to_standard_error_and_no_bar_to_a_pipe(demo: Outcome) -> None:
    assert demo.err == "offline: the embedded network instead of MobileNetV2\n"
    assert "offline" not in demo.out


def test_demo_writes_numbers_of_every_layer(demo: Outcome) -> None:
    found = json.loads((demo.folder / "report.json").read_text())
    assert [layer["name"] for layer in found["layers"]] == LAYERS
    assert all(layer["norm"] > 0 for layer in found["layers"])
    lines = (demo.folder / "layers.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["name", *LAYERS]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("png")])
def test_demo_draws_pictures(demo: Outcome, name: str) -> None:
    picture = imread(demo.folder / name)
    height, width, channels = picture.shape
    assert min(height, width) > 300
    assert channels in (3, 4)
    assert picture[..., :3].std() > 0.01  # not a white page


# -- the network ------------------------------------------------------------------------


def test_offline_fetches_nothing(
    analysed: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "load_mobilenet", raising(AssertionError("fetched")))
    assert main(["demo", "--offline"]) == 0
    assert analysed[0][0].name == "digits CNN (embedded)"
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "digits CNN (embedded)",
        "",
        "THE REPORT",
        "",
        f"wrote {Path('demo', 'one')}, {Path('demo', 'two')}",
    ]
    assert err.startswith("offline: ")


def test_embedded_network_where_fetching_fails(
    analysed: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failure = raising(UnreadableModel("the weights must be there; connect"))
    monkeypatch.setattr(run, "load_mobilenet", failure)
    assert main(["demo"]) == 0
    assert analysed[0][0].name == "digits CNN (embedded)"
    out, err = capsys.readouterr()
    first, second, *_ = err.splitlines()
    assert first == "the weights must be there; connect"
    assert second == "Going on with the embedded network instead of MobileNetV2."
    assert "weights" not in out
    assert out.startswith("digits CNN (embedded)\n")


def test_mobilenet_where_it_can_be_had(
    analysed: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with torch.device("meta"):
        model = MobileNetV2()
    monkeypatch.setattr(run, "load_mobilenet", lambda cache=None: model)
    assert main(["demo"]) == 0
    assert analysed[0][0].model is model
    out, err = capsys.readouterr()
    assert out.startswith("MobileNetV2 (ImageNet)\n")
    assert "embedded" not in out + err


# -- errors -----------------------------------------------------------------------------


def assert_fails_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> str:
    """The message; nothing on standard output, no traceback."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert [line for line in lines if "convspec: error:" in line] == lines[-1:]
    return lines[-1].removeprefix("convspec: error: ")


@pytest.mark.parametrize(
    "error",
    [
        ConvSpecError("boom"),
        UnreadableModel("boom"),
        cs.TooLargeError("boom"),
        cs.GeometryError("boom"),
        MissingExtra("boom"),
        OSError("boom"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_on_purpose_are_one_line(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "run_demo", raising(error))
    assert assert_fails_in_one_line(["demo", "--offline"], capsys) == "boom"


def test_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_demo", raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["demo", "--offline"])


@pytest.mark.parametrize("inside", [False, True], ids=["a-file", "inside-a-file"])
def test_folder_that_cannot_be_written(
    inside: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "taken"
    file.write_text("mine")
    folder = file / "demo" if inside else file
    message = assert_fails_in_one_line(
        ["demo", "--offline", "--out", str(folder)], capsys
    )
    assert "taken" in message
    assert file.read_text() == "mine"


@pytest.mark.parametrize("module", ["rich.progress", "rich.console", "safetensors.torch"])
def test_missing_packages_name_the_extra(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = assert_fails_in_one_line(["demo", "--offline"], capsys)
    assert message.startswith(module)
    assert message.endswith("install convspec[cli]")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the layer, and says how long it may take."""
    from convspec.progress import progress_bar

    stream = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar() as progress:
        progress(1, 4, "features.0: norm")
        progress(4, 4, "")
    assert "features.0: norm" in stream.getvalue() or "done" in stream.getvalue()
    assert "100%" in stream.getvalue()
    stream.truncate(0)
    with progress_bar(shown=False) as progress:
        progress(1, 4, "features.0: norm")
    assert "features" not in stream.getvalue()
