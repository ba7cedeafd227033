"""Linear nodes: their matrices are those of torch, by its images of unit vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from convspec.network.fuse import fused
from convspec.network.kinds import Axes, Filter, Move, Rows, Scale, Sum
from tests.gaussian import gaussian
from tests.node_maps import graph_at, graph_matrix, matrix_of, padded

# shapes of two channels
LINE, IMAGE, ROOM = (2, 7), (2, 6, 5), (2, 3, 4, 3)
W = gaussian(1, 5, 4)
WS = gaussian(2, 3, 4, 5)
KERNEL = gaussian(3, 3, 2, 3, 3)
OFFSETS, FACTORS = gaussian(5, 4, 5), gaussian(6, 2, 1, 1)
MASK = torch.tensor([True, False, True, True, False])

Case = tuple[str, Callable[[Tensor], Any], tuple[int, ...]]

COPIES: list[Case] = [
    ("flatten", lambda x: x.flatten(1), IMAGE),
    ("view", lambda x: x.view(1, 5, -1), IMAGE),
    ("reshape of a transpose", lambda x: x.mT.reshape(1, -1), IMAGE),
    ("squeeze and unsqueeze", lambda x: x.unsqueeze(1).squeeze(0), IMAGE),
    ("unflatten", lambda x: x.unflatten(1, (1, 2)), IMAGE),
    ("contiguous", lambda x: x.mT.contiguous(), IMAGE),
    ("clone", lambda x: x.clone(), IMAGE),
    ("detach", lambda x: x.detach(), IMAGE),
    ("channels last", lambda x: x.to(memory_format=torch.channels_last), IMAGE),
    ("permute", lambda x: x.permute(0, 2, 3, 1), IMAGE),
    ("transpose", lambda x: x.transpose(1, 3), IMAGE),
    ("movedim", lambda x: x.movedim(1, -1), IMAGE),
    ("swapaxes", lambda x: x.swapaxes(1, 2), IMAGE),
    ("t", lambda x: x.t(), (6,)),
    ("flip", lambda x: x.flip(2, 3), IMAGE),
    ("roll", lambda x: x.roll((1, -2), (2, 3)), IMAGE),
    ("pixel shuffle", nn.PixelShuffle(2), (8, 2, 3)),
    ("pixel unshuffle", nn.PixelUnshuffle(2), (2, 4, 6)),
    ("channel shuffle", nn.ChannelShuffle(2), (6, 2, 2)),
    ("slice", lambda x: x[:, 1:, ::2, 1:4], IMAGE),
    ("select", lambda x: x[:, 0, :, -1], IMAGE),
    ("narrow", lambda x: x.narrow(2, 1, 3), IMAGE),
    ("index", lambda x: x[:, :, [0, 0, 3]], IMAGE),
    ("index by a mask", lambda x: x[..., MASK], IMAGE),
    ("index_select", lambda x: x.index_select(3, torch.tensor([4, 1, 1])), IMAGE),
    ("gather", lambda x: x.gather(1, torch.tensor([[1, 1, 0]])), (4,)),
    ("diagonal", lambda x: x.diagonal(0, 2, 3), IMAGE),
    ("triu", lambda x: x.triu(), IMAGE),
    ("tril", lambda x: x.tril(-1), IMAGE),
    ("unfold along an axis", lambda x: x.unfold(2, 3, 2), IMAGE),
    ("patches", lambda x: F.unfold(x, 3, padding=1, stride=2), IMAGE),
    ("split", lambda x: x.split(2, 2), IMAGE),
    ("split by sizes", lambda x: x.split((1, 4), 3)[1], IMAGE),
    ("chunk", lambda x: x.chunk(2, 1)[1], IMAGE),
    ("unbind", lambda x: x.unbind(1), IMAGE),
    ("cat", lambda x: torch.cat([x[:, :1], x, x], 1), IMAGE),
    ("cat with numbers", lambda x: torch.cat([x, torch.ones(1, 2).long()], 1), (4,)),
    ("stack", lambda x: torch.stack([x, x.flip(1)], 2), IMAGE),
    ("expand", lambda x: x[:, :, None].expand(-1, -1, 3, -1, -1), IMAGE),
    ("repeat", lambda x: x.repeat(1, 2, 1, 3), IMAGE),
    ("tile", lambda x: x.tile(2, 1), IMAGE),
    ("repeat_interleave", lambda x: x.repeat_interleave(2, 1), IMAGE),
    (
        "repeat_interleave by numbers",
        lambda x: x.repeat_interleave(torch.tensor([1, 3]), 1),
        IMAGE,
    ),
    ("where", lambda x: torch.where(MASK, x, 7), IMAGE),
    ("where, the other way", lambda x: torch.where(MASK, torch.tensor(3), x), IMAGE),
    ("where of two", lambda x: torch.where(MASK, x, x.roll(1, 3)), IMAGE),
    ("masked_fill", lambda x: x.masked_fill(MASK, -5.0), IMAGE),
    ("masked_fill by a tensor", lambda x: x.masked_fill(MASK, torch.tensor(4.0)), IMAGE),
    ("nearest 1-D", lambda x: F.interpolate(x, 11), LINE),
    ("nearest 2-D", lambda x: F.interpolate(x, scale_factor=(2, 1.5)), IMAGE),
    ("nearest 3-D", lambda x: F.interpolate(x, scale_factor=2), ROOM),
    ("nearest-exact", lambda x: F.interpolate(x, (9, 3), mode="nearest-exact"), IMAGE),
    ("zeros around", padded("constant", 1, 2, 0, 1), IMAGE),
    ("ones around", lambda x: F.pad(x, (1, 1), value=1.0), IMAGE),
    ("cropping", padded("constant", -1, 2), IMAGE),
    ("reflection 1-D", padded("reflect", 2, 1), LINE),
    ("reflection 2-D", padded("reflect", 2, 1, 0, 3), IMAGE),
    ("reflection 3-D", padded("reflect", 1, 1, 0, 1, 2, 0), ROOM),
    ("replication 1-D", padded("replicate", 2, 1), LINE),
    ("replication 2-D", padded("replicate", 2, 1, 0, 3), IMAGE),
    ("replication 3-D", padded("replicate", 1, 1, 0, 1, 2, 0), ROOM),
    ("wrapping around", padded("circular", 2, 1, 0, 3), IMAGE),
]

SUMS: list[Case] = [
    ("x + x", lambda x: x + x, IMAGE),
    ("x - y / 2", lambda x: torch.sub(x, x.flip(3), alpha=0.5), IMAGE),
    ("x + 2 y", lambda x: torch.add(x, x.roll(1, 2), alpha=2), IMAGE),
    ("1 - x", lambda x: 1 - x, IMAGE),
    ("offset", lambda x: x + OFFSETS[0], IMAGE),
    ("broadcast", lambda x: x[:, :1] - x, IMAGE),
    ("broadcast by a constant", lambda x: x[:, :, :1, :1] + OFFSETS, IMAGE),
    ("lerp", lambda x: torch.lerp(x, x.flip(3), 0.25), IMAGE),
    ("negative", lambda x: -x, IMAGE),
    ("times a number", lambda x: 3 * x, IMAGE),
    ("times a constant", lambda x: x * FACTORS, IMAGE),
    ("times a larger constant", lambda x: x[:, :, :1, :1] * OFFSETS, IMAGE),
    ("in place", lambda x: x.clone().mul_(2).add_(x).neg_(), IMAGE),
]
QUOTIENTS: list[Case] = [
    ("over a number", lambda x: x / 3, IMAGE),
    ("over a constant", lambda x: x / FACTORS, IMAGE),
]

PRODUCTS: list[Case] = [
    ("linear", nn.Linear(4, 5), (4,)),
    ("linear without bias", nn.Linear(4, 5, bias=False), (3, 4)),
    ("linear of rows", lambda x: F.linear(x[0], W), (3, 4)),
    ("linear of a vector", lambda x: F.linear(x[0], W, W[:, 0]), (4,)),
    ("linear behind a permutation", lambda x: F.linear(x.mT.flatten(1), WS[0]), (1, 5)),
    ("x W", lambda x: x @ W.T, (3, 4)),
    ("W x", lambda x: W @ x, (2, 4, 3)),
    ("W x of one", lambda x: W @ x, (4, 3)),
    ("W v", lambda x: W @ x[0], (4,)),
    ("v W", lambda x: x[0] @ W.T, (4,)),
    ("addmv", lambda x: torch.addmv(W[:, 0], W, x[0], alpha=2), (4,)),
    ("addmm", lambda x: torch.addmm(W[:3, :4], x[0], WS[0, :, :4], alpha=3), (3, 4)),
    ("dot", lambda x: x[0] @ W[0], (4,)),
    ("bmm", lambda x: torch.bmm(x[0], WS), (3, 2, 4)),
    ("bmm from the left", lambda x: torch.bmm(WS, x[0]), (3, 5, 2)),
    ("einsum", lambda x: torch.einsum("bcd,kc->bkd", x, W), (4, 3)),
    ("einsum of several", lambda x: torch.einsum("bcd,cde->bce", x, WS), (3, 4)),
    ("einsum to a scalar", lambda x: torch.einsum("bc,c->b", x, W[0]), (4,)),
]

MEANS: list[Case] = [
    ("sum", lambda x: x.sum(), IMAGE),
    ("sum over an axis", lambda x: x.sum(2), IMAGE),
    ("sum over the batch", lambda x: x.sum(0), IMAGE),
    ("cumsum", lambda x: x.cumsum(-1), IMAGE),
    ("mean", lambda x: x.mean(), IMAGE),
    ("mean over pixels", lambda x: x.mean((-1, -2)), IMAGE),
    ("mean kept", lambda x: x.mean((2, 3), keepdim=True), IMAGE),
    ("global average", nn.AdaptiveAvgPool2d(1), IMAGE),
    ("adaptive 1-D", nn.AdaptiveAvgPool1d(3), LINE),
    ("adaptive 2-D", nn.AdaptiveAvgPool2d((4, None)), IMAGE),
    ("adaptive 3-D", nn.AdaptiveAvgPool3d((2, 3, 2)), ROOM),
    ("area", lambda x: F.interpolate(x, (4, 3), mode="area"), IMAGE),
    ("average with an own divisor", nn.AvgPool2d(2, 1, divisor_override=3), IMAGE),
    ("average 3-D", nn.AvgPool3d(2, 1, 1), ROOM),
    ("average over the whole", nn.AvgPool2d((6, 5)), IMAGE),
]
MEANS += [
    (
        f"average {kernel}, {stride}, {pad}, {ceil}, {counted}",
        nn.AvgPool1d(kernel, stride, pad, ceil, counted),
        LINE,
    )
    for kernel, stride, pad, ceil, counted in itertools.product(
        (2, 3), (1, 2, 3), (0, 1), (False, True), (False, True)
    )
]
MEANS += [
    (
        f"average 2-D {ceil}, {counted}",
        nn.AvgPool2d((3, 2), (2, 3), (1, 0), ceil, counted),
        IMAGE,
    )
    for ceil, counted in itertools.product((False, True), (False, True))
]


def interpolation(mode: str, corners: bool, shape: tuple[int, ...], **given: Any) -> Case:
    words = f"{mode}, corners {corners}, {given}"
    return (
        words,
        lambda x: F.interpolate(x, mode=mode, align_corners=corners, **given),
        shape,
    )


for _corners in (False, True):
    for _mode, _shape, _size in (
        ("linear", LINE, (10,)),
        ("bilinear", IMAGE, (7, 3)),
        ("bicubic", IMAGE, (7, 9)),
        ("trilinear", ROOM, (4, 3, 7)),
    ):
        MEANS.append(interpolation(_mode, _corners, _shape, size=_size))
        MEANS.append(interpolation(_mode, _corners, _shape, scale_factor=1.7))
        MEANS.append(
            interpolation(
                _mode,
                _corners,
                _shape,
                scale_factor=1.7,
                recompute_scale_factor=True,
            )
        )

CONVOLUTIONS: list[Case] = [
    ("1-D", nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2), LINE),
    ("2-D", nn.Conv2d(2, 4, (3, 2), padding=(0, 1), groups=2), IMAGE),
    ("3-D", nn.Conv3d(2, 3, 2, padding=1), ROOM),
    ("same", nn.Conv2d(2, 3, (1, 3), dilation=2, padding="same"), IMAGE),
    ("transposed", nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), IMAGE),
    ("transposed 1-D", nn.ConvTranspose1d(2, 4, 3, 2, groups=2), LINE),
    ("unbatched", lambda x: F.conv2d(x[0], KERNEL), IMAGE),
    *[
        (mode, nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode), IMAGE)
        for mode in ("zeros", "reflect", "replicate", "circular")
    ],
    *[
        (
            f"behind {mode} padding",
            lambda x, m=mode: F.conv2d(padded(m, 2, 1, 0, 1)(x), KERNEL),
            IMAGE,
        )
        for mode in ("constant", "reflect", "replicate", "circular")
    ],
    ("batch norm", nn.BatchNorm2d(2), IMAGE),
    ("batch norm without factors", nn.BatchNorm1d(2, affine=False), LINE),
    ("batch norm of a vector", nn.BatchNorm1d(4), (4,)),
]


def ids(cases: list[Case]) -> dict[str, Any]:
    return {
        "argnames": ("function", "shape"),
        "argvalues": [case[1:] for case in cases],
        "ids": [case[0] for case in cases],
    }


def filled(function: Any) -> Any:
    """Statistics and factors of batch norms that are not 0 and 1."""
    if isinstance(function, nn.Module):
        function.double()
        for number, tensor in enumerate(function.parameters()):
            tensor.data = gaussian(50 + number, *tensor.shape)
        for name, tensor in function.named_buffers():
            if name.endswith("running_var"):
                tensor.copy_(gaussian(9, *tensor.shape) ** 2)
    return function


@pytest.mark.parametrize(**ids(COPIES))
def test_copies_are_exact(function: Any, shape: tuple[int, ...]) -> None:
    graph = graph_at(function, shape)
    kinds = [node.kind for node in graph.nodes[1:]]
    assert all(isinstance(kind, Move) for kind in kinds)
    matrix = matrix_of(function, shape)
    assert torch.equal(graph_matrix(graph), matrix)
    assert torch.equal(graph_matrix(fused(graph)), matrix)


@pytest.mark.parametrize(**ids(SUMS))
def test_sums_and_factors(function: Any, shape: tuple[int, ...]) -> None:
    graph = graph_at(function, shape)
    assert any(isinstance(node.kind, Sum | Scale) for node in graph.nodes)
    assert torch.allclose(
        graph_matrix(graph), matrix_of(function, shape), rtol=0, atol=2e-15
    )


@pytest.mark.parametrize(**ids(QUOTIENTS))
def test_quotients_are_off_by_what_they_say(
    function: Any, shape: tuple[int, ...]
) -> None:
    graph = graph_at(function, shape)
    (kind,) = [node.kind for node in graph.nodes[1:]]
    assert isinstance(kind, Scale)
    matrix = matrix_of(function, shape)
    # torch's quotient is rounded, too
    bound = (kind.relative + 2.0**-53) * (1 + 1e-9) * matrix.abs()
    assert bool(((graph_matrix(graph) - matrix).abs() <= bound).all())


@pytest.mark.parametrize(**ids(PRODUCTS))
def test_products(function: Any, shape: tuple[int, ...]) -> None:
    graph, matrix = graph_at(filled(function), shape), matrix_of(function, shape)
    assert any(isinstance(node.kind, Axes | Rows) for node in graph.nodes)
    assert torch.allclose(graph_matrix(graph), matrix, rtol=0, atol=1e-14)
    assert torch.allclose(graph_matrix(fused(graph)), matrix, rtol=0, atol=1e-14)


@pytest.mark.parametrize(**ids(MEANS))
def test_means_and_interpolation(function: Any, shape: tuple[int, ...]) -> None:
    graph, matrix = graph_at(function, shape), matrix_of(function, shape)
    found = graph_matrix(graph)
    kinds = [node.kind for node in graph.nodes if isinstance(node.kind, Axes)]
    relative = sum(kind.relative for kind in kinds)
    assert len(kinds) == 1
    assert torch.allclose(found, matrix, rtol=1e-15 + 4 * relative, atol=1e-15)
    assert torch.equal(found != 0, matrix.abs() > 1e-12)


@pytest.mark.parametrize(**ids(CONVOLUTIONS))
def test_convolutions(function: Any, shape: tuple[int, ...]) -> None:
    graph, matrix = graph_at(filled(function), shape), matrix_of(function, shape)
    kinds = [n.kind for n in graph.nodes if isinstance(n.kind, Filter | Scale)]
    assert len(kinds) == 1
    assert torch.allclose(graph_matrix(graph), matrix, rtol=1e-14, atol=1e-14)


def test_padding_before_a_convolution_is_a_part_of_it() -> None:
    for mode in ("constant", "reflect", "replicate", "circular"):
        graph = graph_at(
            lambda x, m=mode: F.conv2d(padded(m, 1, 1, 1, 1)(x), KERNEL), IMAGE
        )
        assert [type(node.kind) for node in graph.nodes[1:]] == [Filter]


def test_padding_that_others_read_stays_beside() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        wide = F.pad(x, (1, 1, 1, 1), "reflect")
        return F.conv2d(wide, KERNEL), wide

    graph = graph_at(function, IMAGE)
    assert torch.allclose(graph_matrix(graph), matrix_of(function, IMAGE), atol=1e-14)


@pytest.mark.parametrize("wrapped", ["weight norm", "spectral norm", "shared"])
def test_weights_that_are_computed(wrapped: str) -> None:
    layer = filled(nn.Conv2d(2, 2, 3, padding=1))
    if wrapped == "weight norm":
        layer = parametrizations.weight_norm(layer)
    elif wrapped == "spectral norm":
        layer = parametrizations.spectral_norm(layer)
    model = nn.Sequential(layer, layer).eval()
    graph, matrix = graph_at(model, IMAGE), matrix_of(model, IMAGE)
    assert torch.allclose(graph_matrix(graph), matrix, atol=1e-13)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_scripted_and_exported_and_parallel_models() -> None:
    plain = filled(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)))
    plain.eval()
    matrix = matrix_of(plain, IMAGE)
    x = torch.zeros(1, *IMAGE, dtype=torch.float64)
    exported = torch.export.export(plain, (x,)).module()
    parallel = nn.DataParallel(plain)
    for model in (torch.jit.trace(plain, x), exported, parallel):
        assert torch.allclose(graph_matrix(graph_at(model, IMAGE)), matrix, atol=1e-14)
