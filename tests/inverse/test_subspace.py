"""Null spaces and ranges, against dense decompositions of matrices made by loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

import convspec as cs
from tests.cases import Case
from tests.inverse.test_pinv import COMPLEX, EPS, EVERY, seeded


def agrees(space: cs.Subspace, exact: np.ndarray, gap: float) -> None:
    """Orthonormal vectors (k, *shape) that span what columns of exact do."""
    basis = space.basis().flatten(1).numpy()
    count, length = basis.shape
    allowed = 64 * max(length, exact.shape[0]) * EPS
    assert count == space.dimension == len(space) == exact.shape[1]
    assert np.abs(basis @ basis.conj().T - np.eye(count)).max(initial=0) <= allowed
    onto = exact @ exact.conj().T
    off = basis.T @ basis.conj() - onto
    assert np.linalg.norm(off, 2) <= allowed / gap
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, length)))
    found = space.project(x.to(space.basis().dtype).reshape(2, *space.shape))
    off = found.flatten(1).numpy() - x.numpy() @ onto.T
    assert np.linalg.norm(off, 2) <= allowed / gap * np.linalg.norm(x, 2)


@given(EVERY)
def test_every_geometry(case: Case) -> None:
    op, matrix = case.operator(), case.matrix()
    u, s, vh = np.linalg.svd(matrix)
    rank = int((s > max(matrix.shape) * EPS * s[0]).sum())
    gap = float(s[rank - 1] / s[0]) if rank else 1.0
    null, reached = cs.null_space(op), cs.range_space(op)
    agrees(null, vh[rank:].conj().T, gap)
    agrees(reached, u[:, :rank], gap)
    # no vector is longer than is said
    lost = matrix @ null.basis().flatten(1).numpy().T
    assert np.linalg.norm(lost, axis=0).max(initial=0) <= null.cut * (1 + 1e-9)


@pytest.mark.parametrize("arguments", COMPLEX.values(), ids=COMPLEX)
def test_complex(arguments: dict[str, Any]) -> None:
    weight = torch.randn(2, 3, 3, 3, dtype=torch.complex128, generator=seeded(1))
    op = cs.ConvOperator(weight, (3, 6), **arguments)
    u, s, vh = np.linalg.svd(op.to_dense().numpy())
    rank = int((s > max(op.shape) * EPS * s[0]).sum())
    agrees(cs.null_space(op), vh[rank:].conj().T, s[rank - 1] / s[0])
    agrees(cs.range_space(op), u[:, :rank], s[rank - 1] / s[0])


def test_separable_kernels() -> None:
    line = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    op = cs.ConvOperator(torch.outer(line, line)[None, None], (7, 5), padding=1)
    # each factor of odd length has one zero: 7 + 5 - 1 in all
    space = cs.null_space(op)
    assert space.dimension == 11
    assert float(op.apply(space.basis()).abs().max()) < 1e-14


def test_some_of_the_basis_are_those_of_all() -> None:
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64, generator=seeded(2))
    for arguments in ({"padding": 1, "padding_mode": "circular"}, {"stride": 3}):
        op = cs.ConvOperator(weight, (7, 6), **arguments)
        space = cs.null_space(op)
        every = space.basis()
        for start, stop in ((0, 1), (3, 20), (space.dimension - 5, space.dimension)):
            assert torch.equal(space.basis(start, stop), every[start:stop])
        assert space.basis(4, 4).shape == (0, *op.input_shape)


def test_patches_of_an_image() -> None:
    weight = torch.randn(192, 3, 16, 16, dtype=torch.float64, generator=seeded(3))
    op = cs.ConvOperator(weight, 224, stride=16)
    space = cs.null_space(op)
    assert space.dimension == 112_896  # 768 - 192 for each of 14 x 14 patches
    some = space.basis(1000, 1010)
    assert float(op.apply(some).abs().max()) < 1e-11
    assert int((some != 0).flatten(1).sum(dim=1).max()) <= 768
    x = torch.randn(3, 224, 224, dtype=torch.float64, generator=seeded(4))
    inside = space.project(x)
    assert float(op.apply(inside).abs().max()) < 1e-10
    # harmless: the rest is seen as before
    assert torch.allclose(op.apply(x - inside), op.apply(x), rtol=0, atol=1e-10)


def test_a_layer_of_few_channels() -> None:
    op = cs.ConvOperator(torch.randn(1, 3, 3, 3, generator=seeded(5)), 8)
    space = cs.null_space(op)
    assert space.dimension == cs.spectrum(op).nullity() == 156
    assert float(op.to(torch.float64).apply(space.basis()).abs().max()) < 1e-14


def test_composed_maps() -> None:
    gradient = cs.ConvOperator(torch.tensor([[[-1.0, 1.0]]]), 9).to(torch.float64)
    space = cs.null_space(gradient.T @ gradient)
    assert space.dimension == 1
    assert torch.allclose(space.basis().abs(), torch.full((1, 1, 9), 1 / 3).double())


def test_a_map_of_zeros() -> None:
    op = cs.ConvOperator(torch.zeros(2, 1, 3), 5)
    assert cs.null_space(op).dimension == 5
    assert cs.range_space(op).dimension == 0
    assert cs.range_space(op).basis().shape == (0, 2, 3)


def test_a_coarser_rank() -> None:
    op = cs.ConvOperator(torch.tensor([[[0.25, 0.5, 0.25]]]), 20, padding=1)
    values = cs.spectrum(op).values
    space = cs.null_space(op, rank_rtol=0.1)
    assert space.dimension == int((values <= 0.1 * values[0]).sum())
    lengths = torch.linalg.vector_norm(
        op.to(torch.float64).apply(space.basis()).flatten(1), dim=1
    )
    assert float(lengths.max()) <= space.cut


def test_words() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 2), 6)
    space = cs.null_space(op)
    assert repr(space) == "<Subspace of dimension 1 of images 1x6>"
    with pytest.raises(ValueError, match="from 0 to the dimension, 1"):
        space.basis(0, 2)
    with pytest.raises(cs.GeometryError, match=r"x must have shape \(..., 1, 6\)"):
        space.project(torch.ones(1, 5))
    with pytest.raises(TypeError, match="null_space takes a ConvOperator; got Conv1d"):
        cs.null_space(torch.nn.Conv1d(1, 1, 2))  # type: ignore[arg-type]
    large = cs.ConvOperator(torch.ones(1, 1, 3, 3) + torch.eye(3), 300, padding=1)
    with pytest.raises(cs.TooLargeError, match=r"op.pinv\(\) @ \(op @ x\)"):
        cs.null_space(large)
    torus = cs.ConvOperator(
        torch.ones(1, 1, 3, 3), 300, padding=1, padding_mode="circular"
    )
    with pytest.raises(cs.TooLargeError, match="take fewer at a time"):
        cs.range_space(torus).basis()
