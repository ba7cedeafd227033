"""``convspec check``: limits that every layer must be certified to keep."""

from __future__ import annotations

import argparse

from convspec.cli.analyze import analysed
from convspec.errors import ConvSpecError
from convspec.report.check import check
from convspec.report.saved import read_report

__all__ = ["run_check"]

FOUND = 1


def run_check(options: argparse.Namespace) -> int:
    """Print what is not certified, one line each; 1 if there is anything."""
    limits = {
        "max_norm": options.max_norm,
        "max_worst_case": options.max_worst_case,
        "max_condition": options.max_condition,
    }
    if options.against is None and all(each is None for each in limits.values()):
        raise ConvSpecError(
            "check needs something to hold; give --max-norm, --max-worst-case, "
            "--max-condition or --against FILE"
        )
    before = None if options.against is None else read_report(options.against)
    report = analysed(options)
    found = check(
        report, **limits, against=before, rtol=options.rtol, layers=options.layers
    )
    for finding in found:
        print(finding)
    if not options.quiet:
        print(f"layers: {len(report)}, findings: {len(found)}")
    return FOUND if found else 0
