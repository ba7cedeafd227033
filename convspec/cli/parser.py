"""What can be typed: commands, their options, and their help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convspec import __version__
from convspec.cli.analyze import run_analyze
from convspec.cli.check import run_check
from convspec.cli.completion import SHELLS, completion_script
from convspec.cli.demo import run_demo_command
from convspec.cli.network import run_lipschitz, run_verify
from convspec.cli.one_layer import run_matrix, run_spectrum
from convspec.network.lipschitz import METHODS
from convspec.report.check import RTOL
from convspec.report.limits import EFFORTS

__all__ = ["parser"]

SOURCE = (
    "a factory package.module:callable, an exported program .pt2, an ONNX file, a "
    "checkpoint .safetensors or .pth, or timm:NAME or torchvision:NAME"
)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``run``."""
    found = argparse.ArgumentParser(
        prog="convspec",
        description="What a convolution layer does to the signals that pass through it.",
    )
    found.add_argument("--version", action="version", version=__version__)
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _analyze(commands)
    _check(commands)
    _matrix(commands)
    _spectrum(commands)
    _lipschitz(commands)
    _verify(commands)
    _demo(commands)
    _completion(commands, found)
    return found


def _analyze(commands: Any) -> None:
    one = commands.add_parser(
        "analyze",
        help="a report of every convolution of a model",
        description="Report the norm, rank and condition number of every convolution of "
        "a model, exact or between certified ends. The table goes to standard output. "
        "Ctrl-C ends it with what is complete. "
        "Exit status: 0; 1 if rows failed; 2 on bad usage or input; 130 after Ctrl-C.",
    )
    _add_source(one)
    for name, what in (
        ("json", "everything, as JSON"),
        ("csv", "one line per layer"),
        ("html", "one page that needs nothing else"),
        ("latex", "a table for a paper"),
    ):
        one.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what}")
    one.add_argument(
        "--figures", type=Path, metavar="DIR", help="write figures into a folder"
    )
    _add_analysis(one)
    one.add_argument(
        "--quiet", action="store_true", help="no table, no progress: files alone"
    )
    one.set_defaults(run=run_analyze)


def _check(commands: Any) -> None:
    one = commands.add_parser(
        "check",
        help="whether every layer is certified to keep limits, for CI",
        description="Analyse a model and print each layer that is not certified to be "
        "within the limits, or that is another than in an earlier report. Exit status: "
        "0 if all hold; 1 if not; 2 on bad usage or input.",
    )
    _add_source(one)
    for name, what in (
        ("norm", "norm sigma_1"),
        ("worst-case", "supremum of sigma_1 over input sizes"),
        ("condition", "condition number"),
    ):
        one.add_argument(
            f"--max-{name}", type=_positive, metavar="X", help=f"largest {what}"
        )
    one.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="an earlier report, of analyze --json",
    )
    one.add_argument(
        "--rtol",
        type=_positive,
        default=RTOL,
        metavar="X",
        help=f"relative change of a norm that is none (default: {RTOL})",
    )
    _add_analysis(one)
    one.add_argument("--quiet", action="store_true", help="findings alone")
    one.set_defaults(run=run_check)


def _add_analysis(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--layers",
        action="append",
        metavar="PATTERN",
        help="only layers of this name or pattern, 'features.*'; may be repeated",
    )
    one.add_argument(
        "--effort",
        choices=tuple(EFFORTS),
        default="default",
        help="how hard to try: sigma_1 to a relative 1e-2, 1e-4 (default) or 1e-6",
    )
    one.add_argument(
        "--seconds", type=_positive, metavar="S", help="about when to end in any case"
    )
    one.add_argument("--linear", action="store_true", help="linear layers are rows, too")
    one.add_argument(
        "--fold-batch-norm",
        action="store_true",
        help="batch norm behind a convolution is part of it",
    )
    one.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on where an analysis ended: results are stored in DIR and found there",
    )


def _matrix(commands: Any) -> None:
    one = commands.add_parser(
        "matrix",
        help="the matrix of one layer, as a file",
        description="Write the matrix of a layer: .npz is a sparse CSR array, which "
        "scipy.sparse.load_npz reads, .npy a dense one.",
    )
    _add_source(one)
    _add_layer(one)
    one.add_argument(
        "--out", type=Path, metavar="FILE", required=True, help="file .npz or .npy"
    )
    one.set_defaults(run=run_matrix)


def _spectrum(commands: Any) -> None:
    one = commands.add_parser(
        "spectrum",
        help="the singular values of one layer",
        description="Print the singular values of a layer, one in a line, descending; "
        "or write them.",
    )
    _add_source(one)
    _add_layer(one)
    one.add_argument("-k", type=_count, metavar="N", help="the N largest alone")
    one.add_argument("--out", type=Path, metavar="FILE", help="write them as CSV")
    one.add_argument("--plot", type=Path, metavar="FILE", help="draw them: .png, .pdf")
    one.set_defaults(run=run_spectrum)


def _lipschitz(commands: Any) -> None:
    one = commands.add_parser(
        "lipschitz",
        help="the Lipschitz constant of a network",
        description="Enclose the Lipschitz constant of a network, l2 to l2, between "
        "certified ends, and print how they were found. Ctrl-C ends the search; the best "
        "by then is printed. Exit status: 0; 2 on bad usage or input.",
    )
    _add_model(one)
    one.add_argument(
        "--seconds", type=_positive, metavar="S", help="about how long (default: 60)"
    )
    one.add_argument(
        "--method",
        choices=METHODS,
        default="auto",
        help="all that apply (auto, default), products of norms alone (scalar), or "
        "besides ellipsoids on a torus (ellipsoid) or of plain vectors (dense)",
    )
    one.add_argument(
        "--domain",
        type=_ends,
        metavar="LOW,HIGH",
        help="inputs lie between these, 0,1; one for each channel as '0,0,0;1,1,2', and "
        "below 0 with an equals sign, --domain=-1,1 (default: all inputs)",
    )
    for name, what in (
        ("certificate", "what proves the bound, for convspec verify"),
        ("json", "ends and steps, as JSON"),
        ("html", "one page that needs nothing else"),
        ("figure", "the steps, drawn: .png, .pdf"),
    ):
        one.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what}")
    one.add_argument(
        "--quiet", action="store_true", help="no table, no progress: files alone"
    )
    one.set_defaults(run=run_lipschitz, geometry=None, memory=None)


def _verify(commands: Any) -> None:
    one = commands.add_parser(
        "verify",
        help="check the certificate of a network's Lipschitz constant",
        description="Check a certificate in one passage through the network, without a "
        "search, and print the bound. Exit status: 0; 2 if it is refused.",
    )
    one.add_argument(
        "certificate", type=Path, metavar="FILE", help="of lipschitz --certificate"
    )
    _add_model(one)
    one.set_defaults(run=run_verify, geometry=None, memory=None)


def _demo(commands: Any) -> None:
    one = commands.add_parser(
        "demo",
        help="report and figures of a pretrained network",
        description="Analyse MobileNetV2 with its ImageNet weights (fetched on first "
        "use), or a small embedded network where they cannot be had.",
    )
    one.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder to write (default: demo)",
    )
    one.add_argument(
        "--offline", action="store_true", help="fetch nothing: the embedded network"
    )
    one.set_defaults(run=run_demo_command)


def _completion(commands: Any, whole: argparse.ArgumentParser) -> None:
    one = commands.add_parser(
        "completion",
        help="a script by which a shell completes commands, options and files",
        description="Print a script for a shell. For bash: convspec completion bash > "
        "~/.local/share/bash-completion/completions/convspec; for zsh: into a file "
        "_convspec in a folder of $fpath.",
    )
    one.add_argument("shell", choices=SHELLS, help="which")

    def run(options: argparse.Namespace) -> int:
        print(completion_script(whole, options.shell))
        return 0

    one.set_defaults(run=run)


def _add_source(one: argparse.ArgumentParser) -> None:
    _add_model(one)
    one.add_argument(
        "--geometry",
        type=Path,
        metavar="FILE",
        help="TOML file with strides, paddings and sizes for a bare checkpoint",
    )
    one.add_argument(
        "--memory", type=_positive, metavar="GIB", help="memory per layer (default: 2)"
    )


def _add_model(one: argparse.ArgumentParser) -> None:
    one.add_argument("source", metavar="SOURCE", help=SOURCE)
    one.add_argument(
        "--input-shape",
        type=_shape,
        metavar="3,224,224",
        help="shape of the input without the batch; several inputs: '3,8,8;5'",
    )
    one.add_argument(
        "--weights", type=Path, metavar="FILE", help="checkpoint of a factory's model"
    )


def _add_layer(one: argparse.ArgumentParser) -> None:
    one.add_argument("layer", metavar="LAYER", help="name of a row of analyze")


def _ends(text: str) -> tuple[Any, Any]:
    """``low,high``, or ``low;high`` with one number for each channel."""
    low, high = text.split(";") if ";" in text else text.split(",")
    ends = [[float(each) for each in end.split(",")] for end in (low, high)]
    first, second = (end[0] if len(end) == 1 else end for end in ends)
    return first, second


def _shape(text: str) -> tuple[Any, ...]:
    """``3,224,224`` or several of them, apart by semicolons."""
    try:
        shapes = [tuple(int(n) for n in part.split(",")) for part in text.split(";")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a shape is integers with commas between them, 3,224,224; got {text!r}"
        ) from None
    return shapes[0] if len(shapes) == 1 else tuple(shapes)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number; got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer; got {text!r}")
    return int(text)
