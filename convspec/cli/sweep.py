"""``convspec sweep``: many checkpoints of one model, as one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convspec.cache import Store
from convspec.cli.figures import kind_of_figure, picture
from convspec.cli.source import held_bytes
from convspec.extras import import_extra
from convspec.progress import progress_bar
from convspec.report.quantities import QUANTITIES
from convspec.sweeps.checkpoints import matching
from convspec.sweeps.result import Sweep
from convspec.sweeps.rows import has_failed
from convspec.sweeps.run import sweep
from convspec.written import require_writable, write_bytes

__all__ = ["QUANTITY", "QUANTITY_NAMES", "run_sweep"]

PARTLY = 1
QUANTITY = "norm"
QUANTITY_NAMES = (*(q.name for q in QUANTITIES), "worst_case", "frobenius_norm")


def run_sweep(options: argparse.Namespace) -> int:
    """Sweep checkpoints; 1 if some could not be analysed, or rows failed."""
    _require(options)
    found = _swept(options)
    for name, why in found.failed.items():
        print(f"convspec: not analysed: {name}: {why}", file=sys.stderr)
    if options.html:
        found.to_html(options.html)
    if options.figure:
        _draw(found, options.quantity, options.figure)
    if not options.quiet:
        written = filter(None, (options.out, options.html, options.figure))
        print(f"{found}\n\nwrote " + ", ".join(map(str, written)))
    return PARTLY if found.failed or any(map(has_failed, found.rows)) else 0


def _require(options: argparse.Namespace) -> None:
    """Refuse what could not be written, before long work."""
    for path in filter(None, (options.out, options.html, options.figure)):
        require_writable(path)
    if options.figure:
        kind_of_figure(options.figure)
    if options.html:
        import_extra("jinja2", "html")
    if options.resume:
        Store.at(options.resume)


def _swept(options: argparse.Namespace) -> Sweep:
    with progress_bar(not options.quiet) as progress:
        try:
            return sweep(
                matching(options.checkpoints),
                options.model,
                options.input_shape,
                out=options.out,
                cache=options.resume,
                progress=progress,
                max_bytes=held_bytes(options),
                effort=options.effort,
                seconds=options.seconds,
                layers=options.layers,
                linear=options.linear,
                fold_batch_norm=options.fold_batch_norm,
            )
        except KeyboardInterrupt:
            print("convspec: the same command goes on where it was", file=sys.stderr)
            raise


def _draw(found: Sweep, quantity: str, path: Path) -> None:
    kind = kind_of_figure(path)
    write_bytes(path, picture(lambda ax: found.plot(quantity, ax=ax), kind))
