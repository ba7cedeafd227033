"""Live tensors and the ellipsoid of their differences.

A group is a core q with the covariance S(w), leaves psi_l uncorrelated with it and each
other, of diagonal covariances, and tensors that are linear forms in both. For every pair
of inputs x, x' the differences of all of them satisfy, summed over frequencies,

    dq^H S^+ dq + sum_l |dpsi_l|^2 / v_l <= |x - x'|^2.

Replacing a covariance by more than it keeps that, which is how rounding is accounted for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import torch
from torch import Tensor

from convspec.network.ellipsoid.correlated import add_correlated
from convspec.network.ellipsoid.form import Form, size_of, summed
from convspec.network.ellipsoid.lattice import Lattice, pieces
from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.stack import Stack
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Group", "raised"]

# exponents between which a scale is a number
MOST_EXPONENT = 1000


@dataclass(frozen=True)
class Group:
    """Tensors on one lattice.

    Attributes:
        lattice: Where they live.
        core: S without its scale, (F, c, c), Hermitian.
        leaves: v of each leaf without its scale, (F or 1, k), float64.
        forms: The tensors, by the place of their node.
        exponent: S is ``2^exponent`` times the core, and likewise v.
        proven: Whether rounding is accounted for.
    """

    lattice: Lattice
    core: Tensor
    leaves: Mapping[str, Tensor]
    forms: Mapping[int, Form]
    exponent: int = 0
    proven: bool = False

    @classmethod
    def of_leaf(
        cls, lattice: Lattice, diagonal: Tensor, place: int, exponent: int, proven: bool
    ) -> Group:
        """One tensor, uncorrelated between its channels and white over frequencies.

        Args:
            lattice: Where it lives.
            diagonal: Its covariance without the scale; (c,).
            place: Of its node.
            exponent: Of the scale.
            proven: Whether rounding is accounted for.
        """
        width, count = len(diagonal), len(lattice.index)
        dtype = lattice.dtype
        core = torch.zeros(count, 0, 0, dtype=dtype, device="cpu")
        name = f"leaf {place}"
        if proven:
            diagonal = diagonal.clamp(min=UNDERFLOW)
        form = Form(
            torch.zeros(1, width, 0, dtype=dtype, device="cpu"),
            {name: torch.ones(1, width, dtype=torch.float64, device="cpu")},
            torch.zeros(1, dtype=torch.float64, device="cpu") if proven else None,
        )
        return cls(lattice, core, {name: diagonal[None]}, {place: form}, exponent, proven)

    @property
    def most(self) -> Tensor:
        """At least the largest eigenvalue of the core and of each leaf; (F,)."""
        found: Tensor = lengths(self.core.detach()) * (1 + 1e-9)
        for each in self.leaves.values():
            found = torch.maximum(found, each.detach().amax(1))
        return found

    def scaled(self) -> Group:
        """The same with covariances of about 1, by a power of 2."""
        largest = 0.0
        if self.core.shape[1]:
            diagonal = self.core.detach().diagonal(dim1=1, dim2=2).real
            largest = float(diagonal.max())
        for each in self.leaves.values():
            largest = max(largest, float(each.detach().max()))
        exponent = math.frexp(largest)[1] if largest > 0 else 0
        exponent = max(exponent, -MOST_EXPONENT)
        if not exponent:
            return self
        factor = 2.0**-exponent
        return replace(
            self,
            core=self.core * factor,
            leaves={
                leaf: self._times(each, factor) for leaf, each in self.leaves.items()
            },
            exponent=self.exponent + exponent,
        )

    def _times(self, leaf: Tensor, factor: Tensor | float) -> Tensor:
        """A multiple of v, which must not vanish by underflow: a map may enlarge it."""
        return (factor * leaf).clamp(min=UNDERFLOW) if self.proven else factor * leaf

    def kept(self, places: Sequence[int]) -> Group:
        """The group of some of its tensors, in a core that is not larger than they."""
        forms = {place: self.forms[place] for place in places}
        used = {leaf for form in forms.values() for leaf in form.leaves}
        leaves = {leaf: each for leaf, each in self.leaves.items() if leaf in used}
        found = replace(self, forms=forms, leaves=leaves)
        if self.core.shape[1] > sum(form.width for form in forms.values()):
            return found.gathered()
        return found

    def appended(self, place: int, parts: Sequence[tuple[int, Map]]) -> Group:
        """With a tensor ``sum_j A_j u_j`` of its own tensors u."""
        mixing = [source for source, map_ in parts if not map_.diagonal]
        group = self
        for source in mixing:
            group = group.with_one_leaf(source)
        # in a core that is not larger, or where leaves are dense already
        width = sum(form.width for form in group.forms.values())
        fits = bool(mixing and group.leaves) and width <= group.core.shape[1]
        if fits or any(not group.forms[each].is_channelwise for each in mixing):
            group = group.gathered()
        form = summed([group.forms[source].times(map_) for source, map_ in parts])
        return replace(group, forms={**group.forms, place: form})

    def with_one_leaf(self, place: int) -> Group:
        """The leaves of a tensor as one, if they are diagonal and its alone."""
        form = self.forms[place]
        others = [each for other, each in self.forms.items() if other != place]
        shared = {leaf for each in others for leaf in each.leaves}
        alone = form.is_channelwise and not shared & set(form.leaves)
        if len(form.leaves) < 2 or not alone:
            return self
        variance = self.own_variance(form)
        name = f"leaf {place}, joined"
        one = torch.ones(1, form.width, dtype=torch.float64, device="cpu")
        leaves = {
            leaf: each for leaf, each in self.leaves.items() if leaf not in form.leaves
        }
        forms = {**self.forms, place: replace(form, leaves={name: one})}
        return replace(self, leaves={**leaves, name: variance}, forms=forms)

    def own_variance(self, form: Form) -> Tensor:
        """What diagonal leaves add to the covariance of a tensor; (F or 1, w)."""
        total = torch.zeros(1, form.width, dtype=torch.float64, device="cpu")
        for leaf, each in form.leaves.items():
            size = each.abs()
            if form.error is not None:
                size = (size + form.error[:, None]) * (1 + 8 * UNIT)
            # in this order it underflows only where the result is below UNDERFLOW
            total = total + size * (size * self.leaves[leaf])
        if not (self.proven and form.leaves):
            return total
        return total * (1 + 8 * len(form.leaves) * UNIT) + UNDERFLOW

    def gathered(self) -> Group:
        """The same tensors, stacked as the core, without leaves."""
        core = self.covariance(list(self.forms.values()))
        widths = {place: form.width for place, form in self.forms.items()}
        return self.stacked(core, widths)

    def stacked(self, core: Tensor, widths: Mapping[int, int]) -> Group:
        """A group whose core is a stack of tensors of some widths, by their places."""
        width, forms, first = core.shape[1], dict[int, Form](), 0
        eye = torch.eye(width, dtype=core.dtype, device="cpu")[None]
        none = torch.zeros(1, dtype=torch.float64, device="cpu") if self.proven else None
        for place, own in widths.items():
            last = first + own
            forms[place] = Form(eye[:, first:last], {}, none)
            first = last
        return replace(self, core=core, leaves={}, forms=forms)

    def covariance(self, forms: Sequence[Form]) -> Tensor:
        """``T S T^H + sum_l B_l v_l B_l^H`` of stacked forms; (F, w, w), Hermitian."""
        width = sum(form.width for form in forms)
        some = list(pieces(len(self.core), max(width, self.core.shape[1]) ** 2))
        if len(some) == 1 or torch.is_grad_enabled():
            return self._covariance(forms)
        found = []
        for places in some:
            here = [form.taken(itemgetter(places)) for form in forms]
            found.append(self.part(places)._covariance(here))
        return torch.cat(found)

    def _covariance(self, forms: Sequence[Form]) -> Tensor:
        stack = Stack.of([form.matrix for form in forms])
        found = stack.around(self.core)
        add_correlated(found, self.leaves, forms)
        if not self.proven:
            return found
        found = (found + found.mH) / 2
        return raised(found, self.covariance_error(forms) + 8 * UNIT * lengths(found))

    def covariance_error(
        self, forms: Sequence[Form], others: int = 0, most: Tensor | None = None
    ) -> Tensor:
        """How far a covariance may be off, for rounding and the forms' own errors; (F,).

        ``|T S T^H - T' S T'^H| <= (2 |T| + e) e |S|`` for ``|T - T'| <= e``. Each partial
        sum is rounded, so that there is a term for every summand. Lengths are multiplied
        by ``sqrt(|S|)`` before they are squared, where they might be lost.

        Args:
            forms: Of the tensors.
            others: Summands beside these.
            most: At least what :attr:`most` is.
        """
        root = (self.most if most is None else most).sqrt()
        names = dict.fromkeys(leaf for form in forms for leaf in form.leaves)
        errors = [form.error for form in forms if form.error is not None]
        off = sum(errors[1:], errors[0]) * root
        sizes = [lengths(form.matrix).expand(len(root)) for form in forms]
        size = lengths(torch.stack(sizes, 1)) * root
        more = 8 + 2 * len(names) + others
        terms = 8 * (self.core.shape[1] + more) * UNIT
        total = (2 * size + off) * off + terms * size**2
        for name in names:
            owned = [form.leaves[name] for form in forms if name in form.leaves]
            # of several, one above the other, no more than the sum
            sizes = [size_of(each) for each in owned]
            wide = sum(sizes[1:], sizes[0]) * root
            terms = 8 * (self.leaves[name].shape[1] + more) * UNIT
            total = total + (2 * wide + off) * off + terms * wide**2
        error: Tensor = total * (1 + 1e-6)
        return error

    def part(self, places: slice) -> Group:
        """The group at some frequencies."""
        return self._taken(itemgetter(places))

    def at(self, places: Tensor, turned: Tensor) -> Group:
        """The group at some frequencies, conjugate at some of them."""

        def taken(x: Tensor) -> Tensor:
            some = x[places]
            if not some.is_complex():
                return some
            return torch.where(turned.reshape(-1, *[1] * (x.ndim - 1)), some.conj(), some)

        return self._taken(taken)

    def _taken(self, taken: Callable[[Tensor], Tensor]) -> Group:
        """The group at some frequencies; what is real at all of them stays."""
        leaves = {
            leaf: each if len(each) == 1 else taken(each)
            for leaf, each in self.leaves.items()
        }
        forms = {place: form.taken(taken) for place, form in self.forms.items()}
        return replace(self, core=taken(self.core), leaves=leaves, forms=forms)

    def joined(self, other: Group, share: Tensor) -> Group:
        """Both groups as one: ``blkdiag((1 + t) S_1, (1 + 1/t) S_2)``.

        Args:
            other: On the same lattice.
            share: t, positive.
        """
        # at least the scale of the other one, which must not vanish
        lift = 2.0 ** max(other.exponent - self.exponent, -MOST_EXPONENT)
        ways = (1 + share), (1 + 1 / share) * lift
        if self.proven:
            ways = ways[0] * (1 + 8 * UNIT), ways[1] * (1 + 8 * UNIT)
        first, second = self.core.shape[1], other.core.shape[1]
        core = self.core.new_zeros(len(self.core), *[first + second] * 2)
        core[:, :first, :first] = ways[0] * self.core
        core[:, first:, first:] = ways[1] * other.core
        leaves = {leaf: self._times(v, ways[0]) for leaf, v in self.leaves.items()}
        leaves |= {leaf: self._times(v, ways[1]) for leaf, v in other.leaves.items()}
        forms = {place: form.widened(0, second) for place, form in self.forms.items()}
        forms |= {place: form.widened(first, 0) for place, form in other.forms.items()}
        found = replace(self, core=core, leaves=leaves, forms=forms)
        if not self.proven:
            return found
        return replace(found, core=raised(core, 8 * UNIT * lengths(core)))


def raised(blocks: Tensor, error: Tensor) -> Tensor:
    """Blocks with so much more on the diagonal."""
    wide = (error * (1 + 1e-6) + UNDERFLOW)[:, None].expand(-1, blocks.shape[1])
    return blocks + torch.diag_embed(wide).to(blocks.dtype)
