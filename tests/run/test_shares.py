"""Shares: what each task may spend, whoever is done first."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convspec.run.shares import Shares

costs = st.lists(st.floats(0.0, 1e12), min_size=1, max_size=20).map(sorted)


@given(costs, st.floats(0.0, 1e13))
def test_what_is_expected_is_within_all(expected: list[float], flops: float) -> None:
    shares = Shares(expected, flops, 100)
    found = [shares.of(place).flops for place in range(len(expected))]
    each = flops / len(expected)
    assert all(share >= each * (1 - 1e-12) for share in found)
    spent = sum(map(min, found, expected))
    assert spent <= flops * (1 + 1e-12)
    assert found[-1] == pytest.approx(
        flops - sum(map(min, found[:-1], expected)), rel=1e-9, abs=1e-9 * flops
    )


def test_the_order_in_which_they_begin_changes_nothing() -> None:
    places = [2, 0, 1]
    shares = Shares([1.0, 2.0, 30.0], 12.0, 100)
    found = {place: shares.of(place).flops for place in places}
    assert found == {0: 4.0, 1: 5.5, 2: 9.0}


def test_without_a_limit_there_is_none() -> None:
    shares = Shares([0.0, 0.0], math.inf, 100)
    assert [shares.of(place).flops for place in (0, 1)] == [math.inf] * 2
    assert Shares([0.0], math.inf, 100).of(0).seconds == math.inf


def test_seconds_are_for_those_ahead() -> None:
    shares = Shares([0.0] * 4, 1.0, 100, seconds=100.0, workers=2)
    found = [shares.of(place).seconds for place in range(4)]
    assert found == pytest.approx([50.0, 66.7, 100.0, 100.0], abs=1.0)
    assert Shares([0.0], 1.0, 100, seconds=0.0).of(0).seconds == 0.0
    assert Shares([0.0], 1.0, 100, seconds=-1.0).of(0).seconds == 0.0


def test_a_task_that_takes_most_has_most_of_the_seconds() -> None:
    times = [1.0, 1.0, 2.0, 16.0]
    shares = Shares([0.0] * 4, 1.0, 100, seconds=100.0, workers=1, times=times)
    found = {place: shares.of(place).seconds for place in (3, 0, 1, 2)}
    # of 16/20, then of 3 ahead, which are not less than even parts
    assert found == pytest.approx({3: 80.0, 0: 33.3, 1: 50.0, 2: 100.0}, abs=1.0)


@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=12),
    st.integers(1, 4),
    st.randoms(),
)
def test_no_task_has_less_than_an_even_part(
    times: list[float], workers: int, random: Random
) -> None:
    order = list(range(len(times)))
    random.shuffle(order)
    shares = Shares([0.0] * len(times), 1.0, 9, seconds=1e9, workers=workers, times=times)
    for done, place in enumerate(order):
        even = min(1.0, workers / (len(times) - done))
        assert 0.999 * even * 1e9 <= shares.of(place).seconds <= 1e9


def test_shares_have_the_rate_of_the_whole() -> None:
    assert Shares([0.0], 1.0, 100, seconds=5.0, rate=7.0).of(0).rate == 7.0
