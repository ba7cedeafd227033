"""What pads the input of a convolution or cuts its output, as a part of its operator.

Zeros add up, and so do constants, whose part is not linear; any padding mode can be that
of a convolution that does not pad itself. Of an output the first and the last are left
out by padding less: the pixels that are read then are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convspec.model.convolutions import Convolution
from convspec.model.event import Event, Value
from convspec.model.movement import moved_back, moved_on
from convspec.model.window import Window, windows_of
from convspec.operators.padding_mode import mode_words

__all__ = [
    "cut",
    "cut_outside",
    "padded",
    "padded_outside",
    "with_cut",
    "with_padding",
    "with_padding_of",
]


def with_padding(
    conv: Convolution, events: Sequence[Event], at: int, pads_itself: bool
) -> Convolution:
    """A convolution of what was padded for it, as far back as one operator tells it.

    Args:
        conv: The convolution.
        events: All operations, in order.
        at: Its place among them.
        pads_itself: Whether it is a layer of torch's, whose padding needs no words.
    """
    return with_padding_of(conv, events, at, pads_itself)[0]


def with_padding_of(
    conv: Convolution, events: Sequence[Event], at: int, pads_itself: bool
) -> tuple[Convolution, Value]:
    """As :func:`with_padding`, with the value that it reads then.

    Args:
        conv: The convolution.
        events: All operations, in order.
        at: Its place among them.
        pads_itself: Whether it is a layer of torch's, whose padding needs no words.
    """
    found, value = conv, events[at].args[0]
    outside: tuple[str, ...] = ()
    for moved in moved_back(events, at, value):
        windows = windows_of(moved.places, moved.source.shape, conv.dim)
        fused = None if windows is None else padded(conv, windows)
        if fused is not None:
            found, outside, value = fused, (), moved.source
            if pads_itself and moved.paths == {conv.path}:
                found = replace(found, fused=())
        elif moved.pads if windows is None else any(w.pads for w in windows):
            outside = (padded_outside(events[moved.first].name),)
    return replace(found, outside=(*found.outside, *outside)), value


def with_cut(
    conv: Convolution, events: Sequence[Event], at: int, results: Sequence[Value]
) -> tuple[Convolution, int, Value]:
    """A convolution without the outputs that are cut off, where nothing reads them.

    And the place of the operation that made what is left, and that.

    Args:
        conv: The convolution.
        events: All operations, in order.
        at: Its place among them.
        results: What the model returned, which its caller reads.
    """
    made = events[at].outputs[0]
    found = conv, at, made
    if made in results:
        return found
    for moved, value in moved_on(events, at, made):
        windows = windows_of(moved.places, made.shape, conv.dim)
        if windows is None or any(_grows(window) for window in windows):
            break
        less = cut(conv, windows)
        if less is None:
            words = cut_outside(events[moved.last].name)
            return replace(found[0], outside=(*found[0].outside, words)), at, made
        found = less, moved.last, value
        if value in results:
            break
    return found


def _grows(window: Window) -> bool:
    return max(window.before, window.after) > 0


def padded_outside(operation: str) -> str:
    """What is said of padding that is no part of a convolution."""
    return (
        f"what pads its input, {operation}, is no part of it: the numbers hold for the "
        "convolution alone, and certify nothing of both"
    )


def cut_outside(operation: str) -> str:
    """What is said of a cut that is no part of a convolution."""
    return (
        f"what cuts its output, {operation}, is no part of it: the numbers hold for the "
        "convolution alone"
    )


def padded(conv: Convolution, windows: tuple[Window, ...]) -> Convolution | None:
    """The convolution of the image in front of these windows, if there is one."""
    if all(window.is_all for window in windows):
        return conv
    if conv.given.transposed or not all(w.is_all or w.pads for w in windows):
        return None
    found, pads = list[set[str]](), []
    for own, window in zip(conv.pads, windows, strict=True):
        found.append({*[window.mode] * window.pads, *["zeros"] * any(own)})
        pads.append((own[0] + window.before, own[1] + window.after))
    if any(len(modes) > 1 for modes in found):
        return None
    usual = next(mode for modes in found for mode in modes)
    each = [next(iter(modes), usual) for modes in found]
    given = replace(conv.given, padding=tuple(pads), padding_mode=tuple(each))
    mode = mode_words(each)
    amounts = _amounts([(window.before, window.after) for window in windows])
    size = tuple(window.size for window in windows)
    return replace(
        conv, given=given, input_size=size, fused=(f"{mode} {amounts} before",)
    )


def cut(conv: Convolution, windows: tuple[Window, ...]) -> Convolution | None:
    """The convolution that gives what these windows leave of its output."""
    if all(window.is_all for window in windows):
        return conv
    assert conv.weight is not None
    pads = []
    for j, (own, window) in enumerate(zip(conv.pads, windows, strict=True)):
        front, back = -window.before, -window.after
        if conv.given.transposed:
            pads.append((own[0] + front, own[1] + back))
            continue
        stride, dilation = _at(conv.given.stride, j), _at(conv.given.dilation, j)
        extent = dilation * (conv.weight.shape[2 + j] - 1) + 1
        before = own[0] - stride * front
        # the last output that is left reads up to here
        needed = (window.length - 1) * stride + extent
        after = max(0, needed - before - conv.input_size[j])
        outputs = (before + conv.input_size[j] + after - extent) // stride + 1
        if before < 0 or outputs != window.length:
            return None
        pads.append((before, after))
    amounts = _amounts([(-window.before, -window.after) for window in windows])
    given = replace(conv.given, padding=tuple(pads))
    return replace(conv, given=given, fused=(*conv.fused, f"{amounts} cut after"))


def _at(values: int | Sequence[int], axis: int) -> int:
    return values if isinstance(values, int) else values[axis]


def _amounts(pairs: Sequence[tuple[int, int]]) -> str:
    """Amounts in front and behind in words: one number if all are the same."""
    numbers = {number for pair in pairs for number in pair}
    if len(numbers) == 1:
        return str(*numbers)
    return ",".join(f"({front},{back})" for front, back in pairs)
