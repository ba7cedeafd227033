"""Loading weights into a model whose names have other prefixes than theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from convspec.errors import UnreadableModel
from convspec.files.reading import one_line

__all__ = ["load_weights"]

# what torch.compile puts between the names of modules
COMPILED = "_orig_mod."


def load_weights(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Load weights into a model, all of them and no others.

    Prefixes that wrappers of modules leave, ``module.``, ``model.``, ``_orig_mod.``, are
    taken from the names, or from those of the model, where more of them fit then.

    Args:
        model: The model; as it was, if the weights do not fit.
        state: Tensors by name.

    Returns:
        Sentences on what was undone.

    Raises:
        UnreadableModel: If names are missing or more than the model's, or if shapes
            differ: with all of them.
    """
    wanted = model.state_dict()
    fitting, notes = _renamed(state, wanted)
    _require_fit(fitting, wanted)
    meta = any(isinstance(w, Tensor) and w.is_meta for w in wanted.values())
    before = {
        name: held.clone() if isinstance(held, Tensor) and not is_lazy(held) else held
        for name, held in wanted.items()
    }
    try:
        model.load_state_dict(fitting, strict=True, assign=meta)
    except Exception as error:  # of the model's own hooks
        _restore(model, before, meta)
        raise UnreadableModel(
            one_line(
                "weights must load into the model; its load_state_dict raised "
                f"{type(error).__name__}: {error}; load them with the model's own code"
            )
        ) from error
    return notes


def _restore(model: nn.Module, before: dict[str, Any], meta: bool) -> None:
    """Put back what was there; what has no values in memory needs none."""
    if meta:
        model.load_state_dict(before, strict=False, assign=True)
        return
    now = model.state_dict(keep_vars=True)
    for name, held in before.items():
        there = now.get(name)
        if isinstance(there, Tensor) and not is_lazy(there) and isinstance(held, Tensor):
            there.data.copy_(held)


def _renamed(
    state: Mapping[str, Tensor], wanted: Mapping[str, Any]
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the names of the model that most of them have."""
    best, notes, most = dict(state), list[str](), _fits(state, wanted)
    plain = {name.replace(COMPILED, ""): tensor for name, tensor in state.items()}
    for renamed, said in _candidates(state, plain, wanted):
        fits = _fits(renamed, wanted)
        if fits > most and len(renamed) == len(state):
            best, notes, most = renamed, said, fits
    return best, notes


def _candidates(
    state: Mapping[str, Tensor], plain: Mapping[str, Tensor], wanted: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
    compiled = [f"{COMPILED} was taken from names of the weights"]
    for names, undone in ((state, []), (plain, compiled)):
        if undone:
            yield dict(names), undone
        for prefix in _common(names):
            said = f"the prefix {prefix} was taken from the names of the weights"
            bare = {name.removeprefix(prefix): t for name, t in names.items()}
            yield bare, [*undone, said]
            for lead in _common(wanted):
                other = f"the prefix {lead} of the model was put before them"
                yield {lead + name: t for name, t in bare.items()}, [*undone, said, other]
        for lead in _common(wanted):
            other = (
                f"the prefix {lead} of the model was put before the names of the weights"
            )
            yield {lead + name: t for name, t in names.items()}, [*undone, other]


def _common(names: Mapping[str, Any]) -> list[str]:
    """Prefixes of all names that end in a dot, the shortest first."""
    if not names:
        return []
    parts = [name.split(".")[:-1] for name in names]
    least, most = min(parts), max(parts)
    depth = 0
    while depth < min(map(len, parts)) and least[depth] == most[depth]:
        depth += 1
    return [".".join(least[: n + 1]) + "." for n in range(depth)]


def _fits(state: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> int:
    """How many names are the model's, with the right shape or not."""
    return len(state.keys() & wanted.keys())


def _require_fit(state: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    wrong = [
        f"{name} {tuple(state[name].shape)} in place of {tuple(held.shape)}"
        for name, held in wanted.items()
        if name in state
        and isinstance(held, Tensor)
        and not is_lazy(held)
        and held.shape != state[name].shape
    ]
    complex_ones = [
        name
        for name, held in wanted.items()
        if name in state
        and isinstance(held, Tensor)
        and state[name].is_complex()
        and not held.is_complex()
    ]
    faults = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": wrong,
        "complex in place of real": complex_ones,
    }
    said = [f"{what}: {', '.join(names)}" for what, names in faults.items() if names]
    if said:
        raise UnreadableModel(
            one_line(
                "weights must be those of the model by name and shape; "
                f"{'; '.join(said)}; "
                "build the model that they were saved from"
            )
        )
