"""The key of an entry: a digest of all that it depends on, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy
import scipy
import torch

from convspec.cache.codec import Codec, Refused
from convspec.operators.operator import ConvOperator
from convspec.version import __version__

__all__ = ["FORMAT", "entry_key", "operator_digest"]

# of the entries: to be raised with every change of what is in them or of their steps
FORMAT = 4


def operator_digest(op: ConvOperator) -> str:
    """Of the weight, bit by bit, and the geometry; not of the bias.

    >>> same = [ConvOperator(torch.ones(1, 1, 3), size) for size in (8, 8, 9)]
    >>> first, second, third = map(operator_digest, same)
    >>> first == second, first == third
    (True, False)
    """
    weight = op.weight.detach().resolve_conj().resolve_neg()
    described = {
        "dtype": str(weight.dtype),
        "shape": list(weight.shape),
        "device": weight.device.type,
        "transposed": op.transposed,
        "geometry": asdict(op.geometry),
    }
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    numbers = weight.cpu().contiguous().reshape(-1).view(torch.uint8)
    found.update(numbers.numpy().data)
    return found.hexdigest()


def entry_key(step: str, operator: str, inputs: object, codec: Codec) -> str:
    """The key of what a step makes of an operator and of what is known before it.

    Args:
        step: Its name.
        operator: Digest of the operator.
        inputs: All else that it depends on, without arrays.
        codec: What writes the inputs.

    Raises:
        Refused: If there are arrays among the inputs.
    """
    text, arrays = codec.encoded(inputs)
    if arrays:
        raise Refused("inputs of a step must be without arrays")
    versions = [__version__, torch.__version__, numpy.__version__, scipy.__version__]
    parts = ["convspec", FORMAT, versions, step, operator, text]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
