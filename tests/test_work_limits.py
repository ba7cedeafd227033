"""What would take more memory or time than there is, is refused in words, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.limits import readable_bytes

HUGE = 10**9


def operator(taps: int = 3) -> cs.ConvOperator:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 2, taps, taps, generator=generator, dtype=torch.float64)
    return cs.ConvOperator(weight, 8, padding=taps // 2)


CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "sampled": (lambda op: cs.bounds.sampled_symbol(op, samples=10**6), "samples"),
    "lip": (lambda op: cs.bounds.lip_bound(op, samples=10**6), "samples"),
    "lip version 1": (lambda op: cs.bounds.lip_bound(op, 1, samples=10**6), "samples"),
    "power": (lambda op: cs.bounds.power_iteration(op, starts=HUGE), "starts"),
    "krylov": (lambda op: cs.bounds.krylov(op, starts=HUGE), "starts"),
    "tensor": (lambda op: cs.bounds.tensor_norm(op, restarts=HUGE), "restarts"),
    "density": (lambda op: cs.spectral_density(op, probes=HUGE), "probes"),
    "gram zero": (lambda op: cs.bounds.gram_iteration_zero(op, 1000), "iterations"),
    "gram zero endless": (lambda op: cs.bounds.gram_iteration_zero(op, HUGE), "iter"),
    "schatten": (lambda op: cs.bounds.schatten(op, p=2**31), "p"),
}


@pytest.mark.parametrize("name", CALLS)
def test_too_large_is_said_at_once(name: str) -> None:
    call, less = CALLS[name]
    with pytest.raises(cs.TooLargeError, match=rf"must fit .* it needs .* {less}"):
        call(operator())


def test_a_p_beyond_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 2\*\*40; got 2\*\*2000; .* supremum"):
        cs.bounds.schatten(operator(1), p=2**2000)


def test_endless_iterations_of_one_tap_end() -> None:
    op = operator(1)
    norm = np.linalg.svd(op.weight[:, :, 0, 0].numpy(), compute_uv=False)[0]
    for bound in (
        cs.bounds.gram_iteration_zero(op, iterations=HUGE),
        cs.bounds.schatten(op, p=2**40),
    ):
        assert norm <= bound.upper <= 1.01 * norm


@pytest.mark.parametrize("limit", [1e2, 100, np.int64(100), np.float32(100), 100.5])
def test_any_number_is_a_byte_limit(limit: Any) -> None:
    op = operator()
    calls: list[Callable[[], Any]] = [
        lambda: op.to_dense(max_bytes=limit),
        lambda: cs.spectrum(op, max_bytes=limit),
        lambda: cs.spectral_envelope(op, max_bytes=limit),
        lambda: cs.spectral_density(op, max_bytes=limit),
        lambda: cs.symbol_density(op, max_bytes=limit),
        lambda: cs.frequency_response(op, max_bytes=limit),
        lambda: cs.bounds.krylov(op, max_bytes=limit),
        lambda: cs.bounds.gram_iteration_zero(op, max_bytes=limit),
    ]
    for call in calls:
        with pytest.raises(cs.TooLargeError, match=r"max_bytes = 100(\.5)? bytes"):
            call()


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (3 * 2**39, "1.5 TiB"),
     (2.0**31, "2 GiB"), (2**2000, "over 1e+300 bytes"),
     (float("inf"), "over 1e+300 bytes")],
)  # fmt: skip
def test_readable_bytes(count: float, words: str) -> None:
    assert readable_bytes(count) == words
