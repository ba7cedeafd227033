"""Joined layers are the same map, up to the rounding that is kept beside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convspec.network.fuse import fused
from convspec.network.graph import Graph
from convspec.network.kinds import Filter, Rows, Sum
from tests.gaussian import gaussian
from tests.node_maps import applied, graph_at, graph_matrix, matrix_of

SHAPE = (2, 5, 4)
FULL = gaussian(1, 2, 2, 3, 3)
WIDE = gaussian(2, 2, 2, 5, 3)
POINT, OUT, INTO = (
    gaussian(3, 2, 2, 1, 1),
    gaussian(4, 3, 2, 1, 1),
    gaussian(5, 2, 3, 1, 1),
)
GROUPED = gaussian(6, 4, 1, 3, 3)
MATRIX = gaussian(7, 3, 40)
VARIANCE, FACTORS = gaussian(8, 2) ** 2, gaussian(9, 2)


def conv(x: Tensor, weight: Tensor = FULL, pad: int = 1, **given: int) -> Tensor:
    return F.conv2d(x, weight, padding=pad, **given)


def wide(x: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(x, WIDE, padding=(2, 1), stride=stride)


def norm(x: Tensor) -> Tensor:
    factors = FACTORS.repeat(x.shape[1] // 2)
    variance = VARIANCE.repeat(x.shape[1] // 2)
    return F.batch_norm(x, torch.zeros_like(variance), variance, factors)


def padded(mode: str) -> Callable[[Tensor], Tensor]:
    return lambda x: F.conv2d(F.pad(x, (1, 1, 1, 1), mode), FULL)


# to one filter, but for the last few
TO_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "batch norm behind": lambda x: norm(conv(x)),
    "batch norm behind a stride": lambda x: norm(conv(x, stride=2)),
    "batch norm behind groups": lambda x: norm(conv(x, GROUPED, groups=2)),
    "a number": lambda x: conv(x) * 3.7,
    "a number divides": lambda x: conv(x) / 3.7,
    "two batch norms": lambda x: norm(norm(conv(x))),
    "1 x 1 behind": lambda x: conv(conv(x), POINT, 0),
    "1 x 1 before": lambda x: conv(conv(x, POINT, 0)),
    "1 x 1 on both sides": lambda x: conv(conv(conv(x, POINT, 0)), OUT, 0),
    "1 x 1 through more": lambda x: conv(conv(x, OUT, 0), INTO, 0),
    "1 x 1 before a stride": lambda x: conv(conv(x, POINT, 0), stride=2),
    **{
        f"1 x 1 before {mode}": lambda x, m=mode: padded(m)(conv(x, POINT, 0))
        for mode in ("reflect", "replicate", "circular")
    },
    "1 x 1 and batch norms": lambda x: norm(conv(norm(conv(x, POINT, 0)))),
    "x + conv(x)": lambda x: x + conv(x),
    "conv(x) - x / 2": lambda x: torch.sub(conv(x), x, alpha=0.5),
    "y + conv(y) of a 1 x 1": lambda x: (y := conv(x, POINT, 0)) + conv(y),
    "two kernels": lambda x: conv(x) + conv(x, WIDE[:, :, 1:4]),
    "two sizes of kernels": lambda x: wide(x) - conv(x),
    "with strides": lambda x: wide(x, 2) + conv(x, stride=2),
    "three branches": lambda x: conv(x) + conv(x, POINT, 0) + x,
    "RepVGG": lambda x: norm(conv(x)) + norm(conv(x, POINT, 0)),
    "dilated and not": lambda x: (
        conv(x, FULL, 2, dilation=2) + F.conv2d(x, gaussian_five, padding=2)
    ),
}
gaussian_five = gaussian(10, 2, 2, 5, 5)

NOT_TO_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "two paddings behind each other": lambda x: conv(conv(x)),
    "batch norm before padding": lambda x: conv(norm(x)),
    "read twice": lambda x: (y := conv(x)) * 2 + y.flip(3),
    "factors of pixels": lambda x: conv(x) * gaussian_pixels,
    "groups": lambda x: conv(x, GROUPED, groups=2).sum(1, keepdim=True),
    "1 x 1 of groups": lambda x: conv(conv(x), POINT[:, :1], 0, groups=2),
    "added with a shift": lambda x: x + F.conv2d(F.pad(x, (2, 0, 1, 1)), FULL),
    "circular sum": lambda x: x + padded("circular")(x),
    "views in a row": lambda x: x.flip(2).mT.flatten(2).roll(1, 2),
    "permuted, flattened": lambda x: F.linear(x.permute(0, 2, 3, 1).flatten(1), MATRIX),
    "padded, flattened": lambda x: F.linear(F.pad(x, (0, 0, -1, 0)).flatten(1), CROPPED),
    "copied, flattened": lambda x: F.linear(x.flatten(1).repeat(1, 2), TWICE),
    "linear of several rows": lambda x: F.linear(x[0].flatten(1), MATRIX[:, :20]),
    "linear of permuted rows": lambda x: F.linear(x[0].mT.flatten(1), MATRIX[:, :20]),
    "transposed": lambda x: norm(F.conv_transpose2d(x, FULL, padding=1)),
}
CROPPED, TWICE, gaussian_pixels = MATRIX[:, :32], gaussian(11, 3, 80), gaussian(12, 5, 4)


def exact_matrix(graph: Graph) -> npt.NDArray[np.longdouble]:
    """The matrix of a linear graph with products and sums in extended precision."""
    found: list[npt.NDArray[np.longdouble]] = []
    for node in graph.nodes:
        size = int(np.prod(node.shape))
        if node.kind is None:
            found.append(np.eye(size, dtype=np.longdouble))
            continue
        shapes = [graph.nodes[each].shape for each in node.inputs]
        sizes = [int(np.prod(shape)) for shape in shapes]
        ones = torch.eye(sum(sizes), dtype=torch.float64).split(sizes)
        own = applied(node.kind, list(ones), shapes, node.shape).numpy()
        stacked = np.concatenate([found[each] for each in node.inputs])
        found.append(own.astype(np.longdouble) @ stacked)
    return np.concatenate([found[place] for place in graph.outputs])


@pytest.mark.parametrize("name", TO_ONE)
def test_joined_to_one(name: str) -> None:
    graph = graph_at(TO_ONE[name], SHAPE)
    (node,) = fused(graph).nodes[1:]
    kind = node.kind
    assert isinstance(kind, Filter)
    assert torch.allclose(graph_matrix(fused(graph)), matrix_of(TO_ONE[name], SHAPE))
    dense = graph_matrix(fused(graph)).numpy().astype(np.longdouble)
    off = (dense - exact_matrix(graph)).astype(np.float64)
    assert np.linalg.norm(off, 2) <= kind.error
    assert kind.error <= 1e-12 * np.linalg.norm(dense.astype(np.float64), 2)


@pytest.mark.parametrize("name", NOT_TO_ONE)
def test_left_as_it_is(name: str) -> None:
    graph = graph_at(NOT_TO_ONE[name], SHAPE)
    less = fused(graph)
    assert len(less.nodes) <= len(graph.nodes)
    matrix = matrix_of(NOT_TO_ONE[name], SHAPE)
    assert torch.allclose(graph_matrix(less), matrix, atol=1e-13)
    assert less.nodes[0] == graph.nodes[0]


def test_views_become_one_and_linear_reads_what_is_behind_them() -> None:
    views = fused(graph_at(NOT_TO_ONE["views in a row"], SHAPE))
    assert len(views.nodes) == 2
    rows = fused(graph_at(NOT_TO_ONE["permuted, flattened"], SHAPE))
    (node,) = rows.nodes[1:]
    assert isinstance(node.kind, Rows)
    assert node.inputs == (0,)


def test_views_that_undo_each_other_are_nothing_but_a_view() -> None:
    graph = fused(graph_at(lambda x: x.flip(2).flip(2).flatten(1), SHAPE))
    (node,) = graph.nodes[1:]
    assert node.kind is not None
    assert node.kind.places is None  # type: ignore[union-attr]


def test_what_others_read_stays() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        y = conv(x)
        return norm(y), y

    graph = fused(graph_at(function, SHAPE))
    assert len(graph.nodes) == 3
    assert torch.allclose(graph_matrix(graph), matrix_of(function, SHAPE))


def test_groups_are_not_summed() -> None:
    def function(x: Tensor) -> Tensor:
        return x + conv(x, GROUPED[:2], groups=2)

    graph = fused(graph_at(function, SHAPE))
    assert isinstance(graph.nodes[-1].kind, Sum)
    assert torch.allclose(graph_matrix(graph), matrix_of(function, SHAPE))


def test_whole_network_keeps_its_matrix() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(80, 3),
    )
    model.double().eval()
    graph = fused(graph_at(model, SHAPE))
    assert len(graph.nodes) == 3
    assert torch.allclose(graph_matrix(graph), matrix_of(model, SHAPE))
