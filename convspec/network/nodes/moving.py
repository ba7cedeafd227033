"""Operations that only copy entries: run again on images of the places of entries."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
    "index",
    "index_select",
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
)


def _view(given: Given) -> Kind | str:
    dtype = given.named.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        return f"data in {dtype} are rounded"
    return Move(None, given.name)


def _moves(given: Given) -> Kind | str | list[Kind]:
    """Where each entry of each output comes from."""
    distinct = {each.number: each for each in given.data}
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
        if number not in distinct:
            integer = not constant.tensor.is_floating_point()
            known = constant.tensor.detach().cpu()
            images[number] = known if integer else torch.zeros_like(known).double()
    found = called_on(given.event, images)
    return [Move(each.to(torch.int64) - 1, given.name) for each in found]


def _places(first: int, shape: tuple[int, ...]) -> Tensor:
    count = torch.Size(shape).numel()
    places = torch.arange(first, first + count, dtype=torch.float64, device="cpu")
    return places.reshape(shape)


READERS: dict[str, Callable[[Given], Kind | str | list[Kind]]] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(MOVES, _moves),
}
