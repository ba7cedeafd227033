"""Operations that only copy entries: run again on images of the places of entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from convspec.model.event import Event, Value
from convspec.model.movement import MOST_ENTRIES, called_on
from convspec.network.kinds import Kind, Move
from convspec.network.nodes.given import Given

__all__ = ["READERS"]

# all entries of their input, in order
VIEWS = (
    "view",
    "_unsafe_view",
    "reshape",
    "_reshape_alias",
    "squeeze",
    "unsqueeze",
    "flatten",
    "unflatten",
    "alias",
    "clone",
    "contiguous",
    "detach",
    "lift_fresh",
    "_to_copy",
)
MOVES = (
    "cat",
    "channel_shuffle",
    "chunk",
    "constant_pad_nd",
    "copy",
    "diagonal",
    "expand",
    "expand_as",
    "flip",
    "gather",
    "im2col",
    "index",
    "index_select",
    "masked_fill",
    "movedim",
    "narrow",
    "native_channel_shuffle",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "repeat",
    "repeat_interleave",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "roll",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "stack",
    "swapaxes",
    "t",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unfold",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d",
    "where",
)
# arguments that say which entries are read
WHICH = ("condition", "index", "indices", "mask", "repeats")


def _view(given: Given) -> Kind | str:
    dtype = given.named.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        return f"data in {dtype} are rounded"
    if dtype is not None and given.name == "view":
        return "it reads the bits of numbers as other numbers"
    return Move(None, given.name)


def _moves(given: Given) -> Kind | str | list[Kind]:
    """Where each entry of each output comes from."""
    which = _which(given)
    if not which.isdisjoint(each.number for each in given.data):
        return "which entries it reads depends on the input"
    sizes = [torch.Size(each.shape).numel() for each in given.data]
    outputs = [torch.Size(each.shape).numel() for each in given.event.outputs]
    if sum(sizes) > MOST_ENTRIES or sum(outputs) > MOST_ENTRIES:
        return f"images must have at most {MOST_ENTRIES} entries here"
    images, first = dict[int, Tensor](), 1
    for each in given.data:  # one given twice is read at its first place
        if each.number not in images:
            images[each.number] = _places(first, each.shape)
        first += torch.Size(each.shape).numel()
    for number, constant in given.event.constants.items():
        known = constant.tensor.detach().cpu()
        if number in which and not known.is_floating_point():
            images[number] = known
        else:
            images[number] = torch.zeros_like(known, dtype=torch.float64)
    found = called_on(_without_value(given.event), images)
    return [Move(each.to(torch.int64) - 1, given.name) for each in found]


def _which(given: Given) -> frozenset[int]:
    """Numbers of the tensors that say which entries are read."""
    found = tree_flatten([given.named.get(name) for name in WHICH])[0]
    return frozenset(each.number for each in found if isinstance(each, Value))


def _without_value(event: Event) -> Event:
    """What fills in a number fills in zero: a constant is no part of what is linear."""
    filled = event.name.startswith("aten::masked_fill")
    if not filled or isinstance(event.args[2], Value):
        return event
    return replace(event, args=(*event.args[:2], 0.0))


def _places(first: int, shape: tuple[int, ...]) -> Tensor:
    count = torch.Size(shape).numel()
    places = torch.arange(first, first + count, dtype=torch.float64, device="cpu")
    return places.reshape(shape)


READERS: dict[str, Callable[[Given], Kind | str | list[Kind]]] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(MOVES, _moves),
}
