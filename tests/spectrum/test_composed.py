"""Spectra of composed maps beside those of dense matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from tests.gaussian import gaussian


def conv(seed: int, into: int, out: int, size: int = 6, **given: Any) -> cs.ConvOperator:
    return cs.ConvOperator(
        gaussian(seed, out, into, 3, 3), size, **{"padding": 1, **given}
    )


COMPLEX = torch.complex(gaussian(1, 2, 2, 3), gaussian(2, 2, 2, 3))
MAPS = {
    "product": lambda: conv(1, 3, 2) @ conv(2, 2, 3),
    "wide": lambda: conv(1, 3, 1) @ conv(2, 2, 3),
    "tall": lambda: cs.stack([conv(1, 2, 3), cs.identity((2, 6, 6))]),
    "residual": lambda: cs.identity((2, 6, 6)) - conv(1, 2, 2) / 3,
    "complex": lambda: cs.ConvOperator(COMPLEX, 9).H @ cs.ConvOperator(COMPLEX, 9),
    "float32": lambda: conv(1, 2, 2).to(torch.float32) @ conv(2, 2, 2),
    "tiny": lambda: (1e-170 * conv(1, 2, 2)) @ (1e-100 * conv(2, 2, 2)),
}


def exact(op: cs.LinearMap) -> Any:
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    return np.linalg.svd(op.to(wide).to_dense().numpy(), compute_uv=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", MAPS)
def test_all_values(name: str, dtype: torch.dtype) -> None:
    op = MAPS[name]()
    found = cs.spectrum(op, dtype=dtype)
    wanted = exact(op)
    assert found.complete
    assert found.method == "dense" == cs.explain(op).method
    assert found.shape == op.shape
    assert np.abs(found.values - wanted).max() <= found.error + 1e-15 * wanted[0]
    assert found.error <= 1e5 * torch.finfo(dtype).eps * wanted[0]


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("name", MAPS)
def test_vectors(name: str, which: str) -> None:
    op = MAPS[name]()
    found = cs.spectrum(op, 3, which, vectors=True)
    assert found.left.shape == (3, *op.output_shape)
    assert found.right.shape == (3, *op.input_shape)
    wanted = exact(op)
    kept = wanted[:3] if which == "largest" else wanted[-3:]
    assert np.abs(found.values - kept).max() <= found.error + 1e-15 * wanted[0]
    for value, left, right in zip(found.values, found.left, found.right, strict=True):
        off = torch.linalg.vector_norm(op.apply(right) - value * left)
        assert off <= 1e-12 * wanted[0]


@pytest.mark.parametrize("name", MAPS)
def test_krylov(name: str) -> None:
    op = MAPS[name]()
    found = cs.spectrum(op, 2, method="krylov", vectors=True)
    wanted = exact(op)
    assert found.method == "krylov"
    distance = np.abs(found.values[:, None] - wanted).min(axis=1)
    assert np.all(distance <= found.error + 1e-15 * wanted[0])
    assert np.abs(found.values - wanted[:2]).max() <= 1e-5 * wanted[0]
    for value, left, right in zip(found.values, found.left, found.right, strict=True):
        off = torch.linalg.vector_norm(op.apply(right) - value * left)
        assert off <= 1e-5 * wanted[0]


def test_large_maps_take_krylov() -> None:
    op = conv(1, 4, 4, 40) @ conv(2, 4, 4, 40)
    assert cs.explain(op, 2).method == "krylov"
    assert cs.explain(op).method in ("dense", None)
    found = cs.spectrum(op, 1)
    bound = cs.spectral_norm(op, 1e-2, max_flops=1e9)
    assert bound.lower * (1 - 1e-4) <= found.norm <= bound.upper * (1 + 1e-12)


def test_refuses_in_words() -> None:
    op = conv(1, 2, 2) @ conv(2, 2, 2)
    with pytest.raises(cs.NotApplicable, match=r"got a composed map; use method='dense'"):
        cs.spectrum(op, method="fourier")
    with pytest.raises(cs.NotApplicable, match=r"got k=None.*give k, or use 'dense'"):
        cs.spectrum(op, method="krylov")
    with pytest.raises(cs.NotApplicable, match=r"which='smallest'; give k"):
        cs.spectrum(op, 1, "smallest", method="krylov")
    with pytest.raises(cs.TooLargeError, match=r"composed map is formed.*spectral_norm"):
        cs.spectrum(op, max_bytes=10_000)
    large = conv(1, 2, 2, 20) @ conv(2, 2, 2, 20)
    with pytest.raises(cs.NotConverged, match="raise max_products") as caught:
        cs.spectrum(large, 3, method="krylov", max_products=1, rtol=1e-9)
    assert not caught.value.best.converged
