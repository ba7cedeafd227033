"""The same kernel in another padding mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

import convspec as cs
from tests.gaussian import gaussian

MODES = ("zeros", "circular", "reflect", "replicate", "symmetric", ("zeros", "circular"))
NAMES = [
    ("constant", "zeros"),
    ("wrap", "circular"),
    ("mirror", "reflect"),
    ("nearest", "replicate"),
    ("reflect", "symmetric"),
]
GIVEN = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "groups": 2}


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("behind", MODES)
def test_it_is_the_operator_built_anew(before: Any, behind: Any) -> None:
    weight, bias = gaussian(0, 4, 2, 3, 2), gaussian(1, 4)
    one, other = (
        cs.ConvOperator(weight, (6, 5), bias=bias, padding_mode=mode, **GIVEN)
        for mode in (before, behind)
    )
    found = one.with_padding_mode(behind)
    assert torch.equal(found.to_dense(), other.to_dense())
    assert torch.equal(found.offset, other.offset)
    assert torch.equal(one.T.with_padding_mode(behind).to_dense(), other.to_dense().T)


def test_the_bias_at_a_border_stays() -> None:
    layer = torch.nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1, output_padding=1)
    op = cs.ConvOperator.from_layer(layer, 5)
    assert torch.equal(op.with_padding_mode("zeros").to_dense(), op.to_dense())


@pytest.mark.parametrize(
    ("mode", "words"), [("mirror", "padding_mode must be one of"), ("reflect", "reflect")]
)
def test_what_is_no_padding_is_refused(mode: str, words: str) -> None:
    op = cs.ConvOperator(gaussian(0, 1, 1, 9), 4, padding=4)
    with pytest.raises(cs.GeometryError, match=words):
        op.with_padding_mode(mode)


def test_a_mode_for_each_axis() -> None:
    """(1, 3, 1) twice on 4 pixels with zeros and on a circle of 5: products of both."""
    line = torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64)
    weight = torch.outer(line, line)[None, None]
    op = cs.ConvOperator(weight, (4, 5), padding=1, padding_mode=("zeros", "circular"))
    zeros = 3 + 2 * np.cos(np.pi * np.arange(1, 5) / 5)
    circle = 3 + 2 * np.cos(2 * np.pi * np.arange(5) / 5)
    expected = np.sort(np.outer(zeros, circle).ravel())[::-1]
    assert np.allclose(cs.spectrum(op).values, expected, rtol=1e-13)
    assert expected[[0, -1]] == pytest.approx([23.090169943749476, 1.909830056250525])
    assert "padding 1, 1 zeros/circular" in repr(op)
    turned = cs.ConvOperator(weight, (4, 5), padding=1, padding_mode=["zeros", "zeros"])
    assert repr(turned) == repr(cs.ConvOperator(weight, (4, 5), padding=1))
    assert torch.equal(
        turned.with_padding_mode(("zeros", "circular")).to_dense(), op.to_dense()
    )


def test_symmetric_padding_is_diagonal_in_cosines() -> None:
    """A symmetric kernel has the values of its symbol at pi j / n, for j < n (DCT-II)."""
    weight = torch.tensor([[[1.0, 4.0, 6.0, 4.0, 1.0]]], dtype=torch.float64) / 16
    op = cs.ConvOperator(weight, 6, padding=2, padding_mode="symmetric")
    expected = np.cos(np.pi * np.arange(6) / 12) ** 4
    assert np.allclose(cs.spectrum(op).values, expected, atol=1e-15)
    assert 1.0 in cs.spectral_norm(op)
    for width in (25, 17):
        bell = torch.exp(-(torch.arange(-4.0, 5.0, dtype=torch.float64) ** 2) / 2)
        bell = (bell / bell.sum())[None, None]
        blur = cs.ConvOperator(bell, width, padding=4, padding_mode="symmetric")
        image = np.random.default_rng(0).standard_normal(width)
        scipys = ndimage.gaussian_filter1d(image, 1.0, mode="reflect", truncate=4.0)
        ours = blur.apply(torch.from_numpy(image)[None])[0].numpy()
        assert np.allclose(ours, scipys, atol=1e-14)


@pytest.mark.parametrize(("scipys", "ours"), NAMES)
def test_names_elsewhere(scipys: str, ours: str) -> None:
    """What SciPy's image filters and NumPy call a mode, by what they compute."""
    kernel = np.array([0.5, -1.0, 2.0, 0.25, 3.0])
    image = np.random.default_rng(1).standard_normal(7)
    expected = ndimage.correlate1d(image, kernel, mode=scipys, cval=0.0)
    op = cs.ConvOperator(kernel[None, None], 7, padding=2, padding_mode=ours)
    assert np.allclose(op.apply(torch.from_numpy(image)[None])[0].numpy(), expected)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("constant", "zeros"),
        ("wrap", "circular"),
        ("edge", "replicate"),
        ("mirror", "reflect"),
    ],
)
def test_other_names_are_said_in_ours(name: str, ours: str) -> None:
    with pytest.raises(cs.GeometryError, match=f"{name!r} is called {ours!r} here"):
        cs.ConvOperator(gaussian(0, 1, 1, 3), 4, padding=1, padding_mode=name)


@pytest.mark.parametrize("mode", ["symmetric", ("zeros", "symmetric")])
def test_mirrors_have_an_end(mode: Any) -> None:
    weight = gaussian(0, 1, 1, 3, 3)
    assert cs.ConvOperator(weight, (3, 2), padding=2, padding_mode=mode).shape == (20, 6)
    with pytest.raises(cs.GeometryError, match="not mirror more than once: at most"):
        cs.ConvOperator(weight, (3, 2), padding=3, padding_mode=mode)


def test_transposed_layers_pad_with_zeros_alone() -> None:
    weight = gaussian(0, 1, 1, 3, 3)
    same = cs.ConvOperator(weight, 4, transposed=True, padding_mode=("zeros", "zeros"))
    assert same.shape == (36, 16)
    with pytest.raises(cs.GeometryError, match="has padding_mode='zeros' only"):
        cs.ConvOperator(weight, 4, transposed=True, padding_mode=("zeros", "circular"))
