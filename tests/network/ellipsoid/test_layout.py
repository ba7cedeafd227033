"""Which torus holds a network, what is cut off, and what no torus holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from convspec.network.domain import domain_of
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.tori import Tori
from convspec.network.graph import Graph, graph_of
from convspec.network.kinds import Axes, Bounded, Entrywise
from convspec.network.norms import Norms
from convspec.network.reading import network_of


def graph(model: nn.Module, shape: tuple[int, ...]) -> Graph:
    return prepared(graph_of(model.eval(), torch.zeros(1, *shape)), True)


def sizes(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    return Layout.torus(graph(model, shape)).lattices[0].sizes


def strided(count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [nn.Conv2d(2, 2, 3, stride=2, padding=1), nn.ReLU()]
    return layers


SIZES = {
    "no padding": (nn.Conv2d(2, 2, 3), (2, 9, 7), (9, 7)),
    "padding of one": (nn.Conv2d(2, 2, 3, padding=1), (2, 9, 7), (10, 8)),
    "circular": (
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        (2, 9, 7),
        (9, 7),
    ),
    "five strides of 224": (nn.Sequential(*strided(5)), (2, 224, 224), (256, 256)),
    "one axis": (nn.Conv1d(2, 2, 5, padding=2), (2, 12), (14,)),
    "dilation": (nn.Conv2d(2, 2, 3, padding=3, dilation=3), (2, 8, 8), (11, 11)),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_least_torus_holds_images_and_their_padding(name: str) -> None:
    model, shape, wanted = SIZES[name]
    assert sizes(model, shape) == wanted


CUTS = {
    "behind the input": (nn.Conv1d(1, 1, 3, padding=1), 0),
    "behind an activation": (
        nn.Sequential(*[nn.Conv1d(1, 1, 3, padding=1), nn.ReLU()] * 2),
        0,
    ),
    "behind a convolution": (
        nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 3, padding=1)),
        1,
    ),
    "behind a convolution that pads nothing": (
        nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 3)),
        0,
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts_stand_where_nothing_else_cuts(name: str) -> None:
    model, count = CUTS[name]
    kinds = [node.kind for node in graph(model, (1, 8)).nodes]
    cuts = [kind for kind in kinds if isinstance(kind, Entrywise) and kind.words == "cut"]
    assert len(cuts) == count


def test_slopes_include_zero_where_padding_follows() -> None:
    model = nn.Sequential(nn.LeakyReLU(0.5), nn.Conv1d(1, 1, 3, padding=1))
    (kind,) = [
        n.kind for n in graph(model, (1, 8)).nodes if isinstance(n.kind, Entrywise)
    ]
    assert float(kind.lower) == 0.0
    model = nn.Sequential(nn.LeakyReLU(0.5), nn.Conv1d(1, 1, 3))
    (kind,) = [
        n.kind for n in graph(model, (1, 8)).nodes if isinstance(n.kind, Entrywise)
    ]
    assert float(kind.lower) == 0.5


@pytest.mark.parametrize(
    ("channels", "strides"), [(4, [(1,), (2,), None]), (80, [(1,), (2,), (4,)])]
)
def test_pooling_leaves_a_vector_where_it_is_short(
    channels: int, strides: list[tuple[int, ...] | None]
) -> None:
    """Pooling of few entries is exact; of many it keeps their size alone."""
    layers = [nn.Conv2d(1, channels, 3, 2, 1), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU()]
    made = graph(nn.Sequential(*layers), (1, 32, 32))
    lattices = [lattice.sizes for lattice in Layout.torus(made).lattices]
    base = lattices[0][0]
    wanted = [() if step is None else (base // step[0],) * 2 for step in strides]
    assert [lattices[0], lattices[1], lattices[3]] == wanted


def test_pooling_leaves_an_image_that_is_convolved() -> None:
    """Whatever its size, since its channels may be many more; means of all do not."""
    layers = [nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU()]
    tail = [nn.Conv2d(4, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1)]
    made = graph(nn.Sequential(*layers, *tail), (1, 8, 8))
    lattices = [lattice.sizes for lattice in Layout.torus(made).lattices]
    assert lattices == [(10, 10)] * 3 + [(5, 5)] * 3 + [()] * 2


class Columns(nn.Module):
    """A factor for each column, of which there are as many as channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x * torch.tensor([1.0, 10.0]))


def test_a_factor_of_each_column_is_carried() -> None:
    """As slopes of entries: 10 at most."""
    bound = cs.lipschitz(Columns(), (2, 3, 2), method="ellipsoid", seconds=1, lower=False)
    (first,) = [step for step in bound.steps if step.name == "first ellipsoid"]
    assert 10 <= first.upper < 30


REFUSED = {
    "an image in a row": (
        nn.Sequential(nn.Flatten(), nn.Softmax(1), nn.Linear(6, 1)),
        (1, 6),
        "reads the pixels of an image in a row",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_torus_holds_is_refused_in_words(name: str) -> None:
    model, shape, words = REFUSED[name]
    with pytest.raises(cs.NotApplicable, match=words):
        sizes(model, shape)


CIRCULAR = {
    "and zeros": ("zeros", 1, 6, 1),
    "of a smaller image": ("circular", 0, 8, 1),
    "of no whole strides": ("circular", 1, 7, 2),
}


@pytest.mark.parametrize("name", CIRCULAR)
def test_images_that_wrap_around_at_another_size_repeat_pixels(name: str) -> None:
    mode, pad, size, stride = CIRCULAR[name]
    model = nn.Sequential(
        nn.Conv1d(1, 1, 3, stride, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv1d(1, 1, 3, padding=pad),
        nn.ReLU(),
        nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode),
    )
    made = graph(model, (1, size))
    words = [n.kind.words for n in made.nodes if isinstance(n.kind, Bounded)]
    assert set(words) == {"circular padding"}
    assert Layout.torus(made).lattices[0].sizes[0] >= size


def test_images_that_wrap_around_alone_stay_whole() -> None:
    model = nn.Sequential(
        nn.Conv1d(1, 1, 3, 2, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"),
    )
    assert sizes(model, (1, 8)) == (8,)


@pytest.mark.parametrize("pooled", [True, False], ids=["mean", "pixels"])
def test_the_search_is_coarse_unless_a_matrix_reads_pixels(pooled: bool) -> None:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)]
    if not pooled:
        head = [nn.Flatten(), nn.Linear(2 * 8 * 8, 3)]
    made = graph(nn.Sequential(*strided(2), *head), (2, 32, 32))
    tori = Tori(made, Layout.torus(made), Norms())
    assert tori.layout.lattices[0].sizes == (36, 36)
    assert tori.least() == ((8, 8) if pooled else (36, 36))


class Squeeze(nn.Module):
    """A factor for each channel, by 1x1 convolutions of its mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool, self.turn = nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.turn(self.pool(x)))


def test_an_average_of_one_pixel_is_none() -> None:
    """So that it stays on the torus and may be joined there."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), Squeeze(4), nn.Conv2d(4, 1, 1))
    domain = domain_of((0.0, 1.0), (1, 2, 2))
    made = prepared(network_of(model.eval(), (1, 2, 2), domain).graph, True)
    assert not any(isinstance(node.kind, Axes) for node in made.nodes)
    assert {each.sizes for each in Layout.torus(made).lattices} == {(4, 4), (2, 2)}
