"""``convspec matrix`` and ``convspec spectrum``: one layer of a source."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy import sparse

from convspec.cli.source import layer_of, opened_source
from convspec.errors import UnreadableModel
from convspec.spectrum import Spectrum, spectrum
from convspec.written import require_writable, write_bytes, write_text

__all__ = ["run_matrix", "run_spectrum"]


def run_matrix(options: argparse.Namespace) -> int:
    """Write the matrix of a layer, sparse or dense."""
    kind = options.out.suffix.lower()
    if kind not in (".npz", ".npy"):
        raise UnreadableModel(
            f"the file must end in .npz, sparse, or .npy, dense; got {options.out}"
        )
    require_writable(options.out)
    opened, held = opened_source(options)
    op = layer_of(opened, options.layer).operator()
    content = io.BytesIO()
    if kind == ".npz":
        sparse.save_npz(content, op.to_sparse(max_bytes=held))
    else:
        np.save(content, op.to_dense(max_bytes=held).detach().numpy())
    write_bytes(options.out, content.getvalue())
    m, n = op.shape
    print(f"wrote {options.out}: {m} x {n}, {op!r}")
    return 0


def run_spectrum(options: argparse.Namespace) -> int:
    """Print the singular values of a layer, or write and draw them."""
    for path in (options.out, options.plot):
        if path is not None:
            require_writable(path)
    opened, held = opened_source(options)
    op = layer_of(opened, options.layer).operator()
    found = spectrum(op, options.k, max_bytes=held)
    lines = [f"{value:.17g}" for value in found.values]
    if options.out is not None:
        write_text(options.out, "\n".join(["singular_value", *lines]) + "\n")
    if options.plot is not None:
        _draw(found, options.plot, options.layer)
    written = [str(path) for path in (options.out, options.plot) if path is not None]
    print(f"wrote {', '.join(written)}: {found!r}" if written else "\n".join(lines))
    return 0


def _draw(found: Spectrum, path: Path, layer: str) -> None:
    from convspec import plot
    from convspec.cli.figures import kind_of_figure, picture

    kind = kind_of_figure(path)

    def draw(ax: Axes) -> None:
        plot.spectrum(found, ax=ax).set_title(layer, fontsize=10)

    write_bytes(path, picture(draw, kind))
