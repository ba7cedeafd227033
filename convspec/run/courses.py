"""Courses of steps, side by side: each asks for one thing, or several, after the other.

A course is a generator. It yields what it asks for, things that do not depend on one
another, and is sent the answers; what it does in between is done here, by one thread, so
that courses may share what they know. Answers are found by workers: threads of this
process, or others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
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
        steps: Yields what it asks for, a few things, and is sent as many answers.
        cores: That an answer takes.
        light: Whether answers take little but Python, in which one thread is at a time:
            such courses are taken one by one, beside others.
    """

    steps: Generator[Sequence[Ask], list[Answer], None]
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


@dataclass
class _Round(Generic[Ask, Answer]):
    """What a course has asked for, and what is known of it.

    Attributes:
        asked: In its order.
        answers: By place.
        waiting: Places of what nobody is at work on.
        alone: Whether the cores of the course are free.
    """

    asked: Sequence[Ask]
    answers: dict[int, Answer] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    alone: bool = True

    @property
    def whole(self) -> list[Answer] | None:
        """All answers; None while some are not there."""
        if len(self.answers) < len(self.asked):
            return None
        return [self.answers[place] for place in range(len(self.asked))]


@dataclass(frozen=True)
class _Flight:
    """Something that somebody is at work on.

    Attributes:
        course: Which one asked for it.
        place: Of it among what that asked for.
        lent: Cores beside those of the course; 0 if it has these.
    """

    course: int
    place: int
    lent: int


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
        self._flight: dict[Future[Answer], _Flight] = {}
        self._rounds: dict[int, _Round[Ask, Answer]] = {}  # of courses that have begun
        self._free, self._late = workers.cores, set[int]()  # of those begun, from the end

    def run(self) -> None:
        """All of them."""
        while self._ahead or self._flight:
            while self._ahead and self._begin():
                pass
            if not self._ahead:
                self._lend()
                self._workers.spare.give(self._free)
                self._free = 0
            if not self._flight:
                continue
            for future in self._workers.wait(set(self._flight)):
                self._landed(future)
        self._workers.spare.take(self._workers.cores)

    def _landed(self, future: Future[Answer]) -> None:
        """Take in an answer, and go on with the course if it was the last one."""
        flight = self._flight.pop(future)
        course, now = flight.course, self._rounds[flight.course]
        asked = now.asked[flight.place]
        try:
            found = future.result()
        except Exception as error:
            found = self._answers.lost(asked, error)
        self._answers.keep(asked, found)
        now.answers[flight.place] = found
        self._free += flight.lent
        now.alone = now.alone or not flight.lent
        if now.whole is not None:
            self._go_on(course, now.whole)
        elif now.alone and now.waiting:
            self._send(course, lent=0)

    def _begin(self) -> bool:
        """Begin one from either end, if there is room for it."""
        first, last = self._ahead[0], self._ahead[-1]
        late = sum(map(self._needs, self._late)) + self._needs(last)
        from_end = not self._light(last) and late <= self._workers.cores // 2
        for place in (last, first) if from_end else (first, last):
            if self._fits(place):
                self._ahead.remove(place)
                self._free -= self._needs(place)
                self._rounds[place] = _Round(())
                if from_end and place == last:
                    self._late.add(place)
                self._go_on(place, None)
                return True
        return False

    def _fits(self, place: int) -> bool:
        """Whether there is room for one."""
        if self._light(place) and any(map(self._light, self._rounds)):
            return False
        return self._needs(place) <= self._free

    def _light(self, place: int) -> bool:
        return self._workers.here and self._courses[place].light

    def _needs(self, place: int) -> int:
        return min(self._courses[place].cores, self._workers.cores)

    def _go_on(self, course: int, answers: list[Answer] | None) -> None:
        """Send answers, and take what is asked for next where all of it is known."""
        steps = self._courses[course].steps
        try:
            asked = next(steps) if answers is None else steps.send(answers)
            while (known := self._looked_up(course, asked).whole) is not None:
                asked = steps.send(known)
        except StopIteration:
            self._end(course)
            return
        self._send(course, lent=0)

    def _looked_up(self, course: int, asked: Sequence[Ask]) -> _Round[Ask, Answer]:
        """The next round of a course, with the answers that are there at once."""
        now = self._rounds[course] = _Round[Ask, Answer](asked)
        for place, each in enumerate(asked):
            known = self._answers.find(each)
            if known is None:
                now.waiting.append(place)
            else:
                now.answers[place] = known
        return now

    def _send(self, course: int, lent: int) -> None:
        """Let somebody work on what a course waits for, on its cores or on others."""
        now = self._rounds[course]
        place, cores = now.waiting.popleft(), lent or self._needs(course)
        now.alone = now.alone and bool(lent)
        self._free -= lent
        future = self._workers.submit(self._answers.compute, now.asked[place], cores)
        self._flight[future] = _Flight(course, place, lent)

    def _lend(self) -> None:
        """Let courses that wait for several things have the cores that are left."""
        for course, now in self._rounds.items():
            needs = self._needs(course)
            while now.waiting and not self._light(course):
                if self._free < needs:
                    self._free += self._workers.spare.take(needs - self._free)
                if self._free < needs:
                    break
                self._send(course, lent=needs)

    def _end(self, course: int) -> None:
        self._free += self._needs(course)
        self._late.discard(course)
        del self._rounds[course]
