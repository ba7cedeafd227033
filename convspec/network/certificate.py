"""Certificates: what proves an upper end, for anybody to check without a search.

A certificate holds the multipliers, one number for each channel of each activation and of
what each transposed convolution gives, the torus and the digest of the network that they
belong to. Checking it is one passage through the network: each multiplier is tested to be
above the ellipsoid, and the end is computed with rounding accounted for. Nothing in the
file is trusted: a wrong multiplier gives a refusal or a larger bound, never less.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convspec.errors import UnreadableModel
from convspec.network.domain import Domain, domain_of
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.graph import Graph
from convspec.network.norms import Norms
from convspec.operators.operator import ConvOperator
from convspec.version import __version__
from convspec.written import write_bytes

__all__ = ["Certificate", "digest_of"]

FORMAT = "convspec certificate 2"
MOST_BYTES = 2**30
# of an input: what a file states is made before the network can be compared
MOST_ENTRIES = 2**28
# what a file whose digest fits may still raise
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Certificate:
    """What proves ``L <= upper`` for one network.

    Attributes:
        upper: The bound, with room for another machine's rounding.
        digest: SHA-256 of the network's maps.
        input_shape: Without the batch.
        base: Sizes of the input's torus; empty for plain vectors.
        scale: What the input was measured in, by channel; empty for its own unit.
        multipliers: Lambda and its exponent, by the place of the node.
        shares: t, by the node that joins and the turn.
        domain: Of the inputs; None for all.
        forgets: Whether activations forget what tensors have in common.
    """

    upper: float
    digest: str
    input_shape: tuple[int, ...]
    base: tuple[int, ...]
    scale: tuple[float, ...]
    multipliers: Mapping[int, tuple[Tensor, int]]
    shares: Mapping[tuple[int, int], float]
    domain: Domain | None = None
    forgets: bool = False

    def as_multipliers(self, norms: Norms) -> Multipliers:
        """The multipliers, fixed."""
        return Multipliers(
            norms,
            found=dict(self.multipliers),
            taken=dict(self.shares),
            fixed=True,
            may_rise=False,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it; a file that is there is replaced at once or not at all."""
        write_bytes(path, self._bytes())

    def _bytes(self) -> bytes:
        numbers = [
            float(number)
            for place in sorted(self.multipliers)
            for number in self.multipliers[place][0]
        ]
        head: dict[str, Any] = {
            "format": FORMAT,
            "version": __version__,
            "upper": float(self.upper).hex(),
            "network": self.digest,
            "input_shape": list(self.input_shape),
            "torus": list(self.base),
            "forgets": self.forgets,
            "scale": [float(each).hex() for each in self.scale],
            "multipliers": [
                [place, len(self.multipliers[place][0]), self.multipliers[place][1]]
                for place in sorted(self.multipliers)
            ],
            "shares": [[*key, float(t).hex()] for key, t in sorted(self.shares.items())],
        }
        ends = [] if self.domain is None else [self.domain.low, self.domain.high]
        head["domain"] = [list(end.shape) for end in ends]
        numbers += [float(number) for end in ends for number in end.reshape(-1)]
        body = np.array(numbers, dtype="<f8").tobytes()
        text = json.dumps(head, sort_keys=True).encode()
        signed = text + b"\n" + body
        return hashlib.sha256(signed).hexdigest().encode() + b"\n" + signed

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        """Read it.

        Raises:
            UnreadableModel: If it is no certificate, or damaged.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UnreadableModel(f"{path} is larger than certificates are")
            content = path.read_bytes()
        except OSError as error:
            raise UnreadableModel(f"{path} cannot be read: {error.strerror}") from error
        found, _, signed = content.partition(b"\n")
        if hashlib.sha256(signed).hexdigest().encode() != found:
            raise UnreadableModel(
                f"a certificate must be as it was written; {path} is damaged or none; "
                "write it again by bound.save"
            )
        text, _, body = signed.partition(b"\n")
        try:
            return cls._of(json.loads(text), body)
        except UNREADABLE as error:
            raise UnreadableModel(
                f"{path} is no certificate of this version ({FORMAT}): {error}"
            ) from error

    @classmethod
    def _of(cls, head: Mapping[str, Any], body: bytes) -> Certificate:
        if head["format"] != FORMAT:
            raise ValueError(f"its format is {head['format']!r}")
        numbers = torch.from_numpy(np.frombuffer(body, dtype="<f8").astype(np.float64))
        multipliers, first = dict[int, tuple[Tensor, int]](), 0
        for place, length, exponent in head["multipliers"]:
            some = numbers[first : first + length]
            if len(some) != length or not bool((some > 0).all() & some.isfinite().all()):
                raise ValueError("multipliers must be positive and all there")
            multipliers[int(place)] = some, int(exponent)
            first += length
        upper = float.fromhex(head["upper"])
        shares = {(int(a), int(b)): float.fromhex(t) for a, b, t in head["shares"]}
        if not math.isfinite(upper) or not all(0 < t < math.inf for t in shares.values()):
            raise ValueError("numbers must be finite and positive")
        shape = tuple(map(int, head["input_shape"]))
        if not shape or min(shape) < 1 or math.prod(shape) > MOST_ENTRIES:
            raise ValueError(f"its input has shape {shape}")
        return cls(
            upper,
            str(head["network"]),
            shape,
            tuple(map(int, head["torus"])),
            tuple(map(float.fromhex, head["scale"])),
            multipliers,
            shares,
            _domain(head["domain"], numbers[first:], shape),
            bool(head["forgets"]),
        )


def _domain(
    shapes: list[list[int]], numbers: Tensor, shape: tuple[int, ...]
) -> Domain | None:
    """What is behind the multipliers."""
    if not shapes:
        return None
    sizes = [math.prod(each) for each in shapes]
    if len(numbers) != sum(sizes):
        raise ValueError("ends of the domain must be all there")
    low, high = numbers[: sizes[0]], numbers[sizes[0] :]
    return domain_of((low.reshape(shapes[0]), high.reshape(shapes[1])), shape)


def digest_of(graph: Graph) -> str:
    """SHA-256 of all maps of a network, their weights bit by bit, and how they join."""
    made = hashlib.sha256()
    for node in graph.nodes:
        made.update(repr((node.inputs, node.shape, type(node.kind).__name__)).encode())
        _add(made, node.kind)
    made.update(repr(graph.outputs).encode())
    return made.hexdigest()


def _add(made: Any, value: object) -> None:
    if isinstance(value, Tensor):
        made.update(repr((tuple(value.shape), str(value.dtype))).encode())
        made.update(value.detach().contiguous().numpy().tobytes())
    elif isinstance(value, ConvOperator):
        made.update(repr((value.geometry, value.transposed)).encode())
        _add(made, value.weight)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            made.update(repr(key).encode())
            _add(made, value[key])
    elif is_dataclass(value):
        for each in fields(value):
            if each.name not in ("words", "warning"):
                made.update(each.name.encode())
                _add(made, getattr(value, each.name))
    else:
        made.update(repr(value).encode())
