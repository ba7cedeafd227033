"""What pads and cuts is part of the operator: whole blocks, by one-hot images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import convspec as cs
from tests.gaussian import gaussian

Map = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """A function of an image, and layers that it calls."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **dict(self.named_children()))


def layer(kind: type[nn.Module], *given: Any, **named: Any) -> nn.Module:
    """A layer with normal weights and no bias, in double precision."""
    made = kind(*given, **named).double()
    for place, parameter in enumerate(made.parameters()):
        sixteenths = (
            16 * gaussian(place, *parameter.shape)
        ).round() / 16  # add up exactly
        parameter.data = sixteenths * (parameter.ndim > 1)
    return made


def written_out(block: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The linear part of a block as a matrix, column by column."""
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    size = zero.numel()
    with torch.no_grad():
        constant = block(zero).flatten()
        columns = [
            block(one.reshape(1, *shape)).flatten() - constant
            for one in torch.eye(size, dtype=torch.float64)
        ]
    return torch.stack(columns, 1)


def only(report: cs.ModelReport) -> cs.LayerReport:
    (row,) = report
    return row


def conv(*given: Any, **named: Any) -> nn.Module:
    return layer(nn.Conv2d, *given, **named)


def cat_around(x: Tensor) -> Tensor:
    """Circular padding by hand."""
    x = torch.cat([x[..., -2:], x, x[..., :1]], -1)
    return torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2)


# a block, the image, what the row says
CASES: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "reflection before": (
        nn.Sequential(nn.ReflectionPad2d(2), conv(2, 3, 3)),
        (2, 5, 6),
        "reflect 2 before",
    ),
    "symmetric by hand": (
        Block(
            lambda x, c: c(torch.cat([x[..., :2].flip(-1), x, x[..., -2:].flip(-1)], -1)),
            c=layer(nn.Conv1d, 2, 3, 4),
        ),
        (2, 7),
        "symmetric 2 before",
    ),
    "a panorama": (
        nn.Sequential(
            nn.ZeroPad2d((0, 0, 1, 1)), nn.CircularPad2d((2, 1, 0, 0)), conv(2, 3, 3)
        ),
        (2, 5, 6),
        "zeros/circular (1,1),(2,1) before",
    ),
    "replication, strided": (
        nn.Sequential(nn.ReplicationPad2d((1, 2, 0, 3)), conv(2, 3, 3, stride=2)),
        (2, 5, 6),
        "replicate (0,3),(1,2) before",
    ),
    "circular, dilated": (
        nn.Sequential(nn.CircularPad2d(2), conv(2, 2, 3, dilation=2, groups=2)),
        (2, 5, 6),
        "circular 2 before",
    ),
    "zeros on one side": (
        nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv(2, 3, 3, stride=2)),
        (2, 6, 6),
        "zeros (0,1),(0,1) before",
    ),
    "zeros beside its own": (
        nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), conv(2, 3, 3, padding=1)),
        (2, 4, 5),
        "zeros (2,0),(0,1) before",
    ),
    "twice": (
        nn.Sequential(nn.ZeroPad2d(1), nn.ZeroPad2d((1, 0, 0, 0)), conv(2, 3, 3)),
        (2, 4, 4),
        "zeros (1,1),(2,1) before",
    ),
    "a constant": (
        nn.Sequential(nn.ConstantPad2d(1, 3.0), conv(2, 3, 3)),
        (2, 4, 4),
        "zeros 1 before",
    ),
    "joined by hand": (
        Block(lambda x, c: c(cat_around(x)), c=conv(2, 3, 3)),
        (2, 4, 5),
        "circular (1,1),(2,1) before",
    ),
    "reshaped to one image of all channels": (
        Block(
            lambda x, c: c(F.pad(x, (1, 1, 1, 1), mode="reflect").reshape(1, -1, 6, 7)),
            c=conv(2, 2, 3, groups=2),
        ),
        (2, 4, 5),
        "reflect 1 before",
    ),
    "one-dimensional": (
        nn.Sequential(nn.ReflectionPad1d((3, 1)), layer(nn.Conv1d, 1, 2, 4)),
        (1, 7),
        "reflect (3,1) before",
    ),
    "three-dimensional": (
        nn.Sequential(nn.ReplicationPad3d(1), layer(nn.Conv3d, 1, 1, 2)),
        (1, 3, 2, 4),
        "replicate 1 before",
    ),
    "causal, cut behind": (
        Block(
            lambda x, c: c(x)[..., :-4],
            c=layer(nn.Conv1d, 2, 2, 3, padding=4, dilation=2),
        ),
        (2, 9),
        "(0,4) cut after",
    ),
    "cut in front": (
        Block(lambda x, c: c(x)[..., 1:, :], c=conv(2, 2, 3, padding=1)),
        (2, 4, 5),
        "(1,0),(0,0) cut after",
    ),
    "cut by negative padding": (
        Block(lambda x, c: F.pad(c(x), (-1, 0, 0, -1)), c=conv(2, 2, 3, padding=2)),
        (2, 4, 5),
        "(0,1),(1,0) cut after",
    ),
    "strided, cut": (
        Block(lambda x, c: c(x)[..., :-1], c=layer(nn.Conv1d, 1, 2, 5, 2, padding=4)),
        (1, 9),
        "(0,1) cut after",
    ),
    "padded and cut": (
        Block(
            lambda x, c: c(F.pad(x, (2, 2), mode="reflect"))[..., 1:-1],
            c=layer(nn.Conv1d, 1, 1, 3),
        ),
        (1, 6),
        "reflect 2 before, 1 cut after",
    ),
    "transposed, cut": (
        Block(lambda x, c: c(x)[..., 1:-2], c=layer(nn.ConvTranspose1d, 2, 3, 4, 2)),
        (2, 5),
        "(1,2) cut after",
    ),
    "transposed, output padding, cut twice": (
        Block(
            lambda x, c: c(x)[..., 1:, :][..., :-1],
            c=layer(nn.ConvTranspose2d, 1, 2, 3, 2, padding=1, output_padding=1),
        ),
        (1, 3, 4),
        "(1,0),(0,1) cut after",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_row_is_the_whole_block(case: str) -> None:
    block, shape, words = CASES[case]
    row = only(cs.analyze(block, inputs=torch.zeros(1, *shape, dtype=torch.float64)))
    assert row.operator.input_shape == shape
    assert torch.equal(row.operator.to_dense(), written_out(block, shape))
    assert row.geometry.endswith(f"({words})")
    assert row.left_out == ()


PADDED = [case for case in CASES if "before" in CASES[case][2]]


@pytest.mark.filterwarnings("ignore:.*TorchScript.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("case", PADDED)
@pytest.mark.parametrize("make", ["traced", "exported"])
def test_so_it_is_of_graphs(make: str, case: str) -> None:
    block, shape, _ = CASES[case]
    x = torch.zeros(1, *shape, dtype=torch.float64)
    model = (
        torch.jit.trace(block, x)
        if make == "traced"
        else torch.export.export(block, (x,))
    )
    row = only(cs.analyze(model, inputs=x))
    assert torch.equal(row.operator.to_dense(), written_out(block, shape))


OUTSIDE: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "reflection in front of zeros": (
        nn.Sequential(nn.ReflectionPad2d(1), conv(2, 3, 3, padding=1)),
        (2, 5, 6),
        "what pads its input, aten::reflection_pad2d, is no part of it",
    ),
    "two modes": (
        nn.Sequential(
            nn.ReflectionPad2d((1, 1, 0, 0)),
            nn.ReplicationPad2d((1, 1, 0, 0)),
            conv(1, 1, 3),
        ),
        (1, 4, 5),
        "what pads its input, aten::reflection_pad2d, is no part of it",
    ),
    "channels": (
        Block(lambda x, c: c(F.pad(x, (0, 0, 0, 0, 0, 1))), c=conv(3, 1, 3)),
        (2, 4, 4),
        "what pads its input, aten::constant_pad_nd, is no part of it",
    ),
    "before it is transposed": (
        nn.Sequential(nn.ZeroPad2d(1), layer(nn.ConvTranspose2d, 1, 1, 3)),
        (1, 4, 4),
        "what pads its input, aten::constant_pad_nd, is no part of it",
    ),
    "cut by more than it is padded": (
        Block(lambda x, c: c(x)[..., 1:], c=layer(nn.Conv1d, 1, 1, 3)),
        (1, 8),
        "what cuts its output, aten::slice, is no part of it",
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_one_operator_cannot_tell_is_said(case: str) -> None:
    block, shape, words = OUTSIDE[case]
    row = only(cs.analyze(block, inputs=torch.zeros(1, *shape, dtype=torch.float64)))
    assert row.left_out[0].startswith(words)
    assert "hold for the convolution alone" in row.left_out[0]


ALONE: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "its output is read uncut": (
        Block(
            lambda x, c: (c(x)[..., :-1], c(x).mean())[0] + 0 * c(x).sum(),
            c=conv(1, 1, 3),
        ),
        (1, 5, 5),
    ),
    "every second output": (
        Block(lambda x, c: c(x)[..., ::2], c=conv(1, 1, 3, padding=1)),
        (1, 5, 5),
    ),
    "what pads comes behind": (
        Block(lambda x, c: F.pad(c(x), (1, 1)), c=conv(1, 1, 3)),
        (1, 5, 5),
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_what_is_no_part_of_it_changes_nothing(case: str) -> None:
    block, shape = ALONE[case]
    rows = cs.analyze(block, inputs=torch.zeros(1, *shape, dtype=torch.float64))
    alone = cs.ConvOperator.from_layer(block.c, shape[1:])
    assert all(torch.equal(row.operator.to_dense(), alone.to_dense()) for row in rows)


def test_an_output_that_is_returned_uncut_is_not_cut() -> None:
    block = Block(lambda x, c: _both(c(x)), c=conv(1, 1, 3, padding=1))
    row = only(cs.analyze(block, inputs=torch.zeros(1, 1, 5, 5, dtype=torch.float64)))
    assert row.operator.output_shape == (1, 5, 5)


def _both(y: Tensor) -> Any:
    return y, y[..., :-1]


def test_what_is_written_to_is_not_what_it_was() -> None:
    """Padding, then a function in place: the convolution reads what that left."""
    block = Block(lambda x, c: c(F.pad(x, (1, 1, 1, 1)).relu_()), c=conv(1, 1, 3))
    row = only(cs.analyze(block, inputs=torch.zeros(1, 1, 5, 5, dtype=torch.float64)))
    assert row.operator.input_shape == (1, 7, 7)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_blocks(data: st.DataObject) -> None:
    """Padding of any mode and amount, then a convolution, then a cut: exact or said."""
    mode = data.draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    sizes = data.draw(st.lists(st.integers(3, 6), min_size=1, max_size=2))
    amount = st.integers(0, 2)
    pads = [data.draw(amount) for _ in range(2 * len(sizes))]
    kind = nn.Conv1d if len(sizes) == 1 else nn.Conv2d
    made = layer(
        kind,
        1,
        2,
        data.draw(st.integers(1, 3)),
        stride=data.draw(st.integers(1, 2)),
        padding=data.draw(amount),
    )
    front, back = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    span = slice(front, None if back == 0 else -back)

    def function(x: Tensor, c: nn.Module) -> Tensor:
        padded = F.pad(x, pads, mode=mode) if any(pads) else x
        return c(padded)[..., span]

    block, shape = Block(function, c=made), (1, *sizes)
    x = torch.zeros(1, *shape, dtype=torch.float64)
    if 0 in block(x).shape:
        return
    row = only(cs.analyze(block, inputs=x))
    truth = written_out(block, shape)
    if row.left_out:
        assert "hold for the convolution alone" in row.left_out[0]
    else:
        assert torch.equal(row.operator.to_dense(), truth)


@pytest.mark.parametrize("mode", ["circular", "reflect"])
def test_places_are_counted_whatever_the_default_device(mode: str) -> None:
    conv_ = conv(1, 2, 3)
    block = Block(lambda x, c: c(F.pad(x, (1, 1, 1, 1), mode=mode)), c=conv_)
    x = torch.zeros(1, 1, 4, 5, dtype=torch.float64)
    with torch.device("meta"):
        row = only(cs.analyze(block, inputs=x))
    assert torch.equal(row.operator.to_dense(), written_out(block, (1, 4, 5)))
