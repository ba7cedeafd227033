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
from convspec.cli.options import (
    add_analysis,
    add_input_shape,
    add_layer,
    add_memory,
    add_model,
    add_source,
    count,
    ends,
    positive,
)
from convspec.cli.sweep import QUANTITY, QUANTITY_NAMES, run_sweep
from convspec.network.lipschitz import METHODS
from convspec.report.check import RTOL

__all__ = ["parser"]


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
    _sweep(commands)
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
    add_source(one)
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
    add_analysis(one)
    one.add_argument(
        "--quiet", action="store_true", help="no table, no progress: files alone"
    )
    one.add_argument(
        "--dry-run",
        action="store_true",
        help="say how long each layer takes and what it holds, and write nothing",
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
    add_source(one)
    for name, what in (
        ("norm", "norm sigma_1"),
        ("worst-case", "supremum of sigma_1 over input sizes"),
        ("condition", "condition number"),
    ):
        one.add_argument(
            f"--max-{name}", type=positive, metavar="X", help=f"largest {what}"
        )
    one.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="an earlier report, of analyze --json",
    )
    one.add_argument(
        "--rtol",
        type=positive,
        default=RTOL,
        metavar="X",
        help=f"relative change of a norm that is none (default: {RTOL})",
    )
    add_analysis(one)
    one.add_argument("--quiet", action="store_true", help="findings alone")
    one.set_defaults(run=run_check)


def _sweep(commands: Any) -> None:
    one = commands.add_parser(
        "sweep",
        help="many checkpoints of one model, as one table",
        description="Analyse all checkpoints of a training: a Parquet file with one row "
        "for each checkpoint and layer, and how norms went on standard output. What is "
        "done is stored and found again: a sweep that was killed goes on, and one with "
        "new checkpoints computes these alone. Exit status: 0; 1 if checkpoints or rows "
        "failed; 2 on bad usage or input, or if all checkpoints failed.",
    )
    one.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="files or patterns, 'run1/*.safetensors'; epoch2 comes before epoch10",
    )
    one.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="a factory package.module:callable, or timm:NAME or torchvision:NAME",
    )
    add_input_shape(one)
    for name, needed, what in (
        ("out", True, "the table: Parquet, which convspec.read_sweep reads"),
        ("html", False, "one page with figures of each layer"),
        ("figure", False, "a quantity of all layers, drawn: .png, .pdf, .svg"),
    ):
        one.add_argument(
            f"--{name}",
            type=Path,
            metavar="FILE",
            required=needed,
            help=f"write {what}",
        )
    one.add_argument(
        "--quantity",
        choices=QUANTITY_NAMES,
        default=QUANTITY,
        metavar="NAME",
        help=f"what --figure shows, of {', '.join(QUANTITY_NAMES)} (default: {QUANTITY})",
    )
    add_memory(one)
    add_analysis(one)
    one.add_argument(
        "--quiet", action="store_true", help="no table, no progress: files alone"
    )
    one.set_defaults(run=run_sweep)


def _matrix(commands: Any) -> None:
    one = commands.add_parser(
        "matrix",
        help="the matrix of one layer, as a file",
        description="Write the matrix of a layer: .npz is a sparse CSR array, which "
        "scipy.sparse.load_npz reads, .npy a dense one.",
    )
    add_source(one)
    add_layer(one)
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
    add_source(one)
    add_layer(one)
    one.add_argument("-k", type=count, metavar="N", help="the N largest alone")
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
    add_model(one)
    one.add_argument(
        "--seconds", type=positive, metavar="S", help="about how long (default: 60)"
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
        type=ends,
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
    add_model(one)
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
