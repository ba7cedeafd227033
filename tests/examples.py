"""Runs the examples of a page as its reader would, and compares what they print."""

from __future__ import annotations

import doctest
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib import pyplot as plt

__all__ = ["assert_examples_print"]


def assert_examples_print(blocks: Sequence[str], name: str) -> None:
    """Blocks of ``>>>`` lines, run one after the other in one namespace."""
    examples = "\n".join(blocks)
    test = doctest.DocTestParser().get_doctest(examples, {}, name, name, 0)
    said: list[str] = []
    with mpl.rc_context():
        mpl.use("Agg")
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        runner.run(test, out=said.append)
        plt.close("all")
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
