"""Which operators an exported program from a file may call: such that compute alone."""

from __future__ import annotations

import re

import torch

__all__ = ["computes"]

ATEN = re.compile(r"torch\.ops\.aten\.([A-Za-z0-9_]+)\.([A-Za-z0-9_]+)", re.ASCII)
# arguments of text that choose how to compute; other text names files, or is printed
TEXTS = frozenset(
    {
        "algorithm",
        "approximate",
        "assert_msg",
        "driver",
        "equation",
        "indexing",
        "interpolation",
        "mode",
        "norm",
        "ord",
        "p",
        "pad_mode",
        "padding",
        "padding_side",
        "reduce",
        "rounding_mode",
        "side",
        "UPLO",
    }
)
# what torch keeps to itself may trust its arguments; of these it checks them
INTERNAL = (
    "_adaptive_avg_pool",
    "_assert_",
    "_conj",
    "_convolution",
    "_fft_",
    "_local_scalar_dense",
    "_log_softmax",
    "_native_batch_norm_legit",
    "_neg_view",
    "_reshape_alias",
    "_scaled_dot_product",
    "_softmax",
    "_to_copy",
    "_unsafe_view",
    "_upsample",
    "_weight_norm",
)
# on sizes: of integers and Booleans
ON_SIZES = {
    "_operator": "add and_ eq floordiv ge gt le lt mod mul ne neg not_ or_ sub truediv",
    "math": "ceil floor sqrt trunc",
    "torch": "sym_float sym_int sym_ite sym_max sym_min sym_not sym_sum",
    "torch.ops.higher_order": "cond wrap_with_autocast wrap_with_set_grad_enabled",
}


def computes(target: str) -> bool:
    """Whether an operator, by the name that a file gives it, is known to compute alone.

    Any other name reaches whatever hangs from torch: its loaders, its compiler, ``os``.
    """
    place, _, name = target.rpartition(".")
    if name in ON_SIZES.get(place, "").split():
        return True
    parts = ATEN.fullmatch(target)
    if parts is None or parts[1].startswith("__"):
        return False
    if parts[1].startswith("_") and not parts[1].startswith(INTERNAL):
        return False
    operator = getattr(getattr(torch.ops.aten, parts[1], None), parts[2], None)
    if not isinstance(operator, torch._ops.OpOverload):
        return False
    texts = (each.name for each in operator._schema.arguments if "str" in str(each.type))
    return all(name in TEXTS for name in texts)
