"""The comparison of ways to lower a norm checks ours before it reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import convspec as cs
from benchmarks import __main__ as command
from benchmarks import clip_compared
from benchmarks.clip_ways import WAYS, alternating, clipped_and_cut
from benchmarks.problem import Unavailable
from tests.gaussian import gaussian


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small layer instead of the trained ones."""
    layers = {"small": (lambda: gaussian(0, 4, 3, 3, 3), 6)}
    monkeypatch.setattr(clip_compared, "CLIPPED", layers)
    monkeypatch.setattr(command, "CLIPPED", layers)


@pytest.mark.usefixtures("small")
def test_every_way_on_both_paddings(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["clip"]) == 0
    said = capsys.readouterr().out
    assert "small, 3 -> 4, 3x3, 6 x 6, zeros" in said
    assert "small, 3 -> 4, 3x3, 6 x 6, circular" in said
    assert all(said.count(f"{way}  ") == 2 for way in WAYS)
    assert command.main(["clip", "none"]) == 2
    assert "layers are small; got none" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", clip_compared.MODES)
def test_numbers(mode: str) -> None:
    found = clip_compared.clip_compared("small", mode)
    weight = gaussian(0, 4, 3, 3, 3)
    op = cs.ConvOperator(weight, 6, padding=1, padding_mode=mode)
    assert found.bound == pytest.approx(np.linalg.norm(op.to_dense(), 2) / 2, rel=1e-5)
    ours, once, ten, scaled, reshaped = found.rows
    assert found.is_right
    assert found.arpack == pytest.approx(ours.norm.upper, rel=1e-5)
    assert scaled.distance == pytest.approx(0.5, rel=1e-5)
    assert reshaped.distance <= scaled.distance
    assert once.norm.lower > found.bound
    assert ten.norm.upper < once.norm.lower
    for row in found.rows:
        assert row.feasible >= 0.99 * ours.feasible


@pytest.mark.usefixtures("small")
def test_what_is_broken_is_said_and_no_more() -> None:
    found = clip_compared.clip_compared("small", "circular")
    for wrong in (replace(found, bound=0.9 * found.bound), replace(found, arpack=1e3)):
        assert not wrong.is_right
        said = clip_compared.clip_text(wrong)
        assert "BROKEN" in said
        assert "cut" not in said


def test_missing_weights_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str, mode: str) -> None:
        raise Unavailable("no weights")

    monkeypatch.setattr(command, "clip_compared", missing)
    assert command.main(["clip", "R-Net conv2"]) == 1
    assert capsys.readouterr().out.count("not run; no weights") == 1


def test_cutting_as_published() -> None:
    """Against NumPy's transform, with loops over frequencies."""
    weight = gaussian(1, 3, 2, 3, 3)
    op = cs.ConvOperator(weight, 5, padding=1)
    values = np.fft.fft2(weight.numpy(), [5, 5], axes=[2, 3])
    for place in np.ndindex(5, 5):
        left, sigma, right = np.linalg.svd(values[(..., *place)], full_matrices=False)
        values[(..., *place)] = (left * np.minimum(sigma, 1.5)) @ right
    wanted = np.fft.ifft2(values, axes=[2, 3]).real[:, :, :3, :3]
    assert np.allclose(clipped_and_cut(op, 1.5), wanted, rtol=0, atol=1e-13)
    assert torch.equal(alternating(op, 1.5, 1), clipped_and_cut(op, 1.5))
    assert torch.allclose(alternating(op, 1e3), weight, rtol=0, atol=1e-13)
