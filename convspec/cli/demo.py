"""``convspec demo``: a pretrained network, analysed and drawn."""

from __future__ import annotations

import argparse
import sys

from convspec.progress import progress_bar
from convspec.report.terminal import print_report

__all__ = ["run_demo_command"]


def run_demo_command(options: argparse.Namespace) -> int:
    """Analyse the network of the demonstration, and write its files."""
    from convspec.demo.run import choose_network, run_demo

    with progress_bar() as progress:
        network = choose_network(options.offline)
        if network.notice:
            print(network.notice, file=sys.stderr)
        report, files = run_demo(network, options.out, progress)
    print(f"{network.name}\n")
    print_report(report)
    print("\nwrote " + ", ".join(map(str, files)))
    return 0
