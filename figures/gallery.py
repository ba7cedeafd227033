"""One figure for each function of ``convspec.plot``, named after it."""

from __future__ import annotations

import material
import torch
from matplotlib.figure import Figure

import convspec as cs
from convspec import plot

COLUMN, PAGE = 3.3, 7.0  # inches: one column of a paper, and two


def spectrum() -> Figure:
    """Every singular value of a depthwise layer, with rank and condition number."""
    figure = Figure(figsize=(COLUMN, 2.3))
    ax = figure.subplots()
    row = material.report()["features.12.conv.1.0"]
    plot.spectrum(row.spectrum, ax=ax, annotate=True)
    ax.set_title("MobileNetV2, features.12.conv.1.0")
    return figure


def compare() -> Figure:
    """An exact spectrum, a certified enclosure and an estimate, of three sizes."""
    figure = Figure(figsize=(COLUMN, 2.6))
    report = material.report()
    op = report["features.3.conv.1.0"].operator
    plot.compare(
        {
            "expanding 1\u00d71": report["features.14.conv.0.0"].spectrum,
            "first 3\u00d73": report["features.0.0"].envelope,
            "depthwise 3\u00d73": cs.spectral_density(op, probes=8, steps=40),
        },
        ax=figure.subplots(),
    )
    return figure


def density() -> Figure:
    """An estimated density beside the limit of large inputs, and its integral."""
    figure = Figure(figsize=(PAGE, 2.4))
    left, right = figure.subplots(1, 2)
    op = material.stem()
    found = cs.spectral_density(op, probes=16, steps=40)
    look = {"symbol": cs.symbol_density(op), "truth": cs.spectrum(op)}
    plot.density(found, ax=left, **look)
    plot.density(found, ax=right, kind="counting", **look)
    return figure


def envelope() -> Figure:
    """Certified bounds on all singular values, and the truth within them."""
    figure = Figure(figsize=(COLUMN, 2.5))
    op = material.stem()
    plot.envelope(cs.spectral_envelope(op), ax=figure.subplots(), truth=cs.spectrum(op))
    return figure


def operator() -> Figure:
    """A matrix of 512 x 192, and one of 401,408 x 150,528, truthfully as small."""
    figure = Figure(figsize=(PAGE, 3.3))
    left, right = figure.subplots(1, 2)
    for ax, size in ((left, 8), (right, 224)):
        plot.operator(material.stem(size), ax=ax, aspect="auto", pixels=256)
        ax.set_title(f"MobileNetV2's first layer, {size} \u00d7 {size} pixels")
    return figure


def frequency_response() -> Figure:
    """What a layer amplifies: over the frequency square, and over a single frequency."""
    figure = Figure(figsize=(PAGE, 3.1))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    op = material.stem()
    plot.frequency_response(op, ax=left, worst_case=cs.worst_case_norm(op))
    line = cs.ConvOperator(material.gaussian(4, 4, 5), 64, padding=2)
    plot.frequency_response(line, ax=right, worst_case=cs.worst_case_norm(line))
    return figure


def singular_vectors() -> Figure:
    """The images that a layer amplifies most and least, and what it makes of them."""
    figure = Figure(figsize=(PAGE, 3.4))
    above, below = figure.subplots(2, 1, height_ratios=(1.0, 1.55))
    spec = cs.spectrum(material.stem(), vectors=True)
    places = (0, 1, 2, 3, 700, 1200, 1727)
    plot.singular_vectors(spec, ax=above, indices=places)
    plot.singular_vectors(spec, ax=below, side="left", indices=places, channels=2)
    return figure


def bounds() -> Figure:
    """Every bound of a layer; under zero and under reflect padding."""
    figure = Figure(figsize=(PAGE, 3.4))
    left, right = figure.subplots(1, 2)
    weight = material.gaussian(4, 3, 3, 3).to(torch.float64) / 3
    for ax, mode in ((left, "zeros"), (right, "reflect")):
        op = cs.ConvOperator(weight, (16, 16), padding=1, padding_mode=mode)
        plot.bounds(cs.bounds.table(op), ax=ax, truth=cs.spectral_norm(op))
        ax.set_title(f"padding: {mode}")
    return figure


def layers() -> Figure:
    """MobileNetV2 at a glance."""
    figure = Figure(figsize=(PAGE, 7.6))
    plot.layers(material.report(), ax=figure.subplots())
    return figure


def lipschitz() -> Figure:
    """What each method makes of the constant of a small trained network."""
    figure = Figure(figsize=(PAGE, 2.3))
    plot.lipschitz(material.constant(), ax=figure.subplots())
    return figure


def gains() -> Figure:
    """How far apart two inputs come along the same network."""
    figure = Figure(figsize=(PAGE, 2.8))
    plot.gains(material.constant(), ax=figure.subplots())
    return figure


def training() -> Figure:
    """Norms of all layers, and the whole distribution of one, while it learns."""
    figure = Figure(figsize=(PAGE, 2.6))
    left, middle, right = figure.subplots(1, 3)
    look = {"steps": material.CHECKPOINTS}
    reports = material.checkpoints()
    plot.training(reports, ax=left, legend=False, **look)
    plot.training(reports, ax=middle, quantity="stable_rank", **look)
    plot.training(reports, ax=right, quantity="distribution", layers="dilated", **look)
    for ax in (left, middle, right):
        ax.set_xlabel("epoch")
    return figure
