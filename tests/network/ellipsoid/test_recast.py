"""Nodes written as those that a torus carries: what they do stays what it was."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convspec as cs
from convspec.network.ellipsoid.averages import HEAD_ENTRIES
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.recast import recast
from convspec.network.kinds import Bounded, Entrywise, Filter
from tests.gaussian import gaussian
from tests.network.test_sound import assert_above, steepest, steepest_pattern
from tests.node_maps import graph_at, graph_matrix, matrix_of
from tests.reshaping_nets import Call, reshaping_net

Function = nn.Module | Callable[[Tensor], Tensor]
# more pixels than are left to be a vector, for what pools
LONG = 2 * HEAD_ENTRIES + 6

FILTERS: dict[str, tuple[Function, tuple[int, ...]]] = {
    "average of whole windows": (nn.AvgPool1d(2), (1, LONG)),
    "average with padding": (nn.AvgPool1d(3, 1, 1), (1, LONG)),
    "average that leaves out pixels": (nn.AvgPool1d(3, 2), (1, LONG)),
    "adaptive average that divides": (nn.AdaptiveAvgPool1d(LONG // 2), (1, LONG)),
    "average of rows": (lambda x: x.unflatten(2, (3, 2)).mean(3), (2, 6)),
    "padding": (lambda x: F.pad(x, (1, 2, 0, 3)), (2, 3, 4)),
    "padding of one side": (lambda x: F.pad(x, (0, 2)), (2, 5)),
    "crop": (lambda x: x[:, :, 1:4, 2:], (2, 5, 6)),
    "crop and padding": (lambda x: F.pad(x, (-1, 2, 1, -2)), (2, 5, 6)),
    "every other pixel": (lambda x: x[:, :, ::2], (2, 7)),
    "every third pixel from the second on": (lambda x: x[:, :, 1::3, ::2], (1, 9, 5)),
    "moved by a pixel": (lambda x: F.pad(x, (1, -1)), (2, 6)),
    "padding and exchanged channels": (lambda x: F.pad(x, (1, 1)).flip(1), (3, 4)),
    "pixel unshuffle": (nn.PixelUnshuffle(2), (2, 4, 6)),
    "pixel shuffle": (nn.PixelShuffle(2), (8, 2, 3)),
    "pixel shuffle of three": (nn.PixelShuffle(3), (9, 2, 2)),
    "nearest": (nn.Upsample(scale_factor=2), (2, 3, 4)),
    "nearest along one axis": (nn.Upsample(scale_factor=(1, 3)), (2, 3, 2)),
    "nearest of one axis": (nn.Upsample(scale_factor=3), (2, 4)),
    "repeated": (lambda x: x.repeat_interleave(2, 2), (2, 5)),
}


@pytest.mark.parametrize("name", FILTERS)
def test_moves_and_means_are_convolutions(name: str) -> None:
    function, shape = FILTERS[name]
    model: Function = (
        function if isinstance(function, nn.Module) else (lambda x: function(x) * 1.0)
    )
    if shape == (1, LONG):  # too long for its matrix
        made = recast(graph_at(model, shape))
        (kind,) = [node.kind for node in made.nodes if isinstance(node.kind, Filter)]
        x = gaussian(1, 1, *shape)
        found = kind.op.apply(x)
        assert isinstance(model, nn.Module)
        torch.testing.assert_close(found, model(x), rtol=0, atol=kind.error * 10)
        return
    made = recast(graph_at(model, shape))
    if name == "average of rows":  # of a view, which no torus holds
        assert not any(isinstance(node.kind, Filter) for node in made.nodes)
        return
    assert any(isinstance(node.kind, Filter) for node in made.nodes)
    assert torch.equal(graph_matrix(made), matrix_of(model, shape))


BOUNDED: dict[str, tuple[Function, tuple[int, ...], float]] = {
    "nearest by no integer": (nn.Upsample(size=5), (2, 3), math.sqrt(2)),
    "turned": (lambda x: x.mT, (1, 4, 5), 1.0),
    "mirrored": (lambda x: x.flip(2), (2, 4), 1.0),
    "reflected": (lambda x: F.pad(x, (2, 1), mode="reflect"), (1, 5), math.sqrt(2)),
    "replicated": (lambda x: F.pad(x, (3, 1), mode="replicate"), (1, 5), 2.0),
    "a vector at all pixels": (lambda x: x.expand(-1, -1, 3, 3), (2, 1, 1), 3.0),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_other_moves_have_the_norm_of_copying(name: str) -> None:
    model, shape, norm = BOUNDED[name]
    made = recast(graph_at(model, shape))
    (kind,) = [node.kind for node in made.nodes if isinstance(node.kind, Bounded)]
    assert norm <= kind.constant <= norm * (1 + 1e-15)
    matrix = matrix_of(model, shape)
    assert abs(float(torch.linalg.matrix_norm(matrix, 2)) - norm) < 1e-14


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_padding_that_repeats_is_a_map_of_its_own(mode: str) -> None:
    layer = nn.Conv2d(1, 2, 3, stride=2, padding=1, padding_mode=mode, bias=False)
    made = recast(graph_at(layer.double(), (1, 5, 6)))
    first, second = made.nodes[1:]
    assert isinstance(first.kind, Bounded)
    assert isinstance(second.kind, Filter)
    assert (first.shape, second.shape) == ((1, 1, 7, 8), (1, 2, 3, 3))
    assert first.kind.constant == 2.0
    x = gaussian(3, 1, 1, 5, 6)
    inner = F.pad(x, (1, 1, 1, 1), mode=mode)
    torch.testing.assert_close(second.kind.op.apply(inner), layer(x))


def test_padding_that_nothing_reads_is_none() -> None:
    inner = nn.Conv1d(1, 1, 1, stride=2, bias=False).double()
    model = nn.Sequential(nn.ReflectionPad1d((0, 1)), inner)
    made = recast(graph_at(model, (1, 5)))
    (node,) = made.nodes[1:]
    assert isinstance(node.kind, Filter)
    assert {axis.mode for axis in node.kind.op.geometry.axes} == {"zeros"}


@pytest.mark.parametrize("of", [torch.maximum, torch.minimum, torch.max, torch.min])
def test_a_maximum_of_two_is_an_activation(of: Callable[..., Tensor]) -> None:
    model: Function = lambda x: of(x[:, :1], x[:, 1:])  # noqa: E731
    made = recast(graph_at(model, (2, 3)))
    (place,) = [p for p, n in enumerate(made.nodes) if isinstance(n.kind, Entrywise)]
    larger = graph_matrix(made, {place: torch.ones(1, 1, 3)})
    smaller = graph_matrix(made, {place: torch.zeros(1, 1, 3)})
    both = {tuple(matrix.flatten().tolist()) for matrix in (larger, smaller)}
    first = torch.cat([torch.eye(3), torch.zeros(3, 3)], 1).flatten().tolist()
    second = torch.cat([torch.zeros(3, 3), torch.eye(3)], 1).flatten().tolist()
    assert both == {tuple(first), tuple(second)}


@pytest.mark.parametrize("size", [(2, 4, 3), (1, 1, 3), (3,)])
def test_factors_of_pixels_are_carried(size: tuple[int, ...]) -> None:
    """As maps of entries with one slope, whatever its sign."""
    factor = gaussian(3, *size)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        Call(lambda x: x * factor),
        nn.ReLU(),
        nn.Conv2d(2, 1, 3, padding=1),
    ).double()
    for number, tensor in enumerate(net.state_dict().values()):
        tensor.copy_(gaussian(number, *tensor.shape))
    bound = cs.lipschitz(net, (1, 4, 3), seconds=0.5, lower=False)
    assert any(step.name == "first ellipsoid" for step in bound.steps)
    assert_above(bound, steepest(net, (1, 4, 3), 1))
    graph = graph_at(net, (1, 4, 3))
    assert_above(bound, steepest_pattern(graph, 1))
    made = recast(graph)
    patterns = {
        place: node.kind.upper.expand(node.shape)
        for place, node in enumerate(made.nodes)
        if isinstance(node.kind, Entrywise)
    }
    ones = {
        place: torch.ones(node.shape, dtype=torch.float64)
        for place, node in enumerate(graph.nodes)
        if isinstance(node.kind, Entrywise)
    }
    assert torch.allclose(graph_matrix(made, patterns), graph_matrix(graph, ones))


def test_activations_come_before_the_row() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.PReLU(), nn.Linear(8, 2))
    made = prepared(graph_at(model.double(), (1, 6)), True)
    (node,) = [node for node in made.nodes if isinstance(node.kind, Entrywise)]
    assert node.shape == (1, 2, 4)
    assert not Layout.torus(made).lattices[made.nodes.index(node)].is_vector


def test_pooling_of_one_axis_is_that() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(2), nn.Conv1d(2, 1, 2))
    made = prepared(graph_at(model.double(), (1, 10)), True)
    (node,) = [node for node in made.nodes if isinstance(node.kind, Bounded)]
    assert node.shape == (1, 2, 4)
    assert isinstance(node.kind, Bounded)
    assert node.kind.axes == (2,)
    assert len(made.nodes) == 4


TORUS: dict[str, tuple[nn.Module, tuple[int, ...], float]] = {
    # each pixel is copied to four, all of them its own
    "nearest": (nn.Upsample(scale_factor=2), (1, 4, 4), 2.0),
    "pixel shuffle": (nn.PixelShuffle(2), (4, 3, 3), 1.0),
    "pixel unshuffle": (nn.PixelUnshuffle(2), (1, 4, 4), 1.0),
    "padding": (nn.ZeroPad2d((1, 2, 0, 1)), (2, 3, 4), 1.0),
    "crop": (nn.ZeroPad2d((-1, 0, 0, -1)), (2, 3, 4), 1.0),
}


@pytest.mark.parametrize("name", TORUS)
def test_known_norms_on_a_torus(name: str) -> None:
    model, shape, norm = TORUS[name]
    model = nn.Sequential(model, nn.ReLU())
    bound = cs.lipschitz(model, shape, method="ellipsoid", seconds=4, lower=False)
    step = next(step for step in bound.steps if step.name == "ellipsoid")
    assert norm <= step.upper <= norm * 1.01


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_transposed_convolutions_of_one_channel_are_exact(kernel: int) -> None:
    """Of one channel the blocks of aliases add up to the energy, which is the norm."""
    layer = nn.ConvTranspose1d(1, 1, kernel, stride=2, bias=False).double()
    layer.weight.data.copy_(gaussian(kernel, 1, 1, kernel))
    model = nn.Sequential(layer, nn.Identity())
    bound = cs.lipschitz(model, (1, 8), method="ellipsoid", seconds=4, lower=False)
    step = next(step for step in bound.steps if step.name == "ellipsoid")
    taps = layer.weight[0, 0].detach()
    truth = float(torch.linalg.matrix_norm(matrix_of(model, (1, 8)), 2))
    # sup_w of sum_p |F_p(w)|^2 over the two phases
    waves = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)
    energy = torch.zeros(len(waves), dtype=torch.float64)
    for phase in range(2):
        some = taps[phase::2]
        terms = [tap * torch.exp(1j * t * waves) for t, tap in enumerate(some)]
        energy = energy + torch.stack(terms).sum(0).abs() ** 2
    supremum = float(energy.max().sqrt())
    assert truth * (1 - 1e-12) <= step.upper <= supremum * (1 + 2e-3)


def assert_sound(seed: int) -> None:
    """Each upper end is above Jacobians, and above slopes at either end."""
    model, shape = reshaping_net(seed)
    bound = cs.lipschitz(model, shape, seconds=0.5, lower=False)
    assert_above(bound, steepest(model, shape, seed))
    graph = graph_at(model, shape)
    assert_above(bound, steepest_pattern(graph, seed))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_below_what_such_networks_do(seed: int) -> None:
    assert_sound(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(20, 640, 20))
def test_nothing_is_below_what_many_such_networks_do(first: int) -> None:
    for seed in range(first, first + 20):
        assert_sound(seed)
