"""Arguments: refused exactly where torch refuses, in words; padding in pairs by hand."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import event, given, settings

import convspec as cs
from tests import geometries
from tests.agreement import RTOL
from tests.cases import LAYERS, Case
from tests.geometries import MODES

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel lengths:UserWarning"
)


# -- any arguments at all -----------------------------------------------------------

SPOILED = (
    "stride",
    "dilation",
    "padding",
    "padding_string",
    "padding_mode",
    "output_padding",
    "groups",
    "size",
)


@st.composite
def anything(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of a layer that may or may not exist; about half do.

    Left out is what torch answers by accident: it crops for negative padding in the
    modes other than zeros, and pads channels for tuples that are too long there.
    """
    dim, transposed = draw(st.integers(1, 3)), draw(st.booleans())
    spoiled = draw(st.sampled_from((*[""] * 6, *SPOILED)))
    mode = "zeros" if transposed else draw(st.sampled_from(MODES))
    if spoiled == "padding_mode":
        mode = draw(st.sampled_from(("mirror", *MODES)))

    def numbers(name: str, least: int, most: int) -> Any:
        spoil = spoiled == name and (name != "padding" or mode == "zeros")
        one = st.integers(least - spoil, most)
        lengths = range(dim, dim + spoil + 1)
        return draw(st.one_of(one, *[st.tuples(*[one] * length) for length in lengths]))

    groups = draw(st.integers(1, 3)) if spoiled != "groups" else draw(st.integers(0, 3))
    arguments = {
        "transposed": transposed,
        "groups": groups,
        "per_group": draw(st.integers(1, 2)),  # channels on the weight's second axis
        "channels": draw(st.integers(1, 3)) * (1 if spoiled == "groups" else groups),
        "kernel": draw(st.tuples(*[st.integers(1, 4)] * dim)),
        "size": draw(st.tuples(*[st.integers(1 - (spoiled == "size"), 7)] * dim)),
        "stride": numbers("stride", 1, 3),
        "dilation": numbers("dilation", 1, 2),
        "padding": numbers("padding", 0, 5 if spoiled == "padding" else 2),
        "padding_mode": mode,
    }
    if spoiled == "padding_string" or (not transposed and draw(st.integers(0, 5)) == 0):
        arguments["padding"] = draw(st.sampled_from(("same", "valid", "full")))
    if arguments["padding"] == "same" and draw(st.booleans()):
        arguments["stride"] = 1
    if transposed:
        most = 3 if spoiled == "output_padding" else 1
        arguments["output_padding"] = numbers("output_padding", 0, most)
    return arguments


def torch_accepts(
    transposed: bool,
    groups: int,
    per_group: int,
    channels: int,
    kernel: tuple[int, ...],
    size: tuple[int, ...],
    **options: Any,
) -> tuple[int, ...] | None:
    """The output shape of torch's layer, None where there is none.

    Dilation 0 is refused by torch too, except on some paths for kernels of one tap.
    """
    if not np.all(options["dilation"]):
        return None
    second = max(1, groups) * per_group
    c_in, c_out = (channels, second) if transposed else (second, channels)
    try:
        layer = LAYERS[len(kernel), transposed](
            c_in, c_out, kernel, groups=groups, bias=False, **options
        )
        shape = layer(torch.zeros(1, c_in, *size)).shape[1:]
    except (ValueError, RuntimeError, TypeError):
        return None
    return tuple(shape) if all(shape) else None  # an empty image is no output


def convspec_accepts(
    transposed: bool,
    groups: int,
    per_group: int,
    channels: int,
    kernel: tuple[int, ...],
    size: tuple[int, ...],
    **options: Any,
) -> tuple[int, ...] | None:
    """The output shape of the operator, None where it raises GeometryError."""
    weight = torch.zeros(channels, per_group, *kernel)
    try:
        op = cs.ConvOperator(
            weight, size, groups=groups, transposed=transposed, **options
        )
    except cs.GeometryError:
        return None
    return op.output_shape


@torch.no_grad()
@settings(max_examples=1500)
@given(anything())
def test_refuses_exactly_what_torch_refuses(arguments: dict[str, Any]) -> None:
    shape = torch_accepts(**arguments)
    event("accepted" if shape else "refused")
    assert convspec_accepts(**arguments) == shape


# -- padding in pairs ---------------------------------------------------------------

NUMPY_MODES: dict[str, Any] = {
    "zeros": "constant",
    "circular": "wrap",
    "reflect": "reflect",
    "replicate": "edge",
    "symmetric": "symmetric",
}
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("dim", [1, 2, 3])
@settings(max_examples=60)
@given(data=st.data())
def test_pairs_are_pad_then_valid(dim: int, data: st.DataObject) -> None:
    case: Case = data.draw(geometries.convolutions(dim, asymmetric=True))
    op = case.operator()
    generator = torch.Generator().manual_seed(case.seed)
    x = torch.randn(1, *op.input_shape, dtype=case.dtype, generator=generator)
    modes = (case.padding_mode,) * dim
    if not isinstance(case.padding_mode, str):
        modes = case.padding_mode
    padded = x.numpy()
    for j, (mode, ends) in enumerate(zip(modes, case.pads, strict=True)):
        widths = [(0, 0)] * (2 + j) + [ends] + [(0, 0)] * (dim - 1 - j)
        padded = np.pad(padded, widths, mode=NUMPY_MODES[mode])
    expected = CONV[dim](
        torch.from_numpy(padded),
        op.weight,
        stride=case.stride,
        dilation=case.dilation,
        groups=case.groups,
    )
    scale = op.frobenius_norm() * x.norm()
    assert (op.apply(x) - expected).abs().max() <= RTOL * scale


def test_pairs_on_paper() -> None:
    """[1, 10, 100] with one zero in front, in place of behind, and wrapped."""
    weight = torch.tensor([[[1.0, 10.0, 100.0]]])

    def matrix(**padding: Any) -> list[list[float]]:
        return cs.ConvOperator(weight, 3, **padding).to_dense().tolist()

    assert matrix(padding=((1, 0),)) == [[10, 100, 0], [1, 10, 100]]
    assert matrix(padding=((0, 1),)) == [[1, 10, 100], [0, 1, 10]]
    assert matrix(padding=((2, 0),), padding_mode="circular") == [
        [100, 1, 10],
        [10, 100, 1],
        [1, 10, 100],
    ]
    assert matrix(padding=((0, 2),), padding_mode="replicate") == [
        [1, 10, 100],
        [0, 1, 110],
        [0, 0, 111],
    ]
    assert matrix(padding=((2, 0),), padding_mode="reflect") == [
        [100, 10, 1],
        [10, 101, 0],
        [1, 10, 100],
    ]


@pytest.mark.parametrize(("size", "pair"), [(5, (1, 1)), (6, (0, 1)), (7, (1, 1))])
def test_tensorflow_same(size: int, pair: tuple[int, int]) -> None:
    """TensorFlow's SAME at stride 2 and kernel 3: ceil(n / 2) outputs."""
    op = cs.ConvOperator(torch.ones(1, 1, 3), size, stride=2, padding=(pair,))
    assert op.output_shape == (1, -(-size // 2))
    sums = op.to_dense().sum(dim=1)
    ends = [3.0 - pair[0], *[3.0] * (len(sums) - 2), 3.0 - pair[1]]
    assert sums.tolist() == ends
