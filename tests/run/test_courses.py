"""Courses: every step of each, in its order, as many at a time as there are cores."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convspec.run.courses import Course, take_courses
from convspec.run.threads import Spare

Ask = tuple[str, int]
Asked = Generator[Sequence[Ask], list[int], None]
# steps, how many at a time, cores, and whether a course is light
PLANS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(1, 5), st.booleans()),
    max_size=12,
)


class Workers:
    """Workers that are done in an order of their own, and note who is at work."""

    def __init__(
        self, cores: int, seed: int = 0, here: bool = True, losing: int = -1
    ) -> None:
        self.here, self.losing, self.at_a_time = here, losing, cores
        self.cores, self.spare, self.most = cores, Spare(), 0
        self._at_work: list[tuple[Future[Any], Any, Any, int]] = []
        self._seed = seed

    def submit(self, function: Any, item: Any, cores: int = 1) -> Future[Any]:
        future: Future[Any] = Future()
        self._at_work.append((future, function, item, cores))
        self.most = max(self.most, sum(each[3] for each in self._at_work))
        return future

    def wait(self, flight: set[Future[Any]]) -> set[Future[Any]]:
        """One of those that are at work."""
        assert flight == {each[0] for each in self._at_work}
        self._seed = (self._seed * 48271 + 11) % 2147483647
        place = self._seed % len(self._at_work)
        future, function, item, _ = self._at_work.pop(place)
        if item[1] == self.losing:
            future.set_exception(OSError("gone"))
        else:
            future.set_result(function(item))
        return {future}


class Squares:
    """Answers: squares, of which some are known."""

    def __init__(self, known: int = -1) -> None:
        self.known, self.kept = known, list[tuple[Ask, int]]()

    @property
    def compute(self) -> Any:
        return lambda asked: asked[1] ** 2

    def find(self, asked: Ask) -> int | None:
        return asked[1] ** 2 if asked[1] == self.known else None

    def lost(self, asked: Ask, error: Exception) -> int:
        assert str(error) == "gone"
        return asked[1] ** 2

    def keep(self, asked: Ask, found: int) -> None:
        self.kept.append((asked, found))


def course(name: str, steps: int, said: list[Any], several: int = 1) -> Asked:
    """One that asks for so many squares at a time."""
    said.append((name, "begins"))
    for first in range(0, steps, several):
        numbers = range(first, min(first + several, steps))
        found = yield [(name, number) for number in numbers]
        said.extend((name, *each) for each in zip(numbers, found, strict=True))
    said.append((name, "ends"))


@given(PLANS, st.integers(1, 4), st.integers(0, 1000), st.integers(-1, 3), st.booleans())
def test_all_steps_of_all_courses(
    plans: list[tuple[int, int, int, bool]], cores: int, seed: int, known: int, here: bool
) -> None:
    workers = Workers(cores, seed, here, losing=seed % 9)
    answers, said = Squares(known), list[Any]()
    take_courses(
        [
            Course(course(str(place), steps, said, several), wide, light)
            for place, (steps, several, wide, light) in enumerate(plans)
        ],
        answers,
        workers,
    )
    for place, (steps, *_) in enumerate(plans):
        own = [each[1:] for each in said if each[0] == str(place)]
        middle = [(step, step**2) for step in range(steps)]
        assert own == [("begins",), *middle, ("ends",)]
    assert workers.most <= cores
    assert workers.spare.take(10) == 0
    asked = [(str(k), s) for k, (n, *_) in enumerate(plans) for s in range(n)]
    assert sorted(asked) == sorted(
        [each for each, _ in answers.kept] + [each for each in asked if each[1] == known]
    )


def order(courses: list[Course[Ask, int]], said: list[Any], cores: int) -> list[str]:
    take_courses(courses, Squares(), Workers(cores))
    return [name for name, what, *_ in said if what == "begins"]


def test_one_core_takes_them_in_order() -> None:
    said: list[Any] = []
    courses = [Course(course(name, 2, said)) for name in "abc"]
    assert order(courses, said, 1) == ["a", "b", "c"]


def test_half_of_the_cores_begin_at_the_end() -> None:
    said: list[Any] = []
    courses = [Course(course(name, 1, said)) for name in "abcdef"]
    assert order(courses, said, 4)[:4] == ["f", "e", "a", "b"]


def test_a_wide_one_waits_for_its_cores() -> None:
    said: list[Any] = []
    courses = [Course(course(name, 1, said), cores) for name, cores in
               (("a", 1), ("b", 1), ("wide", 2))]  # fmt: skip
    assert order(courses, said, 2) == ["a", "b", "wide"]


def test_light_ones_are_one_at_a_time_and_beside_others() -> None:
    said: list[Any] = []
    courses = [Course(course(name, 1, said), light=name in "abc") for name in "abcdef"]
    begun = order(courses, said, 2)
    assert begun[:2] == ["f", "a"]
    light = [each for each in said if each[0] in "abc"]
    ends = [name for name, *what in light if what == ["ends"]]
    begins = [name for name, *what in light if what == ["begins"]]
    assert begins == ends == ["a", "b", "c"]
    assert [what[1] for what in light if len(what) == 2] == ["begins", "ends"] * 3


def test_several_at_a_time_have_the_cores_that_no_course_needs() -> None:
    said: list[Any] = []
    workers = Workers(4)
    courses = [Course(course("a", 2, said)), Course(course("b", 6, said, several=6))]
    take_courses(courses, Squares(), workers)
    assert workers.most == 4
    assert workers.spare.take(10) == 0


def test_of_a_light_course_one_thing_is_found_at_a_time() -> None:
    said: list[Any] = []
    workers = Workers(4)
    take_courses([Course(course("a", 6, said, 6), light=True)], Squares(), workers)
    assert workers.most == 1


def test_all_that_is_asked_for_is_sent_elsewhere_at_once() -> None:
    said: list[Any] = []
    workers = Workers(100, here=False)
    courses = [Course(course(name, 5, said, 5), light=True) for name in "ab"]
    take_courses(courses, Squares(), workers)
    assert workers.most == 10


def test_what_a_course_raises_is_raised() -> None:
    def fails() -> Asked:
        yield [("a", 1)]
        raise ValueError("in the course")

    with pytest.raises(ValueError, match="in the course"):
        take_courses([Course(fails())], Squares(), Workers(2))
