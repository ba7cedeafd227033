"""The steps by which an upper end comes down to the target, cheapest first: a list.

Each step has an estimate of its operations, inf where it is of no use, and a proof that
takes in what it finds. They are tried in order until the target is proven; one that costs
more than what is left of the budget is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from convspec.bounds.schur import schur_norm
from convspec.bounds.spectral_norm.inertia import bound_by_inertia
from convspec.bounds.spectral_norm.lower import Leading
from convspec.bounds.spectral_norm.parts import Parts
from convspec.bounds.spectral_norm.pieces import bound_in_pieces
from convspec.bounds.spectral_norm.search import Search, best_relation
from convspec.bounds.spectral_norm.tori import Tori
from convspec.bounds.supremum import supremum
from convspec.bounds.unfolding import unfolding_norm
from convspec.errors import TooLargeError
from convspec.operators.kernel import ScaledKernel
from convspec.rounding import up
from convspec.tori.relations import relations

__all__ = ["STEPS", "Proof", "Step", "climb"]

# a test of this many operations is done at once
SMALL_FLOPS = 3e9
# of what is left, for the supremum of the symbol where the torus costs more than that
SUPREMUM_SHARE = 0.9
# levels that it is asked at, about, with the vectors
LEVELS = 2
# vectors that are found sooner than the inertia of a torus: of a pair of peaks
FEW_VECTORS = 2
# of the operations of asking the inertia: a torus that takes more comes after that
DEAR_TORUS = 0.05
# the finest gap that branch and bound over frequency is asked for
FINEST_SUPREMUM = 1e-6


@dataclass
class Proof:
    """What the steps share.

    Attributes:
        search: The upper ends so far, the target, the budget.
        kernel: The operator without the axes that factor out.
        found: Its leading vector.
        rtol: Relative gap to stop at.
        between: Bounds on the blocks of the torus whose frequencies lie around those of
            the vector, (groups, j), once it was tested.
        asked: Whether the inertia was asked.
    """

    search: Search
    kernel: ScaledKernel
    found: Leading
    rtol: float
    between: Tensor | None = None
    asked: bool = False

    @cached_property
    def counted(self) -> float:
        """At least the norm, from counting how often pixels are read."""
        return up(min(unfolding_norm(self.kernel), schur_norm(self.kernel)))

    @cached_property
    def exact(self) -> Parts:
        """The operator itself, no axis wrapped."""
        return self.search.exact()

    @cached_property
    def tori(self) -> Tori:
        """The tori that the operator is a compression of."""
        kinds = [best_relation(relations(read)) for read in self.search.reduced.kept]
        return Tori(self.search, self.kernel, self.found, kinds, self.rtol, self.counted)

    @property
    def near(self) -> bool:
        """Whether the target is so near that one axis left as it is may reach it.

        Such an axis takes away its share of the gap, about half.
        """
        search = self.search
        return float(search.upper.max()) <= search.target * (1 + 2 * self.rtol)


@dataclass(frozen=True)
class Step:
    """One way to a smaller upper end.

    Attributes:
        words: What a bound says that its upper end came from.
        flops: Estimated operations that are not spent by the proof as it goes; inf where
            the step is of no use.
        prove: Takes in what it can prove, in these words.
        settles: Whether nothing that follows could do better.
    """

    words: str
    flops: Callable[[Proof], float]
    prove: Callable[[Proof, str], None]
    settles: bool = False


def climb(proof: Proof) -> None:
    """Prove the target by the first steps that do, within the budget."""
    search = proof.search
    for step in STEPS:
        if search.done:
            return
        flops = step.flops(proof)
        seconds = search.budget.seconds_of(flops)
        if flops < math.inf and search.budget.allows(flops, seconds=seconds):
            step.prove(proof, step.words)
            if step.settles:
                return


def _free(proof: Proof) -> float:
    return 0.0


def _exact_flops(proof: Proof) -> float:
    """Of factorising the operator itself; inf if it does not fit or no axis is left."""
    if not proof.exact.exact or not proof.search.fits(proof.exact):
        return math.inf
    return proof.exact.flops(len(proof.search.open))


def _small_flops(proof: Proof) -> float:
    flops = _exact_flops(proof)
    return flops if flops <= SMALL_FLOPS else math.inf


def _between_flops(proof: Proof) -> float:
    return proof.search.cost(proof.tori.full, proof.tori.caps)


def _inertia_flops(proof: Proof) -> float:
    """Of one level of the first group; inf where no such torus holds the operator.

    And once it was asked, or where the operator itself takes no more than a few levels.
    """
    flops = math.inf if proof.asked else proof.tori.inertia_flops
    return flops if _exact_flops(proof) > LEVELS * flops else math.inf


def _inertia_first_flops(proof: Proof) -> float:
    """The same where the torus between would take a good part of it, and rarely do."""
    flops = _inertia_flops(proof)
    dear = _between_flops(proof) > DEAR_TORUS * flops
    return flops if dear else math.inf


def _instead_of_torus(proof: Proof) -> float:
    """Nothing, as it takes a share of what is left, where the torus was too large."""
    return 0.0 if proof.between is None else math.inf


def _half_wrapped_flops(proof: Proof, near: bool) -> float:
    useful = proof.exact.exact and proof.between is not None and proof.near == near
    return 0.0 if useful else math.inf


def _few_flops(proof: Proof) -> float:
    """Nothing, as vectors spend as they are found, where a torus leaves room for few."""
    return 0.0 if proof.tori.vectors <= FEW_VECTORS else math.inf


def _several_flops(proof: Proof) -> float:
    several = proof.exact.exact and proof.tori.vectors > FEW_VECTORS
    return 0.0 if several else math.inf


def _pieces_flops(proof: Proof) -> float:
    """Nothing, as pieces spend as they go, where padding shows pixels twice."""
    axes = proof.search.reduced.kept
    circular = any(read.axis.mode == "circular" for read in axes)
    return 0.0 if proof.exact.exact and not circular else math.inf


def _by_counting(proof: Proof, words: str) -> None:
    proof.search.include_open(proof.counted, words)


def _by_itself(proof: Proof, words: str) -> None:
    proof.search.run(proof.exact, words)


def _below_supremum(proof: Proof, words: str) -> None:
    proof.tori.below_supremum(words)


def _by_one_vector(proof: Proof, words: str) -> None:
    proof.tori.by_one_vector(words)


def _by_several_vectors(proof: Proof, words: str) -> None:
    proof.tori.by_several_vectors(words)


def _by_torus_between(proof: Proof, words: str) -> None:
    tori = proof.tori
    proof.between = proof.search.run(tori.full, words, tori.caps)


def _by_inertia(proof: Proof, words: str) -> None:
    """Unless factorising the operator itself takes less."""
    proof.asked = True
    tori, most = proof.tori, _exact_flops(proof)
    bound_by_inertia(proof.search, tori.on_peak, proof.rtol, words, tori.counted, most)


def _by_supremum(proof: Proof, words: str) -> None:
    """At least the norm, by the supremum of the symbol, unless that is too large.

    It may take all that is left but a share, which is spent.
    """
    budget = proof.search.budget
    flops = max(1.0, budget.part(SUPREMUM_SHARE))  # a first look costs little
    budget.spend(flops)
    try:
        found = supremum(
            proof.kernel.operator,
            max(proof.rtol, FINEST_SUPREMUM),
            max_flops=flops,
            max_bytes=budget.bytes,
        )
    except TooLargeError:
        return
    proof.search.include_open(found.upper, words)


def _by_half_wrapped(proof: Proof, words: str) -> None:
    if proof.between is not None:
        tori = proof.tori
        proof.search.half_wrapped(tori.wraps, tori.full, proof.between, words)


def _in_pieces(proof: Proof, words: str) -> None:
    bound_in_pieces(proof.search, proof.found, words)


ITSELF = "the operator itself"
SUPREMUM = "the supremum of the symbol"
COUNTED = "a count of singular values of a phase-shifted torus (Lehmann 1949)"
INERTIA = "the inertia of a torus and of what it has more (Haynsworth 1968)"
SOME_AXES = "some axes on a phase-shifted torus"

STEPS = (
    Step("counting", _free, _by_counting),
    Step(ITSELF, _small_flops, _by_itself, settles=True),
    Step(SUPREMUM, _free, _below_supremum),
    Step(COUNTED, _free, _by_one_vector),
    Step(COUNTED, _few_flops, _by_several_vectors),
    Step(INERTIA, _inertia_first_flops, _by_inertia),
    Step("a phase-shifted torus", _between_flops, _by_torus_between),
    Step(SUPREMUM, _instead_of_torus, _by_supremum),
    Step(INERTIA, _inertia_flops, _by_inertia),
    Step(SOME_AXES, lambda proof: _half_wrapped_flops(proof, True), _by_half_wrapped),
    Step(COUNTED, _several_flops, _by_several_vectors),
    Step(ITSELF, _exact_flops, _by_itself, settles=True),
    Step(SOME_AXES, lambda proof: _half_wrapped_flops(proof, False), _by_half_wrapped),
    Step("overlapping pieces", _pieces_flops, _in_pieces),
)
