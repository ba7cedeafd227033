"""``convspec lipschitz`` and ``convspec verify``."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

import convspec as cs
from convspec.cli import main, network
from convspec.network.result import NetworkBound, Step
from tests.network.networks import IMAGE, convolutional

SOURCE = "tests.network.networks:convolutional"
LIPSCHITZ = ["lipschitz", SOURCE, "--input-shape", "1,8,8"]
QUICK = [*LIPSCHITZ, "--seconds", "1"]


@pytest.fixture(autouse=True)
def plain_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich must not take the streams of the tests for a terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the library is asked for; nothing is computed."""
    seen: list[dict[str, Any]] = []

    def stub(opened: Any, **options: Any) -> NetworkBound:
        seen.append({"model": opened, **options})
        options["progress"]("product", 3.0)
        return NetworkBound(1.0, 3.0, (Step("product", 3.0, 0.1, "norms"),))

    monkeypatch.setattr(network, "lipschitz", stub)
    return seen


# -- lipschitz --------------------------------------------------------------------------


DOMAINS: dict[str, tuple[str, Any]] = {
    "numbers": ("0,1", (0.0, 1.0)),
    "below 0": ("-1.5,2e-3", (-1.5, 2e-3)),
    "channels": ("0,-1;1,2", ([0.0, -1.0], [1.0, 2.0])),
    "one and channels": ("0;1,2", (0.0, [1.0, 2.0])),
}


@pytest.mark.parametrize("case", DOMAINS)
def test_domains(case: str, asked: list[dict[str, Any]]) -> None:
    text, ends = DOMAINS[case]
    shape = "2,8,8" if ";" in text else "1,8,8"
    assert main(["lipschitz", SOURCE, "--input-shape", shape, f"--domain={text}"]) == 0
    assert asked[0]["domain"] == ends


@pytest.mark.parametrize("text", ["0", "0,1,2", "a,b", "0;1;2", ""])
def test_no_domains(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*QUICK, f"--domain={text}"])
    assert left.value.code == 2
    assert "argument --domain" in capsys.readouterr().err


def test_a_product_of_data_on_a_domain(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["lipschitz", "tests.cli.models:squared", "--input-shape", "3"]
    assert main([*command, "--domain=-2,1", "--seconds", "1"]) == 0
    assert "inputs between -2 and 1" in capsys.readouterr().out


def test_it_prints_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(QUICK) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # nothing in a pipe
    first, *rows = printed.out.splitlines()
    low, high = re.fullmatch(r"(\S+) <= L <= (\S+)  \(l2 to l2, .*\)", first).groups()
    assert 0 < float(low) <= float(high)
    assert rows[0].split()[0] == "product"
    assert rows[-1].split()[:2] == ["a", "pair"]


def test_all_files_are_written_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "certificate": "net.certificate",
        "json": "b.json",
        "html": "b.html",
        "figure": "b.png",
    }
    options = [
        x for kind, name in names.items() for x in (f"--{kind}", str(tmp_path / name))
    ]
    assert main([*QUICK, *options]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "wrote " + ", ".join(
        str(tmp_path / name) for name in names.values()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())
    found = json.loads((tmp_path / "b.json").read_text())
    assert imread(tmp_path / "b.png").std() > 0.05
    assert f"<h1>{SOURCE}</h1>" in (tmp_path / "b.html").read_text(encoding="utf-8")
    assert main(["verify", str(tmp_path / "net.certificate"), SOURCE]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    upper = float(printed.out.split()[4])
    assert found["upper"] <= upper <= found["upper"] * (1 + 3e-5)  # six digits
    assert "checked in one passage" in printed.out


def test_quiet_is_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.json"
    assert main([*QUICK, "--method", "scalar", "--quiet", "--json", str(path)]) == 0
    assert capsys.readouterr() == ("", "")
    steps = json.loads(path.read_text())["steps"]
    assert [step["name"] for step in steps] == ["product", "fused", "LipLT"]


def test_figures_of_other_kinds(tmp_path: Path, asked: list[Any]) -> None:
    path = tmp_path / "b.pdf"
    assert main([*LIPSCHITZ, "--figure", str(path)]) == 0
    assert path.read_bytes().startswith(b"%PDF")


def test_names_are_text_in_the_page(
    tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a source may be code elsewhere."""
    path, hostile = tmp_path / "b.html", "<img src=x onerror=alert(1)>"
    opened = cs.open_model(SOURCE, input_shape=IMAGE)
    monkeypatch.setattr(network, "opened_source", lambda options: (opened, None))
    assert main(["lipschitz", hostile, "--quiet", "--html", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert hostile not in text
    assert "<h1>&lt;img src=x onerror=alert(1)&gt;</h1>" in text


def test_a_page_needs_its_extra_before_the_search(
    tmp_path: Path,
    asked: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    path = tmp_path / "b.html"
    words = r"jinja2 must .*convspec\[html\]"
    assert assert_one_line([*LIPSCHITZ, "--html", str(path)], words, capsys) == ""
    assert not asked
    assert not path.exists()


def test_options_reach_the_library(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    model = convolutional()
    torch.save({key: 2 * value for key, value in model.state_dict().items()}, weights)
    options = ["--seconds", "7", "--method", "dense", "--weights", str(weights)]
    assert main([*LIPSCHITZ, *options]) == 0
    assert main(LIPSCHITZ) == 0
    first, second = asked
    assert (first["seconds"], first["method"]) == (7.0, "dense")
    assert (second["seconds"], second["method"]) == (None, "auto")
    opened = first["model"]
    assert opened.input_shape == IMAGE
    assert torch.equal(opened.model[0].weight, 2 * model[0].weight)


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from convspec.progress import best_so_far

    stream = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", stream)
    with best_so_far() as progress:
        progress("first ellipsoid", 1.23456789)
    assert "L <= 1.23457, done: first ellipsoid" in stream.getvalue()
    stream.truncate(0)
    with best_so_far(shown=False) as progress:
        progress("ellipsoid", 1.0)
    assert "ellipsoid" not in stream.getvalue()


PROGRAM = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs may ignore it
from convspec.cli import main, network

def told(*arguments, **options):
    progress = options["progress"]
    def also(name, upper):
        progress(name, upper)
        print(name, file=sys.stderr, flush=True)
    return library(*arguments, **{**options, "progress": also})

library, network.lipschitz = network.lipschitz, told
sys.exit(main(sys.argv[1:]))
"""


def test_control_c_prints_the_best_so_far(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    arguments = [*LIPSCHITZ, "--seconds", "300", "--json", str(path)]
    begun = time.monotonic()
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        for line in running.stderr:
            if line.strip() == "first ellipsoid":
                break
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=100)
    assert running.returncode == 0, err
    assert time.monotonic() - begun < 100
    assert "interrupted: what was found before holds" in out
    found = json.loads(path.read_text())
    assert "first ellipsoid" in [step["name"] for step in found["steps"]]
    assert found["upper"] == min(
        step["upper"] for step in found["steps"] if step["upper"] != "inf"
    )


def test_control_c_before_there_is_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stub(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(network, "lipschitz", stub)
    assert main(LIPSCHITZ) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "convspec: error: interrupted before there was a bound\n"


# -- what goes wrong --------------------------------------------------------------------


def assert_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> str:
    """Status 2 and one line with these words; what went to standard output."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("convspec: error: ")
    assert re.search(words, line)
    return printed.out


WRONG: dict[str, tuple[list[str], str]] = {
    "no shape": (["lipschitz", SOURCE], "the shape of one input must be known"),
    "two inputs": (
        ["lipschitz", SOURCE, "--input-shape", "1,8,8;3"],
        "takes models of one input",
    ),
    "wrong shape": (
        ["lipschitz", SOURCE, "--input-shape", "2,8,8"],
        "must run on its inputs",
    ),
    "no such source": (["lipschitz", "nonsense"], "a source must be a factory package"),
    "no constant": (
        ["lipschitz", "tests.cli.models:squared", "--input-shape", "3"],
        r"models\.py:\d+",
    ),
    "crossed domain": (
        [*LIPSCHITZ, "--domain", "1,0"],
        r"domain must have low <= high in each entry; got \(1.0, 0.0\)",
    ),
    "domain of too many channels": (
        [*LIPSCHITZ, "--domain", "0,0;1"],
        "domain's low must be a finite number, one for each of 1 channels",
    ),
    "scalar certificate": (
        [*LIPSCHITZ, "--method", "scalar", "--certificate", "c"],
        "with --method scalar there is none",
    ),
    "missing folder": (
        [*LIPSCHITZ, "--certificate", "no/such/folder.certificate"],
        "the folder must exist: no/such",
    ),
    "no folder for a page": (
        [*LIPSCHITZ, "--html", "no/such/page.html"],
        "the folder must exist: no/such",
    ),
    "no figure": ([*LIPSCHITZ, "--figure", "b.txt"], "a figure must end in one of"),
    "no certificate": (["verify", "nowhere", SOURCE], "nowhere cannot be read"),
    "a folder": (["verify", ".", SOURCE], "cannot be read"),
    "no model": (["verify", "nowhere", "nonsense"], "a source must be a factory"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line_and_status_2(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assert_one_line(*WRONG[case], capsys) == ""


def test_certificates_of_another_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.certificate"
    cs.lipschitz(convolutional(), IMAGE, seconds=1, lower=False).save(path)
    source = ["verify", str(path), "tests.network.networks:perceptron"]
    assert assert_one_line(source, "must run on its inputs", capsys) == ""
    weights = tmp_path / "w.pt"
    state = convolutional().state_dict()
    state["0.weight"] = -state["0.weight"]
    torch.save(state, weights)
    source = ["verify", str(path), SOURCE, "--weights", str(weights)]
    assert assert_one_line(source, "holds for one network", capsys) == ""
    path.write_bytes(path.read_bytes()[:-1])
    words = "damaged or none"
    assert assert_one_line(["verify", str(path), SOURCE], words, capsys) == ""


def test_a_product_is_printed_and_has_no_certificate(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was computed is kept, and a file that was there."""
    certificate, report = tmp_path / "net.certificate", tmp_path / "b.json"
    certificate.write_text("mine")
    options = ["--certificate", str(certificate), "--json", str(report)]
    out = assert_one_line([*LIPSCHITZ, *options], "holds the multipliers", capsys)
    assert out.startswith("1 <= L <= 3")
    assert json.loads(report.read_text())["upper"] == 3.0
    assert certificate.read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seconds", "0"), ("--method", "magic"), ("--input-shape", "1x8x8")],
)
def test_bad_options(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*LIPSCHITZ, option, value])
    assert left.value.code == 2
    assert option in capsys.readouterr().err
