"""The command line: parse, call, print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from convspec import __version__
from convspec.errors import ConvSpecError
from convspec.extras import import_extra
from convspec.report.stages import Progress
from convspec.report.terminal import print_report

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 on success, 2 on bad usage or input."""
    options = _parser().parse_args(arguments)
    try:
        _demo(options)
    except (ConvSpecError, OSError) as error:
        print(f"convspec: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convspec",
        description="What a convolution layer does to the signals that pass through it.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="report and figures of a pretrained network",
        description="Analyse MobileNetV2 with its ImageNet weights (fetched on first "
        "use), or a small embedded network where they cannot be had.",
    )
    demo.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder to write (default: demo)"
    )
    demo.add_argument(
        "--offline", action="store_true", help="fetch nothing: the embedded network"
    )
    return parser


def _demo(options: argparse.Namespace) -> None:
    from convspec.demo.run import choose_network, run_demo

    with _progress_bar() as progress:
        network = choose_network(options.offline)
        if network.notice:
            print(network.notice, file=sys.stderr)
        report, files = run_demo(network, options.out, progress)
    print(f"{network.name}\n")
    print_report(report)
    print("\nwrote " + ", ".join(map(str, files)))


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """A callback that shows layers done on standard error."""
    rich_progress = import_extra("rich.progress", "cli")
    console = import_extra("rich.console", "cli").Console(stderr=True)
    with rich_progress.Progress(
        *rich_progress.Progress.get_default_columns(),
        rich_progress.TimeElapsedColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("analysing", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name or "done")

        yield show
