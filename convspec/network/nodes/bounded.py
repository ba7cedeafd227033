"""Operations that mix entries and are not linear, with their Lipschitz constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from convspec.network.kinds import Bounded, Kind, Refused
from convspec.network.nodes.given import Given
from convspec.rounding.directed import square_root, up

__all__ = ["READERS"]

Reader = Callable[[Given], Kind | str | list[Kind]]


def _max_pool(given: Given) -> Kind:
    """An entry is read by ``ceil(k gcd(d, s) / s)`` windows of each axis, at most.

    Of the windows that an input changes, each moves by no more than an entry of its own
    does; so the square of the constant is how many windows read an entry.
    """
    named = given.named
    dim = int(given.name.partition("pool")[2][0])
    kernel = _each(named["kernel_size"], dim)
    stride = _each(named["stride"] or kernel, dim)
    dilation = _each(named["dilation"], dim)
    count = math.prod(
        -(-k * math.gcd(d, s) // s)
        for k, s, d in zip(kernel, stride, dilation, strict=True)
    )
    rank = len(given.data[0].shape)
    axes = tuple(range(rank - dim, rank))
    return Bounded(square_root(count), given.name, axes)


def _adaptive_max_pool(given: Given) -> Kind:
    """Windows of an axis overlap by two at most, where sizes do not divide."""
    shape = given.data[0].shape
    sizes = given.named["output_size"]
    count = math.prod(
        _most_windows(length, size)
        for length, size in zip(shape[-len(sizes) :], sizes, strict=True)
    )
    axes = tuple(range(len(shape) - len(sizes), len(shape)))
    return Bounded(square_root(count), given.name, axes)


def _most_windows(length: int, size: int) -> int:
    """How many windows of adaptive pooling read the pixel that most of them read."""
    counts = [0] * length
    for i in range(size):
        for j in range(i * length // size, -(-(i + 1) * length // size)):
            counts[j] += 1
    return max(counts)


def _largest(given: Given) -> Kind:
    """A maximum or a minimum of entries, of which each moves by no more than they do.

    Of two tensors one may be broadcast to the other, so that its entries count often.
    """
    entries = math.prod(given.event.outputs[0].shape)
    copies = [entries // math.prod(each.shape) for each in given.data]
    return Bounded(square_root(max(1, *copies)), given.name)


def _log_sum(given: Given) -> Kind:
    """Its gradient is a softmax, of length 1 at most."""
    return Bounded(1.0, given.name)


def _norm(given: Given) -> Kind | str:
    """``||x|_p - |y|_p| <= |x - y|_p <= |x - y|`` for ``p >= 2``."""
    order = given.named["ord"]
    if not float(order) >= 2:
        return f"of norms those of order 2 and above are read, not {order}"
    return Bounded(1.0, given.name)


def _softmax(given: Given) -> Kind:
    """The Jacobian ``diag(p) - p p^T`` has norm at most 1/2 (Gao and Pavel, 2017)."""
    return Bounded(0.5, "softmax", (int(given.named["dim"]),))


def _log_softmax(given: Given) -> Kind:
    """``J = I - 1 p^T``, of which ``|J|`` is convex in p: ``sqrt(n)``, at a corner.

    There ``J J^T = I - 1 e^T - e 1^T + 1 1^T`` has the eigenvalue n on the plane of 1, e.
    """
    dim = int(given.named["dim"])
    return Bounded(square_root(given.data[0].shape[dim]), "log_softmax", (dim,))


def _normalised(given: Given) -> Kind | str:
    """Layer, group and RMS norm: ``max |gamma| / sqrt(eps)``, at constant inputs."""
    if given.data != [given.named["input"]]:
        return "its factors or its offsets depend on the input"
    weight = given.constant("weight")
    eps = float(given.named.get("eps") or 0.0)
    if eps <= 0:
        return "without eps it has no constant"
    largest = 1.0 if weight is None else float(weight.abs().max())
    words = given.name.removeprefix("native_").replace("_", " ")
    return Bounded(
        up(largest / math.sqrt(eps), 3),
        words,
        None,
        f"{words} is bounded by its eps alone, {largest / math.sqrt(eps):.0f}: no domain "
        "with a larger variance is known",
    )


def _attention(given: Given) -> str:
    return (
        "dot-product attention has no Lipschitz constant for all inputs (Kim, "
        "Papamakarios and Mnih, 2021)"
    )


def _first(reader: Callable[[Given], Kind | str]) -> Reader:
    """What the first output is told to be; the others hold places or statistics."""

    def read(given: Given) -> list[Kind]:
        kind = reader(given)
        others = Refused(given.no_bound("indices and statistics of it are not followed"))
        if isinstance(kind, str):
            kind = Refused(given.no_bound(kind))
        return [kind, *[others] * (len(given.event.outputs) - 1)]

    return read


def _each(given: int | Sequence[int], dim: int) -> list[int]:
    values = [given] if isinstance(given, int) else list(given)
    return values if len(values) == dim else values * dim


READERS: dict[str, Reader] = {
    **dict.fromkeys(
        (
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "mkldnn_max_pool2d",
            "mkldnn_max_pool3d",
        ),
        _first(_max_pool),
    ),
    "adaptive_max_pool2d": _first(_adaptive_max_pool),
    "adaptive_max_pool3d": _first(_adaptive_max_pool),
    **dict.fromkeys(
        ("amax", "amin", "max", "min", "maximum", "minimum", "sort", "topk"),
        _first(_largest),
    ),
    "logsumexp": _log_sum,
    "linalg_vector_norm": _norm,
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "native_layer_norm": _first(_normalised),
    "native_group_norm": _first(_normalised),
    "_fused_rms_norm": _first(_normalised),
    **dict.fromkeys(
        (
            "_native_multi_head_attention",
            "_scaled_dot_product_attention_math",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_transformer_encoder_layer_fwd",
        ),
        _attention,
    ),
}
