"""``convspec analyze``: a report as a table, and in files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convspec.cache import Store
from convspec.cli.figures import write_figures
from convspec.cli.source import opened_source
from convspec.errors import Interrupted
from convspec.forecast.forecast import Forecast
from convspec.progress import progress_bar
from convspec.report.analyze import analyze
from convspec.report.estimate import estimate
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport
from convspec.report.terminal import print_report
from convspec.written import require_writable, write_text

__all__ = ["analysed", "run_analyze"]

ROWS_FAILED = 1
WRITERS: dict[str, Callable[[ModelReport, Path], object]] = {
    "json": ModelReport.to_json,
    "csv": ModelReport.to_csv,
    "html": ModelReport.to_html,
    "latex": lambda report, path: write_text(path, report.to_latex() + "\n"),
}


def run_analyze(options: argparse.Namespace) -> int:
    """Analyse a source; 1 if a row failed."""
    if options.dry_run:
        print(_foreseen(options))
        return 0
    files = {name: path for name in WRITERS if (path := getattr(options, name))}
    for path in files.values():
        require_writable(path)
    if options.figures:
        options.figures.mkdir(parents=True, exist_ok=True)
    try:
        report = analysed(options)
    except Interrupted as interrupt:
        if not options.quiet:  # at once: files may take a while
            print_report(interrupt.report)
            sys.stdout.flush()
        _tell(_written(interrupt.report, files, options), options)
        raise
    written = _written(report, files, options)
    if not options.quiet:
        print_report(report)
    _tell(written, options)
    return ROWS_FAILED if any(map(_failed, report)) else 0


def _written(
    report: ModelReport, files: dict[str, Path], options: argparse.Namespace
) -> list[Path]:
    """Write what was asked for."""
    for name, path in files.items():
        WRITERS[name](report, path)
    figures = write_figures(report, options.figures) if options.figures else []
    return [*files.values(), *figures]


def _tell(written: list[Path], options: argparse.Namespace) -> None:
    if written and not options.quiet:
        print("\nwrote " + ", ".join(map(str, written)))


def analysed(options: argparse.Namespace) -> ModelReport:
    """The report of what was typed.

    Raises:
        Interrupted: At Ctrl-C, at once.
    """
    if options.resume:
        Store.at(options.resume)  # refused before long work
    opened, max_bytes = opened_source(options)
    with progress_bar(not options.quiet) as progress:
        return analyze(
            opened,
            seconds=options.seconds,
            max_bytes=max_bytes,
            progress=progress,
            **_settings(options),
        )


def _foreseen(options: argparse.Namespace) -> Forecast:
    """What the analysis is expected to take."""
    opened, max_bytes = opened_source(options)
    return estimate(opened, max_bytes=max_bytes, **_settings(options))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What an analysis and what is said before it hang on."""
    return {
        "effort": options.effort,
        "layers": options.layers,
        "linear": options.linear,
        "fold_batch_norm": options.fold_batch_norm,
        "cache": options.resume,
    }


def _failed(row: LayerReport) -> bool:
    """Whether a step of a row failed, or it has no number at all."""
    return row.error is not None or (row.operator is None and row.reshaped is None)
