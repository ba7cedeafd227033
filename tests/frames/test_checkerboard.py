"""Checkerboards against torch's layers on constant images, and sums by loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from tests.gaussian import gaussian

SIZE = 12


def layer(kind: Any, *sizes: Any, **arguments: Any) -> Any:
    found = kind(*sizes, bias=False, dtype=torch.float64, **arguments)
    shape = tuple(found.get_parameter("weight").shape)
    found.get_parameter("weight").data = gaussian(sum(shape), *shape)
    return found


LAYERS = {
    "1d": layer(nn.ConvTranspose1d, 2, 3, 5, stride=2, padding=1),
    "2d": layer(nn.ConvTranspose2d, 3, 2, 3, stride=2, padding=1, output_padding=1),
    "oblong": layer(nn.ConvTranspose2d, 2, 2, (4, 3), stride=(3, 2), padding=(2, 0)),
    "groups": layer(nn.ConvTranspose1d, 4, 6, 4, stride=3, groups=2),
    "dilated": layer(nn.ConvTranspose1d, 1, 1, 3, stride=3, dilation=2, padding=1),
    "unreached": layer(nn.ConvTranspose1d, 1, 2, 3, stride=2, dilation=2),
    "gaps": layer(nn.ConvTranspose1d, 2, 1, 2, stride=4),
    "3d": layer(nn.ConvTranspose3d, 1, 2, 3, stride=2),
    "plain": layer(nn.ConvTranspose2d, 2, 2, 3, padding=1),
}


@pytest.mark.parametrize("module", LAYERS.values(), ids=LAYERS)
def test_constant_images(module: Any) -> None:
    """Every pixel of the interior is what the pattern says of its phase."""
    found = cs.checkerboard(module)
    dim, c_in = len(module.kernel_size), module.in_channels
    for channel in range(c_in):
        image = torch.zeros(1, c_in, *[SIZE] * dim, dtype=torch.float64)
        image[:, channel] = 1
        with torch.no_grad():
            made = module(image)[0]
        middle = [
            range(n // 2 - s, n // 2 + s)
            for n, s in zip(made.shape[1:], module.stride, strict=True)
        ]
        for place in product(*middle):
            phase = tuple(p % s for p, s in zip(place, module.stride, strict=True))
            at, of = (slice(None), *place), (slice(None), channel, *phase)
            assert torch.allclose(made[at], found.pattern[of], rtol=0, atol=1e-12)


@pytest.mark.parametrize("module", LAYERS.values(), ids=LAYERS)
def test_measure(module: Any) -> None:
    found = cs.checkerboard(module)
    pattern = found.pattern.detach().numpy()
    c_out, c_in, *stride = pattern.shape
    assert (c_out, c_in) == (module.out_channels, module.in_channels)
    phases = pattern.reshape(c_out, c_in, -1)
    apart = phases - phases.mean(axis=2, keepdims=True)
    norms = [
        np.linalg.norm(some.transpose(0, 2, 1).reshape(-1, c_in), 2)
        for some in (apart, phases)
    ]
    assert abs(found.measure - norms[0] / norms[1]) < 1e-12
    assert found.taps.shape == tuple(stride)
    assert found.taps.sum() == np.prod(module.kernel_size)


def test_ones() -> None:
    found = cs.checkerboard(torch.ones(1, 1, 3, 3), stride=2)
    assert sorted(found.pattern.flatten().tolist()) == [1, 2, 2, 4]
    assert np.array_equal(found.taps, found.pattern[0, 0].numpy())
    # deviations from 9/4, of 25 in all squares
    assert abs(found.measure - (1 - 9**2 / 4 / 25) ** 0.5) < 1e-15
    assert not found.even
    for kernel, stride in ((4, 2), (6, 3), (2, 2), (5, 1)):
        found = cs.checkerboard(torch.ones(2, 3, kernel, kernel), stride=stride)
        assert found.measure == 0.0
        assert found.even


def test_equal_phases_are_an_exact_zero() -> None:
    """A third of three equal numbers may be rounded."""
    weight = torch.full((1, 1, 3), 0.1, dtype=torch.float64)
    assert cs.checkerboard(weight, stride=3).measure == 0.0


def test_divisible_is_not_enough() -> None:
    found = cs.checkerboard(torch.tensor([[[1.0, -1.0]]]), stride=2)
    assert found.even
    assert found.measure == 1.0
    assert found.note == "kernel 2, stride 2: 1 taps reach every phase"


def test_notes() -> None:
    uneven = cs.checkerboard(LAYERS["oblong"])
    assert uneven.note == (
        "kernel 4x3, stride 3x2: 1 to 4 taps reach a phase, as the kernel is not "
        "divisible by the stride"
    )
    dilated = cs.checkerboard(LAYERS["unreached"])
    assert dilated.note.endswith(
        "0 to 3 taps reach a phase, as the stride has a factor "
        "in common with the dilation"
    )
    assert repr(dilated).startswith("<Checkerboard: measure 0.7071; kernel 3, stride 2")
    assert cs.checkerboard(LAYERS["dilated"]).even


def test_operators_of_any_border() -> None:
    """The adjoint of a circular convolution has the pattern everywhere."""
    op = cs.ConvOperator(
        gaussian(3, 4, 2, 5), 12, stride=3, padding=2, padding_mode="circular"
    ).T
    found = cs.checkerboard(op)
    made = op.apply(torch.ones(op.input_shape, dtype=torch.float64))
    wanted = found.pattern.sum(dim=1).tile(1, 4)
    assert torch.allclose(made, wanted, rtol=0, atol=1e-12)


def test_complex() -> None:
    weight = gaussian(4, 1, 2, 3, dtype=torch.complex128)
    op = cs.ConvOperator(weight, 12, stride=2, transposed=True)
    made = op.apply(torch.ones(1, 12, dtype=torch.complex128))
    pattern = cs.checkerboard(op).pattern[:, 0]
    assert torch.allclose(made[:, 8:10], pattern, rtol=0, atol=1e-12)


def test_gradients_reach_the_weight() -> None:
    weight = gaussian(5, 2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w: cs.checkerboard(w, stride=2, groups=2).pattern, weight
    )


def test_scale_and_zero() -> None:
    weight = gaussian(6, 2, 2, 3)
    measure = cs.checkerboard(weight, stride=2).measure
    assert cs.checkerboard(weight * 2.0**-40, stride=2).measure == measure
    assert cs.checkerboard(0 * weight, stride=2).measure == 0.0


def test_refusals() -> None:
    convolution = torch.nn.Conv2d(1, 1, 3, stride=2)
    with pytest.raises(cs.NotApplicable, match=r"its gradients get .*: give op\.T"):
        cs.checkerboard(convolution)
    op = cs.ConvOperator.from_layer(convolution, 9)
    assert cs.checkerboard(op.T).taps.max() == 4
    with pytest.raises(TypeError, match="takes a ConvOperator; got a composed map"):
        cs.checkerboard(op @ op.T)  # type: ignore[arg-type]
    with pytest.raises(cs.GeometryError, match="arguments of a convolution are for bare"):
        cs.checkerboard(op.T, stride=2)
    with pytest.raises(cs.UnsupportedLayer):
        cs.checkerboard(torch.nn.Linear(2, 2))
