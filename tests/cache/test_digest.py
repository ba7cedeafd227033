"""Keys differ where results may, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.cache import Codec, Refused, entry_key, operator_digest
from convspec.cache import digest as module
from convspec.quantity.enclosure import Enclosure

CODEC = Codec((Enclosure,))
WEIGHT = torch.arange(1.0, 33.0, dtype=torch.float32).reshape(4, 2, 2, 2)


def operator(weight: Any = WEIGHT, size: Any = (6, 5), **given: Any) -> cs.ConvOperator:
    return cs.ConvOperator(weight, size, **given)


def changed(place: int) -> torch.Tensor:
    weight = WEIGHT.clone()
    numbers = weight.view(torch.int32).reshape(-1)
    numbers[place] ^= 1  # the last bit
    return weight


def test_digests_of_different_operators_differ() -> None:
    ops = [
        operator(),
        operator(changed(0)),
        operator(changed(31)),
        operator(-WEIGHT),
        operator(WEIGHT.double()),
        operator(WEIGHT.to(torch.complex64)),
        operator(WEIGHT.reshape(4, 2, 4, 1)),
        operator(WEIGHT.reshape(4, 2, 4), 6),
        operator(size=(5, 6)),
        operator(stride=2),
        operator(dilation=2),
        operator(padding=1),
        operator(padding=((1, 0), (1, 0))),
        operator(padding=1, padding_mode="circular"),
        operator(padding=1, padding_mode=("circular", "zeros")),
        operator(groups=2),
        operator(transposed=True),
        operator(stride=2, transposed=True, output_padding=1),
    ]
    assert len({operator_digest(op) for op in ops}) == len(ops)


def test_digests_of_equal_operators_are_equal() -> None:
    ops = [
        operator(),
        operator(WEIGHT.clone().requires_grad_()),
        operator(WEIGHT.to(memory_format=torch.channels_last)),
        operator(torch.stack([WEIGHT, -WEIGHT], -1)[..., 0]),
        operator(WEIGHT.numpy()),
        operator(bias=torch.ones(4)),
        operator(stride=(1, 1), padding="valid"),
    ]
    assert len({operator_digest(op) for op in ops}) == 1


def test_conjugate_weights_are_others() -> None:
    weight = torch.complex(WEIGHT, WEIGHT + 1)
    one, other = operator(weight), operator(weight.conj())
    assert operator_digest(one) != operator_digest(other)
    assert operator_digest(other) == operator_digest(operator(weight.conj().clone()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex128])
def test_any_dtype(dtype: torch.dtype) -> None:
    assert len(operator_digest(operator(WEIGHT.to(dtype)))) == 64


def test_keys_tell_steps_inputs_and_versions_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(*inputs: object, step: str = "norm", op: str = "op") -> str:
        return entry_key(step, op, inputs, CODEC)

    keys = [
        key(),
        key(step="kernel"),
        key(op="other"),
        key(1),
        key(1.0),
        key(True),
        key("1"),
        key((1,)),
        key(np.nextafter(1.0, 2.0).item()),
        key(Enclosure(0.0, 1.0)),
        key(Enclosure(0.0, 2.0)),
    ]
    for name, value in (("FORMAT", module.FORMAT + 1), ("__version__", "9.9")):
        monkeypatch.setattr(module, name, value)
        keys.append(key())
    for package in (torch, np, module.scipy):
        monkeypatch.setattr(package, "__version__", "9.9.9")
        keys.append(key())
    assert len({*keys}) == len(keys)


def test_inputs_hold_no_arrays() -> None:
    with pytest.raises(Refused, match="without arrays"):
        entry_key("norm", "op", (np.zeros(3),), CODEC)
