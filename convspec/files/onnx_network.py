"""A module that computes what an ONNX model does, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from convspec.files.onnx_operators.operands import Run

__all__ = ["OnnxNetwork", "Step", "parameter", "several"]


class OnnxNetwork(nn.Module):
    """A graph of operations, each a module by its name in the file.

    Args:
        steps: In order, by name.
        source: Name of the input.
        outputs: Names of what is returned.
        constants: Those of them that do not depend on the input.
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, Step]],
        source: str,
        outputs: Sequence[str],
        constants: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.source, self.outputs = source, tuple(outputs)
        self.order: list[str] = []
        self.returned = nn.ParameterList(map(parameter, constants.values()))
        self.fixed = tuple(constants)
        self.last = _last_uses([step for _, step in steps], self.outputs)
        for name, step in steps:
            name = name.replace(".", "_") or "operation"
            while hasattr(self, name):
                name += "_"
            self.add_module(name, step)
            self.order.append(name)

    def forward(self, x: Tensor) -> Any:
        """All outputs of the model, one by itself; of an image with its batch axis."""
        values = {self.source: x, **dict(zip(self.fixed, self.returned, strict=True))}
        for name, free in zip(self.order, self.last, strict=True):
            step = self.get_submodule(name)
            assert isinstance(step, Step)
            results = step(*(values[each] for each in step.sources))
            values.update(zip(step.outputs, several(results), strict=False))
            for each in free:
                values.pop(each, None)
        found = tuple(values[each] for each in self.outputs)
        return found[0] if len(found) == 1 else found


class Step(nn.Module):
    """One operation with its constants.

    Args:
        run: What it computes.
        outputs: Names of what it makes.
        count: Of its inputs.
        places: Of those that depend on the model's input, with their names.
    """

    def __init__(
        self, run: Run, outputs: Sequence[str], count: int, places: Mapping[int, str]
    ) -> None:
        super().__init__()
        self.run, self.count = run, count
        self.places = tuple(places)
        self.sources = tuple(places.values())
        self.outputs = tuple(outputs)

    def forward(self, *data: Tensor) -> Any:
        """What the operation makes."""
        given: list[Tensor | None] = [
            getattr(self, f"input{place}", None) for place in range(self.count)
        ]
        for place, tensor in zip(self.places, data, strict=True):
            given[place] = tensor
        while given and given[-1] is None:  # left out, or read as numbers
            given.pop()
        return self.run(*given)


def several(results: Any) -> tuple[Any, ...]:
    """What an operation makes, one tensor as the only one."""
    return (results,) if isinstance(results, Tensor) else tuple(results)


def parameter(value: Tensor) -> nn.Parameter:
    """A constant as a module keeps it."""
    return nn.Parameter(value.contiguous(), requires_grad=False)


def _last_uses(steps: Sequence[Step], outputs: Sequence[str]) -> list[tuple[str, ...]]:
    """The values that nothing behind each step reads."""
    later, found = set(outputs), list[tuple[str, ...]]()
    for step in reversed(steps):
        names = dict.fromkeys((*step.sources, *step.outputs))
        found.append(tuple(name for name in names if name not in later))
        later.update(step.sources)
    return found[::-1]
