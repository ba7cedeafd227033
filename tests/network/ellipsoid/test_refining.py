"""Zeros between pixels: blocks of aliases are above what they are made of together."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.refining import refined
from convspec.network.norms import Norms
from tests.gaussian import gaussian

SHAPES = {
    "line": ((3,), (2,), 2, 3, 0),
    "line of even size": ((4,), (3,), 3, 1, 1),
    "image": ((2, 3), (2, 2), 2, 2, 2),
    "image of one stride": ((3, 2), (1, 3), 1, 2, 3),
    "fewer channels than before": ((3,), (2,), 4, 1, 4),
    "more channels than before": ((2,), (2,), 1, 4, 5),
    "line of one pixel": ((1,), (2,), 2, 2, 7),
    "image of two pixels": ((2, 1), (1, 2), 3, 2, 8),
    "volume": ((2, 2, 2), (2, 1, 2), 2, 2, 6),
}


def waves_of(seed: int, lattice: Lattice, *shape: int) -> Tensor:
    """Transforms of random images, at the frequencies that are kept: (F, *shape)."""
    images = gaussian(seed, *lattice.sizes, *shape)
    found = torch.fft.fftn(images, dim=tuple(range(len(lattice.sizes))))
    found = found[tuple(torch.from_numpy(lattice.index).T)]
    sizes = np.array(lattice.sizes)
    own = ((lattice.index + lattice.index) % sizes == 0).all(1)  # their own conjugates
    found[torch.from_numpy(own)] = found[torch.from_numpy(own)].real.to(found.dtype)
    return found


def at(blocks: Tensor, kept: int, turned: bool) -> Tensor:
    return blocks[kept].conj() if turned else blocks[kept]


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("name", SHAPES)
def test_blocks_are_above_all_aliases_together(name: str, spread: float) -> None:
    """``blkdiag(X_a) >= (B_a S B_b^H)`` at each frequency, in 50 digits."""
    sizes, stride, c_in, c_out, seed = SHAPES[name]
    coarse = Lattice(sizes)
    fine = Lattice(tuple(n * s for n, s in zip(sizes, stride, strict=True)))
    root = waves_of(seed, coarse, c_in, c_in)
    root[:, 0] *= spread
    core = root @ root.mH
    core = (core + core.mH) / 2
    taps = waves_of(seed + 50, fine, c_out, c_in)
    taps[:, -1] *= spread
    if coarse.is_real:  # as what lives there is carried
        core = core.real
    if fine.is_real:
        taps = taps.real
    group = Group.of_leaf(coarse, torch.ones(c_in, dtype=torch.float64), 0, 0, True)
    group = group.stacked(core, {0: c_in})
    for multipliers in (searched(c_out, spread), Multipliers(Norms())):
        given = group, 1, 0, Map(taps, 0.0), stride, fine
        found = refined(*given, multipliers)
        blocks = found.core.detach() * 2.0**found.exponent
        kept, turned = fine.aliases(stride)
        for v in range(len(coarse.index)):
            pairs = [(int(k), bool(t)) for k, t in zip(kept[v], turned[v], strict=True)]
            stacked = torch.cat([at(taps, *pair) for pair in pairs])
            above = torch.block_diag(*[at(blocks, *pair) for pair in pairs])
            assert_above(above, stacked, core[v], len(pairs))
            joint = stacked @ core[v].to(stacked.dtype) @ stacked.mH / len(pairs)
            units = above.diagonal().real.rsqrt()
            gap = units[:, None] * (above - joint) * units
            if spread <= 1:  # and no multiple of less: they touch, up to rounding
                assert torch.linalg.eigvalsh(gap)[0] <= 1e-6


def assert_above(above: Tensor, stacked: Tensor, core: Tensor, count: int) -> None:
    """``X >= B S B^H / count``: its factorisation of Cholesky runs to its end."""
    with mpmath.workdps(50):
        x, b, s = (mpmath.matrix(each.tolist()) for each in (above, stacked, core))
        gap = x - b * s * b.H / count
        mpmath.cholesky((gap + gap.H) / 2)  # ValueError if it does not


def searched(width: int, spread: float) -> Multipliers:
    """With a diagonal far from the default."""
    found = Multipliers(Norms())
    found.weights[1] = torch.linspace(-8, 8, width, dtype=torch.float64) * spread**0.1
    return found


def test_what_is_constant_stays_finite() -> None:
    coarse, fine = Lattice((3,)), Lattice((6,))
    group = Group.of_leaf(coarse, torch.ones(2, dtype=torch.float64), 0, 0, True)
    zero = Map(torch.zeros(len(fine.index), 2, 2, dtype=torch.complex128), 0.0)
    found = refined(group, 1, 0, zero, (2,), fine, Multipliers(Norms()))
    assert bool(torch.isfinite(found.core).all())
    assert float(found.core.detach().abs().max()) < 1e-12
