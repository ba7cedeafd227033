"""The supremum over all input sizes: closed forms, grids, pencils, dense matrices."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from convspec.bounds import supremum
from convspec.operators.symbol import Symbol
from tests import oracles
from tests.companion import companion_supremum
from tests.gaussian import gaussian

EPS = float(np.finfo(np.float64).eps)


def kernel(*rows: Any) -> Tensor:
    """One channel to one channel."""
    return torch.tensor(rows if len(rows) > 1 else rows[0], dtype=torch.float64)[
        None, None
    ]


# -- known suprema ------------------------------------------------------------------

SOBEL = kernel([-1, 0, 1], [-2, 0, 2], [-1, 0, 1])
LAPLACIAN = kernel([0, 1, 0], [1, -4, 1], [0, 1, 0])
MIX = torch.tensor([[3.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
MIX_NORM = math.sqrt(
    7 + math.sqrt(13)
)  # of MIX: eigenvalues of its Gram are 7 +- sqrt 13

KNOWN: dict[str, tuple[Tensor, dict[str, Any], float]] = {
    "second-difference": (kernel([1, -2, 1]), {}, 4.0),
    "first-difference": (kernel([-1, 1]), {}, 2.0),
    "central-difference": (kernel([-1, 0, 1]), {}, 2.0),
    "box": (torch.ones(1, 1, 3, 3), {}, 9.0),
    "box-in-space": (torch.ones(1, 1, 2, 3, 2), {}, 12.0),
    "box-of-many-taps": (torch.ones(1, 1, 65), {}, 65.0),
    "laplacian": (LAPLACIAN, {}, 8.0),
    "sobel": (SOBEL, {}, 8.0),
    "dilated-sobel": (SOBEL, {"dilation": (2, 3)}, 8.0),
    "identity-2-exp": (kernel([1, 2]), {}, 3.0),
    "shift": (kernel([0, 0, 1]), {}, 1.0),
    "mixed-channels": (MIX[..., None] * torch.tensor([1.0, -2.0, 1.0]), {}, 4 * MIX_NORM),
    "pointwise": (MIX[..., None, None], {}, MIX_NORM),
    "patches": (gaussian(0, 5, 2, 3), {"stride": 3}, math.nan),
    "strided-ones": (torch.ones(1, 1, 2), {"stride": 2}, math.sqrt(2)),
    "stride-and-dilation": (torch.ones(1, 1, 2), {"stride": 2, "dilation": 2}, 2.0),
    "transposed": (torch.ones(1, 1, 2), {"stride": 2, "transposed": True}, math.sqrt(2)),
    "complex": (kernel([1, 1]) * 1j, {}, 2.0),
    "complex-phase": (kernel([1, 2, 1]) * torch.tensor([1, 1j, -1]), {}, 4.0),
    "groups": (torch.tensor([[[1.0, 1]], [[3, -3]]]), {"groups": 2}, 6.0),
    "zero": (torch.zeros(2, 3, 3, 3), {}, 0.0),
}
KNOWN["patches"] = (
    *KNOWN["patches"][:2],
    float(np.linalg.norm(KNOWN["patches"][0].flatten(1).numpy(), 2)),
)


@pytest.mark.parametrize("name", KNOWN)
def test_known_supremum(name: str) -> None:
    weight, arguments, known = KNOWN[name]
    bound = cs.worst_case_norm(weight, **arguments)
    # what is known is itself rounded
    assert bound.lower <= known * (1 + 4 * EPS)
    assert known <= bound.upper * (1 + 4 * EPS)
    assert bound.converged
    assert bound.guarantee == "certified"
    assert bound.value is not None
    assert float(bound.value) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((8, 1, 3, 3), 8), ((6, 1, 5), 3), ((5, 7, 1, 1), 1), ((6, 2, 1), 3)],
)
def test_depthwise_and_pointwise_come_out_to_rounding(
    shape: tuple[int, ...], groups: int
) -> None:
    weight = gaussian(0, *shape)
    bound = cs.worst_case_norm(weight, groups=groups)
    assert bound.gap <= 1e-12


def orthogonal(side: int, noise: float) -> Tensor:
    """A 3x3 kernel whose symbol is unitary everywhere, plus noise."""
    eye = torch.eye(side, dtype=torch.float64)
    taps = {(0, 0): torch.linalg.qr(gaussian(1, side, side))[0]}
    for number, axis in enumerate((0, 1, 0, 1)):
        basis = torch.linalg.qr(gaussian(2 + number, side, side // 2))[0]
        first, after = basis @ basis.T, {}
        for (i, j), tap in taps.items():
            for step, part in ((0, first), (1, eye - first)):
                place = (i + step, j) if axis == 0 else (i, j + step)
                after[place] = after.get(place, 0) + tap @ part
        taps = after
    weight = noise * gaussian(9, side, side, 3, 3)
    for (i, j), tap in taps.items():
        weight[:, :, i, j] += tap
    return weight


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-4])
def test_symbols_that_are_flat_take_few_evaluations(noise: float) -> None:
    bound = cs.worst_case_norm(orthogonal(8, noise))
    assert bound.converged
    assert bound.evaluations < 20_000
    assert bound.lower <= 1 + 60 * noise + 1e-13
    assert bound.upper >= 1 - 60 * noise


# -- independent ways ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(16))
def test_agrees_with_the_pencil_on_one_axis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, rows, columns, taps, stride = rng.integers(1, 5, 5).tolist()
    dtype = torch.complex128 if seed % 3 == 0 else torch.float64
    weight = gaussian(seed, groups * rows, columns, taps, dtype=dtype)
    bound = cs.worst_case_norm(weight, stride=stride, groups=groups, rtol=1e-11)
    known = companion_supremum(Symbol.of_kernel(weight, groups, (stride,)))
    assert bound.lower * (1 - 1e-12) <= known <= bound.upper * (1 + 1e-12)
    assert bound.gap <= 1e-10


def test_the_pencil_is_for_one_axis() -> None:
    symbol = Symbol.of_kernel(torch.ones(1, 1, 2, 2), 1, (1, 1))
    with pytest.raises(cs.NotApplicable, match="symbol in one frequency"):
        companion_supremum(symbol)


def grid_maximum(weight: Tensor, points: int) -> float:
    """The largest sigma_1 over a grid, by NumPy's FFT."""
    array = weight.numpy()
    axes = tuple(range(2, array.ndim))
    symbol = np.fft.fftn(array, (points,) * len(axes), axes)
    if array.shape[0] == 1:  # rows, whose norm is their length
        return float(np.sqrt((np.abs(symbol) ** 2).sum(axis=(0, 1)).max()))
    blocks = np.moveaxis(symbol.reshape(*symbol.shape[:2], -1), -1, 0)
    return float(np.linalg.norm(blocks, 2, axis=(1, 2)).max())


def assert_grid_agrees(weight: Tensor, points: int) -> None:
    """No grid value is above; the best one is as near as Bernstein promises."""
    bound = cs.worst_case_norm(weight)
    found = grid_maximum(weight, points)
    reach = sum((k - 1) / 2 * math.pi / points for k in weight.shape[2:])
    assert bound.converged
    assert found <= bound.upper
    assert bound.lower * math.cos(reach) <= found * (1 + 1e-12)


SHAPES = [(1, 1, 3, 3), (2, 3, 3, 3), (3, 2, 2, 4), (4, 4, 5), (2, 2, 2, 3, 2)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_a_grid(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    points = {3: 20_000, 4: 120, 5: 24}[len(shape)]
    assert_grid_agrees(gaussian(0, *shape, dtype=dtype), points)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (1, 2, 3, 5), (1, 1, 4, 3, 2)], ids=str)
def test_agrees_with_a_large_grid(shape: tuple[int, ...], seed: int) -> None:
    assert_grid_agrees(gaussian(seed, *shape), {4: 4000, 5: 160}[len(shape)])


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 64])
def test_wide_layers_agree_with_a_grid(side: int) -> None:
    assert_grid_agrees(gaussian(0, side, side, 3, 3), 64)


# -- every size ---------------------------------------------------------------------

MODES = ("zeros", "circular", "reflect", "replicate", "symmetric")


def norms(weight: Tensor, arguments: dict[str, Any], largest: int) -> list[float]:
    """sigma_1 for every size up to ``largest`` that is accepted, by plain loops."""
    dim = weight.ndim - 2
    found = []
    for size in product(range(1, largest + 1), repeat=dim):
        try:
            op = cs.ConvOperator(weight, size, **arguments)
        except cs.GeometryError:
            continue
        axes = op.geometry.axes
        matrix = oracles.loop_matrix(
            weight.numpy(),
            size,
            [axis.stride for axis in axes],
            [(axis.before, axis.after) for axis in axes],
            [axis.dilation for axis in axes],
            arguments.get("groups", 1),
            arguments.get("padding_mode", "zeros"),
        )
        norm = float(np.linalg.norm(matrix, 2))
        found.append(norm)
        of_size = supremum(op, rtol=1e-3)
        assert norm <= of_size.upper * (1 + 1e-13)
        assert of_size.lower == 0
    return found


def random_layer(seed: int) -> tuple[Tensor, dict[str, Any], int]:
    """Any geometry; kernels of one sign, whose norms come close to the bounds, too."""
    rng = np.random.default_rng(seed)
    dim = 1 if seed % 4 else 2
    taps = rng.integers(1, 6 if dim == 1 else 4, dim).tolist()
    pads = rng.integers(0, 5 if dim == 1 else 3, (dim, 2))
    if rng.random() < 0.5:
        pads[:, 1] = pads[:, 0]
    groups = int(rng.integers(1, 3)) if dim == 1 else 1
    rows, columns = rng.integers(1, 3, 2).tolist()
    weight = gaussian(seed, groups * rows, columns, *taps)
    if rng.random() < 0.4:
        weight = weight.abs()
    arguments = {
        "stride": rng.integers(1, 4, dim).tolist(),
        "padding": tuple(map(tuple, pads.tolist())),
        "dilation": rng.integers(1, 3, dim).tolist(),
        "groups": groups,
        "padding_mode": MODES[int(rng.integers(len(MODES)))],
    }
    if dim == 2 and rng.random() < 0.5:
        arguments["padding_mode"] = rng.choice(MODES, 2).tolist()
    return weight, arguments, 11 if dim == 1 else 4


def assert_every_size(seed: int) -> None:
    weight, arguments, largest = random_layer(seed)
    bound = cs.worst_case_norm(weight, rtol=1e-3, **arguments)
    assert max(norms(weight, arguments, largest), default=0.0) <= bound.upper * (
        1 + 1e-13
    )


@pytest.mark.parametrize("seed", range(10))
def test_bounds_every_size(seed: int) -> None:
    assert_every_size(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 640))
def test_bounds_every_size_of_many(seed: int) -> None:
    assert_every_size(seed)


ATTAINED: dict[str, tuple[Tensor, dict[str, Any]]] = {
    "zeros": (torch.ones(1, 1, 1), {}),
    "circular": (kernel([1, 1, 1]), {"padding": 1, "padding_mode": "circular"}),
    # rows of the circulant twice: two outputs of one pixel
    "circular-twice": (
        kernel([1.0]),
        {"padding": ((1, 0),), "padding_mode": "circular"},
    ),
    "circular-thrice": (kernel([1.0]), {"padding": (2,), "padding_mode": "circular"}),
    "reflect-both-ends": (kernel([1.0]), {"padding": (2,), "padding_mode": "reflect"}),
    "reflect-one-end": (kernel([1.0]), {"padding": ((0, 2),), "padding_mode": "reflect"}),
    "symmetric-both-ends": (kernel([1.0]), {"padding": 2, "padding_mode": "symmetric"}),
    "symmetric-one-end": (
        kernel([1.0]),
        {"padding": ((0, 2),), "padding_mode": "symmetric"},
    ),
    "replicate-one-pixel": (
        kernel([1.0]),
        {"padding": (2,), "padding_mode": "replicate"},
    ),
    "replicate-one-end": (
        kernel([0, 0, 0, 1]),
        {"padding": ((0, 3),), "padding_mode": "replicate"},
    ),
}


@pytest.mark.parametrize("name", ATTAINED)
def test_factors_are_attained(name: str) -> None:
    """Each factor is the least that holds for every size."""
    weight, arguments = ATTAINED[name]
    bound = cs.worst_case_norm(weight, **arguments)
    assert max(norms(weight, arguments, 12)) == pytest.approx(bound.upper, rel=1e-6)


def test_circular_sizes_that_the_stride_does_not_divide() -> None:
    """k = 2, s = 2: the supremum with stride is sqrt 2, but n = 3 has sqrt 3."""
    weight = torch.ones(1, 1, 2, dtype=torch.float64)
    arguments = {"stride": 2, "padding": ((0, 1),), "padding_mode": "circular"}
    op = cs.ConvOperator(weight, 3, **arguments)
    assert torch.linalg.matrix_norm(op.to_dense(), 2) == pytest.approx(math.sqrt(3))
    bound = cs.worst_case_norm(weight, **arguments)
    assert bound.lower == pytest.approx(math.sqrt(2))
    assert bound.upper == pytest.approx(2.0)
    even = supremum(cs.ConvOperator(weight, 4, **arguments))
    assert even.upper == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_the_supremum_alone_is_no_bound(mode: str) -> None:
    """Box filters exceed it; the bound is above, and says by what."""
    box = torch.ones(1, 1, 5, dtype=torch.float64)
    op = cs.ConvOperator(box, 8, padding=2, padding_mode=mode)
    bound = cs.worst_case_norm(op)
    norm = float(torch.linalg.matrix_norm(op.to_dense(), 2))
    assert bound.lower < 5.0001 < norm < bound.upper
    assert "beside those of zero padding" in bound.assumptions


def test_zero_padding_grows_towards_the_supremum() -> None:
    weight = gaussian(0, 2, 2, 3)
    bound = cs.worst_case_norm(weight)
    found = [
        float(
            torch.linalg.matrix_norm(cs.ConvOperator(weight, n, padding=1).to_dense(), 2)
        )
        for n in (4, 8, 16, 32, 64)
    ]
    assert found == sorted(found)
    assert bound.lower * 0.99 < found[-1] <= bound.upper


# -- symmetries ---------------------------------------------------------------------


def assert_same(one: cs.Bound, other: cs.Bound) -> None:
    assert one.lower <= other.upper
    assert other.lower <= one.upper


def test_invariances() -> None:
    weight = gaussian(0, 3, 4, 3, 4)
    bound = cs.worst_case_norm(weight)
    assert_same(bound, cs.worst_case_norm(weight, dilation=(3, 2)))
    assert_same(bound, cs.worst_case_norm(weight, transposed=True))
    assert_same(bound, cs.worst_case_norm(weight.transpose(0, 1)))
    assert_same(bound, cs.worst_case_norm(weight.flip(2)))
    assert_same(bound, cs.worst_case_norm(torch.nn.functional.pad(weight, (1, 2))))
    assert_same(bound, cs.worst_case_norm(weight * 1j))
    assert_same(bound, cs.worst_case_norm(weight.numpy()))
    spread = torch.zeros(3, 4, 5, 7, dtype=torch.float64)
    spread[:, :, ::2, ::2] = weight
    assert_same(bound, cs.worst_case_norm(spread))
    twice = cs.worst_case_norm(torch.cat([weight, 0.5 * weight]), groups=2)
    assert_same(bound, twice)


@pytest.mark.parametrize("exponent", [-1060, -300, 300, 1015])
def test_scaling_by_powers_of_two(exponent: int) -> None:
    """Exact, but where numbers become subnormal."""
    weight = torch.tensor([[[3.0, -1.0, 2.0]], [[1.0, 4.0, -2.0]]], dtype=torch.float64)
    bound = cs.worst_case_norm(weight)
    scaled = cs.worst_case_norm(torch.from_numpy(np.ldexp(weight.numpy(), exponent)))
    ends = np.ldexp([bound.lower, bound.upper], exponent)
    assert scaled.lower == pytest.approx(ends[0], rel=1e-15, abs=1e-323)
    assert scaled.upper == pytest.approx(ends[1], rel=1e-15, abs=1e-323)


def test_weights_too_large_for_a_norm() -> None:
    bound = cs.worst_case_norm(torch.full((2, 2, 3), 1e308, dtype=torch.float64))
    assert bound.lower == np.finfo(np.float64).max
    assert bound.upper == math.inf


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_weights_are_taken_exactly(dtype: torch.dtype) -> None:
    weight = gaussian(0, 3, 2, 3).to(dtype)
    assert_same(cs.worst_case_norm(weight), cs.worst_case_norm(weight.double()))


def test_a_stride_that_does_not_divide_may_keep_its_symbol() -> None:
    """[1, 1] with stride 4 on 6 pixels: outputs that share no pixel have norm sqrt 2."""
    op = cs.ConvOperator(
        torch.ones(1, 1, 2), 6, stride=4, padding=((1, 0),), padding_mode="circular"
    )
    truth = np.linalg.norm(op.to_dense().numpy(), 2)
    assert truth == pytest.approx(2**0.5, rel=1e-6)
    assert supremum(op).upper == pytest.approx(2**0.5, rel=1e-12)
    assert supremum(op).upper <= cs.bounds.sampled_symbol(op).upper * (1 + 1e-12)


def test_a_better_peak_is_found_although_rough_estimates_do_not_show_it() -> None:
    """The first ascents of this kernel end at 2.585; 8 Lanczos steps show no better."""
    layer = nn.Conv2d(64, 128, 3, stride=2, bias=False)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        nn.init.kaiming_uniform_(layer.weight, 5**0.5)  # as when the layer was made
        nn.init.kaiming_normal_(layer.weight)
    found = cs.worst_case_norm(layer, max_evaluations=3000)
    assert found.lower > 2.595
    assert found.converged
    assert found.evaluations <= 1500
