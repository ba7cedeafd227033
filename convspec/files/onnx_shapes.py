"""The sizes of all values of an ONNX model, as onnx infers them from those of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from convspec.errors import UnreadableModel
from convspec.files.onnx_file import Proto, answered, onnx
from convspec.files.onnx_growth import INTEGERS, MOST_SIZES, UNFOLLOWED, require_small
from convspec.files.onnx_program import Program

__all__ = ["Shape", "set_inputs", "shapes_of"]

# a size is None where it is not known
Shape = tuple[int | None, ...]
GRAPHS_READ_AS = 8  # version of the format in which initializers need not be inputs
MOST = 2**40


def shapes_of(
    model: Proto, program: Program, input_shape: tuple[Any, ...] | None
) -> dict[str, Shape]:
    """The shape of each value, as far as it can be inferred.

    Args:
        model: As it is in the file, for the versions of its operations.
        program: Its operations; the shapes of its inputs are set.
        input_shape: Without the batch, or one for each input; None for the file's.

    Raises:
        UnreadableModel: If the shape of an input is missing, or fits nothing.
    """
    lean = onnx().ModelProto(ir_version=GRAPHS_READ_AS)
    with answered("its inputs and their types must be valid"):
        set_inputs(program.graph, input_shape)
    known = {each.name: each for each in program.graph.input}
    named = {
        old: new
        for each in model.graph.input
        if each.name in known
        for old, new in _named(each, known[each.name])
    }
    seen = {(each.domain, each.version) for each in model.opset_import}
    domains = {domain for domain, _ in seen}
    for function in getattr(model, "functions", ()):
        for each in function.opset_import:
            if each.domain not in domains:
                seen.add((each.domain, each.version))
                domains.add(each.domain)
    seen.add((UNFOLLOWED, 1))
    for domain, version in sorted(seen):
        lean.opset_import.add(domain=domain, version=version)
    require_small(program)
    lean.graph.CopyFrom(program.graph)
    found = _inferred(lean)
    hints = _missing(program, found, named)
    if hints:
        for graph, name, shape, kind in hints:
            _set(graph.value_info.add(name=name), shape, kind)
        lean.graph.CopyFrom(program.graph)
        found = _inferred(lean)
    return found


def _inputs(graph: Proto) -> list[Proto]:
    """Inputs that are tensors."""
    return [each for each in graph.input if each.type.HasField("tensor_type")]


def set_inputs(graph: Proto, input_shape: tuple[Any, ...] | None) -> None:
    """Put numbers in the place of dimensions that the file leaves open."""
    inputs = _inputs(graph)
    shapes: Sequence[tuple[int, ...] | None] = [None] * len(inputs)
    if input_shape is not None:
        several = bool(input_shape) and isinstance(input_shape[0], tuple)
        shapes = input_shape if several else (input_shape,)
        if len(shapes) != len(inputs):
            names = ", ".join(f"{each.name} {_shown(each)}" for each in inputs[:8])
            raise UnreadableModel(
                f"input_shape must give one shape for each of the {len(inputs)} inputs, "
                f"{names}; got {len(shapes)}; give a tuple of them, without the batch"
            )
    for each, shape in zip(inputs, shapes, strict=True):
        _set_input(each, shape)


def _set_input(given: Proto, shape: tuple[int, ...] | None) -> None:
    kind = given.type.tensor_type
    wanted = None if shape is None else (1, *shape)
    before = _shown(given)
    if not kind.HasField("shape") and wanted is not None:
        for size in wanted:
            kind.shape.dim.add().dim_value = size
    dims = kind.shape.dim
    if wanted is not None and len(dims) == 0:  # a number has no batch
        return
    fits = wanted is None or len(wanted) == len(dims)
    for place, dim in enumerate(dims):
        known = dim.HasField("dim_value") and dim.dim_value > 0
        fixed = dim.dim_value if known else None
        new = fixed if wanted is None or not fits else wanted[place]
        if place == 0:
            new = fixed or 1
        fits = fits and (fixed is None or fixed == new) and (new or 1) <= MOST
        if not fits or new is None:
            break
        dim.dim_value = new
    else:
        if kind.HasField("shape"):
            return
    if wanted is None:
        raise UnreadableModel(
            f"input {given.name!r} must have a size; its shape in the file is "
            f"{before}; give input_shape, without the batch"
        )
    raise UnreadableModel(
        f"input_shape must fit input {given.name!r}, {before} with the batch; got "
        f"{shape}; give the sizes behind the batch"
    )


def _shown(given: Proto) -> str:
    """The shape that a file gives."""
    kind = given.type.tensor_type
    if not kind.HasField("shape"):
        return "of any shape"
    sizes = [
        str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in kind.shape.dim
    ]
    return f"({', '.join(sizes)})"


def _named(given: Proto, known: Proto) -> list[tuple[str, int]]:
    """Names of sizes that an input leaves open, with their numbers."""
    pairs = zip(
        given.type.tensor_type.shape.dim, known.type.tensor_type.shape.dim, strict=False
    )
    return [(old.dim_param, new.dim_value) for old, new in pairs if old.dim_param]


def _inferred(lean: Proto) -> dict[str, Shape]:
    """Shapes by onnx's own inference."""
    with answered("its operations must be valid; onnx infers no shapes of them"):
        infer = onnx("onnx.shape_inference").infer_shapes
        first = infer(lean, data_prop=False).graph
        if _has_long_lists(first):  # of which it would make as many sizes
            return dict(_read(first))
        return dict(_read(infer(lean, data_prop=True).graph))


def _has_long_lists(graph: Proto) -> bool:
    """Whether lists of integers are longer than any list of sizes."""
    return any(
        kind in INTEGERS and len(shape) == 1 and (shape[0] or 0) > MOST_SIZES
        for kind, shape in _kinds(graph)
    )


def _read(graph: Proto) -> list[tuple[str, Shape]]:
    """The shapes that a graph and those in it say."""
    found: list[tuple[str, Shape]] = []
    for each in _values(graph):
        shape = _shape(each.type, {})
        if shape is not None:
            found.append((each.name, shape))
    for part in _graphs(graph):
        found.extend((each.name, tuple(each.dims)) for each in part.initializer)
    return found


def _kinds(graph: Proto) -> Iterator[tuple[int, Shape]]:
    """Types of entries and shapes of all values."""
    for each in _values(graph):
        shape = _shape(each.type, {})
        if shape is not None:
            yield each.type.tensor_type.elem_type, shape


def _values(graph: Proto) -> Iterator[Proto]:
    for part in _graphs(graph):
        yield from (*part.input, *part.output, *part.value_info)


def _graphs(graph: Proto) -> Iterator[Proto]:
    """A graph and those in it."""
    left = [graph]
    while left:
        graph = left.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                left.extend(attribute.graphs)
                if attribute.HasField("g"):
                    left.append(attribute.g)


def _shape(kind: Proto, named: dict[str, int]) -> Shape | None:
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else named.get(dim.dim_param)
        for dim in kind.tensor_type.shape.dim
    )


def _missing(
    program: Program, found: dict[str, Shape], named: dict[str, int]
) -> list[tuple[Proto, str, Shape, int]]:
    """What the file says of values whose shape is not inferred.

    It may be wrong of those that are: exporters write sizes of their example.
    """
    hints = []
    for graph, name, kind in program.hints:
        shape = _shape(kind, named)
        if shape is None or None in shape or None not in found.get(name, (None,)):
            continue
        hints.append((graph, name, shape, kind.tensor_type.elem_type))
    return hints


def _set(given: Proto, shape: Shape, kind: int) -> None:
    given.type.tensor_type.elem_type = kind
    given.type.tensor_type.shape.SetInParent()
    for size in shape:
        assert size is not None
        given.type.tensor_type.shape.dim.add().dim_value = size
