"""Singular vectors as pictures: their numbers, signs, scales and channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import convspec as cs
from convspec import plot
from tests.oracles import Array


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def operator(c_out: int, c_in: int, *kernel: int, size: int = 6) -> cs.ConvOperator:
    generator = torch.Generator().manual_seed(c_out + c_in + sum(kernel))
    weight = torch.randn(c_out, c_in, *kernel, generator=generator, dtype=torch.float64)
    return cs.ConvOperator(weight, size, padding=1)


GREY = cs.spectrum(operator(2, 1, 3, 3), vectors=True)
RGB = cs.spectrum(operator(4, 3, 3, 3), vectors=True)
MANY = cs.spectrum(operator(6, 5, 3, 3), 3, vectors=True)
LINE = cs.spectrum(operator(3, 2, 3, size=12), vectors=True)
SOLID = cs.spectrum(operator(2, 1, 3, 3, 3, size=4), 2, vectors=True)


def images(ax: Axes) -> list[Array]:
    return [np.asarray(image.get_array()) for image in ax.images]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def signs(spec: cs.Spectrum) -> Array:
    """What makes the entry of v of largest magnitude positive."""
    assert spec.right is not None
    flat = spec.right.flatten(1).numpy()
    return np.sign(flat[np.arange(len(flat)), np.abs(flat).argmax(axis=1)])


@pytest.mark.parametrize("side", ["right", "left"])
def test_pictures_are_the_vectors_on_a_scale_of_their_own(side: str) -> None:
    ax = plot.singular_vectors(GREY, side=side, indices=3, channels=2)  # type: ignore[arg-type]
    vectors = getattr(GREY, side).numpy() * signs(GREY)[:, None, None, None]
    shown = images(ax)
    channels = vectors.shape[1]
    assert len(shown) == 3 * channels
    for place in range(3):
        scale = np.abs(vectors[place]).max()
        order = np.argsort(-(vectors[place] ** 2).sum(axis=(1, 2)))
        for row, channel in enumerate(order):
            expected = vectors[place, channel] / scale
            assert np.allclose(shown[place * channels + row], expected, atol=1e-15)
    assert {image.get_clim() for image in ax.images} == {(-1, 1)}
    assert {image.get_cmap().name for image in ax.images} == {"RdBu_r"}


def test_signs_go_together() -> None:
    """A v = sigma u holds between the two pictures."""
    op = operator(2, 1, 3, 3)
    (right,) = images(plot.singular_vectors(GREY, indices=1))
    left = images(plot.singular_vectors(GREY, indices=1, side="left", channels=2))
    image = op.apply(torch.tensor(right)[None]).numpy()
    ratio = [float((a * b).sum()) for a, b in zip(left, image, strict=True)]
    swapped = [float((a * b).sum()) for a, b in zip(left, image[::-1], strict=True)]
    assert max(sum(ratio), sum(swapped)) > 0
    assert right.max() == 1.0


def test_three_channels_are_one_image_with_grey_for_zero() -> None:
    ax = plot.singular_vectors(RGB, indices=2)
    first, _ = images(ax)
    assert first.shape == (6, 6, 3)
    assert RGB.right is not None
    vector = RGB.right[0].numpy() * signs(RGB)[0]
    expected = 0.5 + 0.5 * np.moveaxis(vector, 0, -1) / np.abs(vector).max()
    assert np.allclose(first, expected, atol=1e-15)
    assert (first.min() >= 0, first.max() == 1.0) == (True, True)
    assert len(images(plot.singular_vectors(RGB, indices=2, rgb=False))) == 6


def test_dominant_channels_are_shown_with_their_share() -> None:
    ax = plot.singular_vectors(MANY, channels=2, indices=[1])
    assert MANY.right is not None
    energy = (MANY.right[1].numpy() ** 2).sum(axis=(1, 2))
    order = np.argsort(-energy)[:2]
    shares = [f"ch {channel}, {energy[channel]:.0%}" for channel in order]
    name = f"\u03c3\u2082 = {MANY.values[1]:.3g}"
    assert texts(ax) == [*shares, name]


def test_names_count_from_the_right_end() -> None:
    spec = cs.spectrum(operator(2, 1, 3, 3), 2, "smallest", vectors=True)
    shown = texts(plot.singular_vectors(spec))
    assert [text.split(" ")[0] for text in shown] == [
        "\u03c3\u2083\u2085",
        "\u03c3\u2083\u2086",
    ]


def test_more_vectors_than_there_are() -> None:
    assert len(images(plot.singular_vectors(MANY, indices=50, channels=1))) == 3


def test_pictures_lie_side_by_side_within_the_axes() -> None:
    ax = plot.singular_vectors(MANY, indices=3, channels=2)
    boxes = [image.get_extent() for image in ax.images]
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for x0, x1, y1, y0 in boxes:
        assert left <= x0 < x1 <= right + 1e-9
        assert top <= y0 < y1 <= bottom + 1e-9
    corners = {(x0, y0) for x0, _, _, y0 in boxes}
    assert len(corners) == 6
    assert ax.get_aspect() == 1


def test_one_axis_gives_curves() -> None:
    ax = plot.singular_vectors(LINE, indices=4)
    assert LINE.right is not None
    curves = [line for line in ax.lines if len(line.get_ydata()) == 12]
    assert len(curves) == 8  # of two channels each
    vectors = LINE.right.numpy() * signs(LINE)[:, None, None]
    first = vectors[0]
    order = np.argsort(-(first**2).sum(axis=1))
    scale = 2.4 * np.abs(first).max()
    assert np.allclose(curves[0].get_ydata(), -first[order[0]] / scale)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        f"\u03c3{chr(0x2081 + j)} = {LINE.values[j]:.3g}" for j in range(4)
    ]
    assert curves[0].get_linestyle() != curves[1].get_linestyle()
    for row, (a, b) in enumerate(zip(curves[::2], curves[1::2], strict=True)):
        for line in (a, b):  # no curve reaches into another's room
            assert np.abs(line.get_ydata() - row).max() < 0.5


def test_three_axes_show_the_slice_that_holds_most() -> None:
    ax = plot.singular_vectors(SOLID, indices=1)
    assert SOLID.right is not None
    vector = SOLID.right[0, 0].numpy() * signs(SOLID)[0]
    place = int((vector**2).sum(axis=(1, 2)).argmax())
    assert texts(ax)[0] == f"slice {place}"
    (shown,) = images(ax)
    assert np.allclose(shown, vector[place] / np.abs(vector[place]).max(), atol=1e-15)


def test_tiny_image() -> None:
    op = cs.ConvOperator(torch.full((1, 1, 1, 1), -3.0), 1)
    ax = plot.singular_vectors(cs.spectrum(op, vectors=True))
    assert images(ax)[0].tolist() == [[1.0]]
    ax.get_figure().canvas.draw()


def test_options_go_to_the_images() -> None:
    ax = plot.singular_vectors(GREY, indices=1, cmap="PiYG", interpolation="bilinear")
    (image,) = ax.images
    assert image.get_cmap().name == "PiYG"
    assert image.get_interpolation() == "bilinear"


def test_spectra_without_vectors_are_refused() -> None:
    spec = cs.spectrum(operator(2, 1, 3, 3))
    with pytest.raises(
        ValueError, match=r"has none; call spectrum\(op, k=8, vectors=True"
    ):
        plot.singular_vectors(spec)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("side", ["right", "left"])
def test_parts_of_complex_vectors(side: Literal["right", "left"]) -> None:
    """One phase for both sides, which makes the largest entry of v real and positive."""
    weight = torch.complex(*torch.randn(2, 2, 1, 3, 3, dtype=torch.float64))
    spec = cs.spectrum(cs.ConvOperator(weight, (6, 6), padding=1), 1, vectors=True)
    right, wanted = spec.right[0].numpy(), getattr(spec, side)[0].numpy()
    peak = right.reshape(-1)[np.abs(right).argmax()]
    turned = wanted * np.conj(peak) / abs(peak)
    for part in ("real", "imag"):
        ax = plot.singular_vectors(
            spec, side=side, indices=1, channels=2, part=part, rgb=False
        )
        expected = getattr(turned, part)
        order = np.argsort(-(expected**2).sum(axis=(1, 2)))
        expected = expected[order] / np.abs(expected).max()
        assert np.allclose(images(ax), expected, atol=1e-12)
        assert texts(ax)[-1].endswith({"real": ", Re", "imag": ", Im"}[part])


def test_real_vectors_have_no_parts() -> None:
    assert not any("Re" in text for text in texts(plot.singular_vectors(GREY)))
    with pytest.raises(ValueError, match=r"part must be 'real' or 'imag'; got 'abs'"):
        plot.singular_vectors(GREY, part="abs")  # type: ignore[arg-type]


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match="draws a Spectrum; got Envelope"):
        plot.singular_vectors(cs.spectral_envelope(operator(2, 1, 3)))  # type: ignore[arg-type]
    for options, words in (
        ({"side": "both"}, "side must be 'right' or 'left'; got 'both'"),
        ({"channels": 0}, "channels must be at least 1; got 0"),
        ({"indices": 0}, "at least one vector; got 0"),
        ({"indices": []}, r"indices must be from 0 to 2; got \[\]"),
        ({"indices": [3]}, r"indices must be from 0 to 2; got \[3\]"),
    ):
        with pytest.raises(ValueError, match=words):
            plot.singular_vectors(MANY, **options)  # type: ignore[arg-type]
    assert plt.get_fignums() == []
