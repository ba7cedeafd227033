"""Courses of steps, side by side: each asks for one thing after the other.

A course is a generator. It yields what it asks for and is sent the answer; what it does
in between is done here, by one thread, so that courses may share what they know. Answers
are found by workers: threads of this process, or others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from convspec.run.workers import Workers

__all__ = ["Answers", "Course", "take_courses"]

Ask = TypeVar("Ask")
Asking = TypeVar("Asking", contravariant=True)
Answer = TypeVar("Answer")


@dataclass
class Course(Generic[Ask, Answer]):
    """What asks.

    Attributes:
        steps: Yields what it asks for, and is sent the answers.
        cores: That an answer takes.
        light: Whether answers take little but Python, in which one thread is at a time:
            such courses are taken one by one, beside others.
    """

    steps: Generator[Ask, Answer, None]
    cores: int = 1
    light: bool = False


class Answers(Protocol[Asking, Answer]):
    """Answers: those that are there, and how others are found."""

    @property
    def compute(self) -> Callable[[Asking], Answer]:
        """Finds one; safe to run in several threads, or in another process."""
        ...

    def find(self, asked: Asking) -> Answer | None:
        """One that is there at once."""
        ...

    def lost(self, asked: Asking, error: Exception) -> Answer:
        """What to say where whoever was to find one is gone, and the answer with them."""
        ...

    def keep(self, asked: Asking, found: Answer) -> None:
        """Keep one that was found."""
        ...


def take_courses(
    courses: Sequence[Course[Ask, Answer]],
    answers: Answers[Ask, Answer],
    workers: Workers,
) -> None:
    """Take courses to their ends, as many at a time as there are cores.

    Half of the cores begin with the last, the others with the first: where courses are
    sorted by what they take, no long one is left for the end, and short ones do not wait.

    Args:
        courses: In their order.
        answers: To what they ask for.
        workers: Who finds answers.

    Raises:
        Exception: One that a course raises.
    """
    _Taking(courses, answers, workers).run()


class _Taking(Generic[Ask, Answer]):
    """Courses while they are taken."""

    def __init__(
        self,
        courses: Sequence[Course[Ask, Answer]],
        answers: Answers[Ask, Answer],
        workers: Workers,
    ) -> None:
        self._courses, self._answers, self._workers = courses, answers, workers
        self._ahead = deque(range(len(courses)))
        self._flight: dict[Future[Answer], tuple[int, Ask]] = {}
        self._free, self._begun = workers.cores, set[int]()
        self._late = set[int]()  # of those begun, from the end

    def run(self) -> None:
        """All of them."""
        while self._ahead or self._flight:
            while self._ahead and self._begin():
                pass
            if not self._ahead:
                self._workers.spare.give(self._free)
                self._free = 0
            if not self._flight:
                continue
            for future in self._workers.wait(set(self._flight)):
                place, asked = self._flight.pop(future)
                try:
                    found = future.result()
                except Exception as error:
                    found = self._answers.lost(asked, error)
                self._answers.keep(asked, found)
                self._go_on(place, found)
        self._workers.spare.take(self._workers.cores)

    def _begin(self) -> bool:
        """Begin one from either end, if there is room for it."""
        first, last = self._ahead[0], self._ahead[-1]
        late = sum(map(self._needs, self._late)) + self._needs(last)
        from_end = not self._light(last) and late <= self._workers.cores // 2
        for place in (last, first) if from_end else (first, last):
            if self._fits(place):
                self._ahead.remove(place)
                self._free -= self._needs(place)
                self._begun.add(place)
                if from_end and place == last:
                    self._late.add(place)
                self._go_on(place, None)
                return True
        return False

    def _fits(self, place: int) -> bool:
        """Whether there is room for one."""
        if self._light(place) and any(map(self._light, self._begun)):
            return False
        return self._needs(place) <= self._free

    def _light(self, place: int) -> bool:
        return self._workers.here and self._courses[place].light

    def _needs(self, place: int) -> int:
        return min(self._courses[place].cores, self._workers.cores)

    def _go_on(self, place: int, found: Answer | None) -> None:
        """Send an answer, and take what is asked for next where it is known."""
        steps = self._courses[place].steps
        try:
            asked = next(steps) if found is None else steps.send(found)
            while (known := self._answers.find(asked)) is not None:
                asked = steps.send(known)
        except StopIteration:
            self._end(place)
            return
        compute, cores = self._answers.compute, self._needs(place)
        future = self._workers.submit(compute, asked, cores)
        self._flight[future] = place, asked

    def _end(self, place: int) -> None:
        self._free += self._needs(place)
        self._late.discard(place)
        self._begun.discard(place)
