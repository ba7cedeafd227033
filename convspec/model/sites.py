"""Where a model calls its convolutions: which name each has, and which are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import filter, fnmatchcase

import torch
from torch import Tensor, nn

from convspec.errors import UnreadableModel, UnsupportedLayer
from convspec.model.convolutions import Convolution
from convspec.operators.layers import layer_type
from convspec.operators.operator import ConvOperator

__all__ = ["Call", "Names", "calls_of", "chosen", "named", "plain_name"]


@dataclass(frozen=True)
class Names:
    """The names of a model's modules and tensors.

    Attributes:
        modules: By their name; the model's own is empty.
        tensors: Of parameters and buffers, by :func:`_place`; all that they have.
    """

    modules: Mapping[str, nn.Module]
    tensors: Mapping[tuple[object, ...], list[str]]

    @classmethod
    def of(cls, model: nn.Module) -> Names:
        """Those of a model."""
        tensors: dict[tuple[object, ...], list[str]] = {}
        for some in (model.named_parameters, model.named_buffers):
            for name, tensor in some(remove_duplicate=False):
                place = _place(tensor)
                if place is not None:
                    tensors.setdefault(place, []).append(plain_name(name))
        modules = {plain_name(name): module for name, module in model.named_modules()}
        return cls(modules, tensors)

    def tensor(self, tensor: Tensor | None, module: str) -> str:
        """The name of a parameter or a buffer, that of a module if it has one there.

        Empty if it is neither.
        """
        place = None if tensor is None else _place(tensor)
        found = self.tensors.get(place, []) if place is not None else []
        inside = [name for name in found if name.rpartition(".")[0] == module]
        return next(iter([*inside, *found]), "")

    def owner(self, tensor: Tensor | None, path: Sequence[str]) -> str:
        """The module that a tensor is a parameter of, as those on a path call it."""
        return self.tensor(tensor, path[-1] if path else "").rpartition(".")[0]


def plain_name(name: str) -> str:
    """The name of a module or a tensor, without what ``torch.compile`` puts into it."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


@dataclass
class Call:
    """One convolution of a model on one input size.

    Attributes:
        name: Where: a module, a weight, or a line of code.
        type: Class of that module, or the function.
        kernel: Number of its kernel: calls of one have the same weight and arguments but
            for the size.
        conv: What was called.
        count: How often.
    """

    name: str
    type: str
    kernel: int
    conv: Convolution
    count: int = 1

    @property
    def sizeless(self) -> bool:
        """Whether its kernel is known, but no size of an image."""
        return self.conv.weight is not None and not self.conv.input_size

    @property
    def input_size(self) -> tuple[int, ...]:
        """Spatial size of what it reads."""
        return self.conv.input_size

    def operator(self) -> ConvOperator:
        """Its operator.

        Raises:
            GeometryError: For what torch would refuse too.
            NotFiniteError: If the weight or the bias holds NaN or infinity.
            UnsupportedLayer: If the weight is none that operators have.
        """
        conv = self.conv
        if conv.unknown or conv.weight is None:
            raise UnsupportedLayer(conv.unknown or _unknown(conv.operation))
        return ConvOperator(
            conv.weight, conv.input_size, bias=conv.bias, **conv.given.keywords
        )


def _unknown(name: str) -> str:
    """Why an operation that convolves is no operator."""
    quantized = "dequantize the model or analyse it before quantization"
    other = "give its weight and arguments to ConvOperator"
    remedy = quantized if "quantized" in name else other
    return f"a convolution must be torch's; {name} is another; {remedy}"


def calls_of(convolutions: Sequence[Convolution], names: Names) -> list[Call]:
    """Every kernel on every size once, in order of the first call."""
    sites = [_site(conv, names) for conv in convolutions]
    alone = _alone(sites)
    calls: list[Call] = []
    for site, conv in zip(sites, convolutions, strict=True):
        name = _name(site, alone, names)
        same = [c for c in calls if c.name == name and _one_kernel(c.conv, conv)]
        known = next((c for c in same if _one_call(c.conv, conv)), None)
        if known is not None:
            known.count += 1
            continue
        kernel = same[0].kernel if same else len(calls)
        calls.append(Call(name, _type(site, alone, names, conv), kernel, conv))
    return _told_apart(calls)


def chosen(calls: Sequence[Call], patterns: str | Sequence[str] | None) -> list[Call]:
    """The calls whose names are among these, or match one of them.

    Raises:
        UnreadableModel: If a pattern matches none.
    """
    if patterns is None:
        return list(calls)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    names = [call.name for call in calls]
    for pattern in patterns:
        if pattern not in names and not filter(names, pattern):
            raise UnreadableModel(
                f"a layer must be named as in the report, or by a pattern; {pattern!r} "
                f"matches none; there are: {', '.join(names) or 'none'}"
            )
    return [
        call
        for call in calls
        if any(call.name == p or fnmatchcase(call.name, p) for p in patterns)
    ]


def named(calls: Sequence[Call]) -> Iterator[tuple[str, Call]]:
    """Names of the rows: those of the layers, with the size where there are several."""
    sizes = Counter(call.name for call in calls)
    for call in calls:
        several = sizes[call.name] > 1
        size = "x".join(map(str, call.input_size))
        yield f"{call.name} [{size}]" if several else call.name, call


def _told_apart(calls: list[Call]) -> list[Call]:
    """Calls whose kernels differ with names that do, too."""
    kernels: dict[str, list[int]] = {}
    for call in calls:
        some = kernels.setdefault(call.name, [])
        if call.kernel not in some:
            some.append(call.kernel)
    for call in calls:
        some = kernels[call.name]
        if len(some) > 1:
            call.name = f"{call.name} #{some.index(call.kernel) + 1}"
    return calls


@dataclass(frozen=True)
class _Site:
    """Where a convolution is called.

    Attributes:
        module: Name of the innermost module.
        weight: Name of the weight, or the line of code if it has none.
    """

    module: str
    weight: str

    @property
    def named(self) -> bool:
        """Whether the weight has a name."""
        return not self.weight.startswith("(")


def _site(conv: Convolution, names: Names) -> _Site:
    module = conv.path[-1] if conv.path else ""
    weight = names.tensor(conv.weight, module)
    return _Site(module, weight or f"({conv.line})")


def _alone(sites: Sequence[_Site]) -> set[str]:
    """Modules that call one convolution alone."""
    found: dict[str, set[str]] = {}
    for site in sites:
        found.setdefault(site.module, set()).add(site.weight)
    return {module for module, weights in found.items() if len(weights) == 1}


def _owns(site: _Site, alone: set[str], names: Names) -> bool:
    """Whether the convolution is what its module is."""
    if site.module not in alone or _is_graph(names.modules[site.module]):
        return False
    owner = site.weight.rpartition(".")[0]
    return not site.named or owner == site.module


def _is_graph(module: nn.Module) -> bool:
    """Whether a module, or one in it, runs many layers without calling their modules."""
    kinds = torch.jit.ScriptModule | torch.fx.GraphModule
    return any(isinstance(each, kinds) for each in (module, *module.children()))


def _name(site: _Site, alone: set[str], names: Names) -> str:
    if _owns(site, alone, names):
        return site.module or layer_type(names.modules[""])
    if site.named:
        return site.weight.removesuffix(".weight")
    return f"{site.module} {site.weight}".strip()


def _type(site: _Site, alone: set[str], names: Names, conv: Convolution) -> str:
    """Class of the layer, as far as there is one; else torch's name of the function."""
    place = site.module
    if not _owns(site, alone, names):
        place = site.weight.removesuffix(".weight") if site.named else ""
    module = names.modules.get(place) if place or _owns(site, alone, names) else None
    kind = "" if module is None else getattr(module, "original_name", layer_type(module))
    if kind and kind not in ("Module", "InterpreterModule"):
        return str(kind)
    if conv.operation in ("aten::addmm", "aten::mm", "aten::linear"):
        return "linear"
    return f"conv{'_transpose' * conv.given.transposed}{conv.dim or ''}d"


def _one_kernel(conv: Convolution, other: Convolution) -> bool:
    """Whether two convolutions differ in their size and the amount of padding alone."""
    ours, theirs = (replace(c.given, padding=0) for c in (conv, other))
    return ours == theirs and _equal(conv.weight, other.weight)


def _one_call(conv: Convolution, other: Convolution) -> bool:
    """Whether two convolutions of one kernel are one operator."""
    sizes = conv.input_size == other.input_size
    parts = conv.fused == other.fused and conv.outside == other.outside
    return sizes and parts and conv.given == other.given


def _equal(weight: Tensor | None, other: Tensor | None) -> bool:
    if weight is None or other is None or weight is other:
        return weight is other
    return weight.shape == other.shape and torch.equal(weight, other)


def _place(tensor: Tensor) -> tuple[object, ...] | None:
    """What tells a tensor in memory from others, transposed or not; None without."""
    try:
        if not tensor.numel() or not tensor.data_ptr():
            return None
        return tensor.data_ptr(), tensor.numel()
    except (NotImplementedError, RuntimeError):
        return None
