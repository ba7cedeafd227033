"""``convspec lipschitz`` and ``convspec verify``: a network as a whole."""

from __future__ import annotations

import argparse
from pathlib import Path

from convspec.cli.figures import kind_of_figure, picture
from convspec.cli.source import opened_source
from convspec.errors import ConvSpecError, NotApplicable
from convspec.extras import import_extra
from convspec.network.asked import opened
from convspec.network.domain import domain_of
from convspec.network.lipschitz import lipschitz
from convspec.network.result import NetworkBound
from convspec.network.verify import verify
from convspec.progress import best_so_far
from convspec.written import require_writable, write_bytes

__all__ = ["run_lipschitz", "run_verify"]

ROW_INCHES, LEAST_INCHES = 0.3, 1.6


def run_lipschitz(options: argparse.Namespace) -> int:
    """Bound a network, print how, and write what was asked for."""
    files = [options.certificate, options.json, options.html, options.figure]
    for path in filter(None, files):
        require_writable(path)
    kind = kind_of_figure(options.figure) if options.figure else ""
    if options.certificate and options.method == "scalar":
        raise NotApplicable(
            "a certificate holds the multipliers of an ellipsoid; with --method scalar "
            "there is none"
        )
    if options.html:  # before the search rather than behind it
        import_extra("jinja2", "html")
    bound = _bounded(options)
    if not options.quiet:
        print(bound)
    if options.json:
        bound.to_json(options.json)
    if options.html:
        bound.to_html(options.html, title=options.source)
    if options.figure:
        _draw(bound, options.figure, kind)
    if options.certificate:  # last, as a product of norms has none
        bound.save(options.certificate)
    if not options.quiet and any(files):
        print("\nwrote " + ", ".join(str(path) for path in files if path))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """Check a certificate and print what it proves."""
    source, _ = opened_source(options)
    print(verify(options.certificate, source))
    return 0


def _bounded(options: argparse.Namespace) -> NetworkBound:
    source, _ = opened_source(options)
    if options.domain is not None:
        _, shape = opened(source, None, "lipschitz")
        try:
            domain_of(options.domain, shape)
        except ValueError as error:
            raise ConvSpecError(str(error)) from error
    try:
        with best_so_far(not options.quiet) as progress:
            return lipschitz(
                source,
                method=options.method,
                seconds=options.seconds,
                domain=options.domain,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise ConvSpecError("interrupted before there was a bound") from None


def _draw(bound: NetworkBound, path: Path, kind: str) -> None:
    from convspec import plot

    height = LEAST_INCHES + ROW_INCHES * len(bound.steps)
    content = picture(lambda ax: plot.lipschitz(bound, ax=ax), kind, height)
    write_bytes(path, content)
