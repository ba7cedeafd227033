"""Steps that other threads, processes and machines take: the same report, to the bit."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
import torch
from dask.distributed import Client, LocalCluster

import convspec as cs
from convspec.report.failure import Failure
from convspec.report.job import Job, taken
from convspec.run import apart
from convspec.run.budget import Budget
from convspec.run.threads import openblas
from tests.cache.nets import LIMITS, SHAPE, TIGHT, chain, mixed
from tests.cache.same import assert_same_reports
from tests.loaded import loaded_by_analysis


@pytest.fixture(scope="module")
def whole() -> cs.ModelReport:
    return cs.analyze(mixed(), SHAPE, **LIMITS)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield pool


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    settings = {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**settings) as cluster, Client(cluster) as found:
        yield found


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


Given = dict[str, Any]


@pytest.fixture
def given(request: pytest.FixtureRequest) -> Iterator[Given]:
    """What to give to analyze, with joblib told what it is to be told."""
    kind = request.param
    with ExitStack() as stack:
        if kind.startswith("joblib"):
            if kind == "joblib dask":
                request.getfixturevalue("client")
            jobs = {} if kind == "joblib dask" else {"n_jobs": 2}
            stack.enter_context(joblib.parallel_config(kind.split()[1], **jobs))
            yield {}
        elif kind == "threads":
            yield {"executor": stack.enter_context(threads())}
        elif kind == "processes":
            yield {"executor": request.getfixturevalue("processes")}
        else:
            yield {"executor": request.getfixturevalue("client").get_executor()}


KINDS = ["threads", "processes", "dask", "joblib threading", "joblib loky", "joblib dask"]


@pytest.mark.parametrize("given", KINDS, indirect=True)
def test_the_same_report_to_the_last_bit(
    given: Given, whole: cs.ModelReport, tmp_path: Path
) -> None:
    before = torch.get_num_threads(), openblas().info()
    steps: list[tuple[int, int]] = []

    def progress(done: int, total: int, _: str) -> None:
        steps.append((done, total))

    first = cs.analyze(
        mixed(), SHAPE, cache=tmp_path, progress=progress, **given, **LIMITS
    )
    assert_same_reports(first, whole)
    assert [done for done, _ in steps] == list(range(steps[-1][1] + 1))
    assert (torch.get_num_threads(), openblas().info()) == before
    # what they computed is stored, and found without them
    again = cs.analyze(mixed(), SHAPE, cache=tmp_path, **LIMITS)
    assert_same_reports(again, whole)
    assert [row.seconds for row in again if row.spectrum] == pytest.approx(
        [row.seconds for row in first if row.spectrum], abs=0.1
    )


@pytest.mark.parametrize("given", ["processes"], indirect=True)
def test_the_same_shares_of_an_envelope(given: Given) -> None:
    """Tori that together take long are tasks of their own, one layer for all workers."""
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3, padding=1))
    limits: Given = {"max_flops": 1e11, "norm_flops": 1e8, "worst_case_flops": 1e8}
    limits |= {"envelope_flops": 5e10, "phases": 8}
    with threads() as pool:  # a thread for each step; here one layer has all cores
        here = cs.analyze(model, (64, 24, 24), executor=pool, **limits)
    assert_same_reports(cs.analyze(model, (64, 24, 24), **given, **limits), here)


@pytest.mark.parametrize("given", ["processes", "dask"], indirect=True)
def test_the_same_limits(given: Given) -> None:
    plain = cs.analyze(mixed(), SHAPE, **TIGHT)
    assert_same_reports(cs.analyze(mixed(), SHAPE, **given, **TIGHT), plain)


@pytest.mark.parametrize("given", ["processes", "joblib loky"], indirect=True)
def test_kernels_without_a_size(given: Given, tmp_path: Path) -> None:
    torch.save(chain(4).state_dict(), tmp_path / "weights.pth")
    opened = cs.open_model(tmp_path / "weights.pth")
    assert_same_reports(cs.analyze(opened, **given), cs.analyze(opened))


def test_a_sweep_takes_them_too(tmp_path: Path, processes: ProcessPoolExecutor) -> None:
    for step in range(2):
        torch.save(chain(3).state_dict(), tmp_path / f"{step}.pth")
    given = str(tmp_path / "*.pth"), lambda: chain(3), SHAPE
    found = cs.sweep(*given, executor=processes, **LIMITS)
    plain = cs.sweep(*given, **LIMITS)
    for one, other in zip(found.rows, plain.rows, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


# -- what goes wrong ------------------------------------------------------------------


def test_a_worker_of_dask_that_is_killed(client: Client, whole: cs.ModelReport) -> None:
    """Its steps are taken by another; the nanny begins a new one."""
    killed: list[int] = []

    def progress(done: int, *_: object) -> None:
        if done in (1, 5) and len(killed) < done:
            pids = client.run(os.getpid)
            busy = [name for name, tasks in client.processing().items() if tasks]
            pid = pids[busy[0] if busy else next(iter(pids))]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    report = cs.analyze(
        mixed(), SHAPE, executor=client.get_executor(), progress=progress, **LIMITS
    )
    assert len(killed) == 2
    assert_same_reports(report, whole)
    assert all(row.error is None for row in report if row.operator)


def test_a_pool_that_breaks_ends_rows_and_not_the_report(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")

    with ProcessPoolExecutor(1, mp_context=context) as pool:

        def progress(done: int, *_: object) -> None:
            if done == 2:
                pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL)

        given = {"cache": tmp_path, **LIMITS}
        report = cs.analyze(mixed(), SHAPE, executor=pool, progress=progress, **given)
    lost = [row for row in report if isinstance(row.error, cs.LostWorker)]
    assert lost
    for row in lost:
        (words,) = {said for said in row.left_out if "norm failed" in said} or {""}
        assert "its worker is lost, BrokenProcessPool" in " ".join(row.left_out)
        assert "please report" not in words
        assert row.norm.upper > 0
    kept = [row for row in report if row.operator is not None and row.error is None]
    assert kept or len(lost) == 7
    assert_same_reports(cs.analyze(mixed(), SHAPE, **given),
                        cs.analyze(mixed(), SHAPE, **LIMITS))  # fmt: skip


def test_a_process_of_joblib_that_is_killed(whole: cs.ModelReport) -> None:
    killed: list[psutil.Process] = []

    def progress(done: int, *_: object) -> None:
        if done == 2:
            children = psutil.Process().children(recursive=True)
            killed.append(next(x for x in children if "loky" in " ".join(x.cmdline())))
            killed[0].kill()

    with joblib.parallel_config("loky", n_jobs=2):
        report = cs.analyze(mixed(), SHAPE, progress=progress, **LIMITS)
        lost = [row.name for row in report if isinstance(row.error, cs.LostWorker)]
        for row in report:
            assert row.operator is None or row.norm.upper > 0
            if row.operator is not None and row.name not in lost:
                assert row.error is None
                assert row.norm == whole[row.name].norm
        assert_same_reports(cs.analyze(mixed(), SHAPE, **LIMITS), whole)


@pytest.mark.parametrize("given", ["processes", "dask", "joblib loky"], indirect=True)
def test_seconds_are_shared_among_as_many_as_there_are(given: Given) -> None:
    with apart.workers_of(given.get("executor")) as workers:
        assert workers.at_a_time == (3 if "Client" in str(given) else 2)
    begin = time.perf_counter()
    report = cs.analyze(chain(12), SHAPE, seconds=0.5, **given, **LIMITS)
    assert time.perf_counter() - begin < 30
    for row in report:
        assert row.norm.upper > 0


def test_an_executor_that_is_closed() -> None:
    with ThreadPoolExecutor(1) as pool:
        pass
    report = cs.analyze(mixed(), SHAPE, executor=pool, **LIMITS)
    rows = [row for row in report if row.operator is not None]
    assert all(isinstance(row.error, cs.LostWorker) for row in rows)
    assert all("cannot schedule new futures" in str(row.error) for row in rows)
    assert all(row.norm.upper > 0 for row in rows)


@pytest.mark.parametrize("given", ["threads", "dask", "joblib loky"], indirect=True)
def test_an_interrupt(given: Given, whole: cs.ModelReport) -> None:
    def progress(done: int, *_: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(cs.Interrupted) as caught:
        cs.analyze(mixed(), SHAPE, progress=progress, **given, **LIMITS)
    rows = [row for row in caught.value.report if row.norm is not None]
    assert len(rows) == 3
    assert_same_reports(cs.analyze(mixed(), SHAPE, **given, **LIMITS), whole)


@pytest.mark.parametrize("wrong", ["dask", 2, ThreadPoolExecutor])
def test_what_is_no_executor(wrong: Any) -> None:
    with pytest.raises(TypeError, match="executor must"):
        cs.analyze(mixed(), SHAPE, executor=wrong)


class Unpicklable(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


ERRORS: list[Exception] = [
    ValueError("a"),
    cs.NotConverged("b", best=3),
    cs.NotApplicable("c", "bound"),
    cs.TooLargeError("d"),
    Unpicklable(1, 2),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_failures_are_pickled(error: Exception) -> None:
    failure = Failure.of("step", error)
    found = pickle.loads(pickle.dumps(failure))
    assert str(error) in found.words
    assert type(error).__name__ in found.words
    if not isinstance(error, Unpicklable):
        assert type(found.error) is type(error)
        assert vars(found.error) == vars(error)


def failing(op: cs.ConvOperator, share: Budget) -> None:
    raise Unpicklable(3, 4)


def test_what_a_step_raises_elsewhere(processes: ProcessPoolExecutor) -> None:
    job = Job("step", cs.ConvOperator(torch.ones(1, 1, 3), 5), (), Budget(1, 1), failing)
    done = processes.submit(taken, job).result()
    assert done.failure.words == (
        "step failed: RuntimeError: Unpicklable: 3 and 4; please report it"
    )


def seen(_: object) -> tuple[int, set[int]]:
    return torch.get_num_threads(), {each["num_threads"] for each in openblas().info()}


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_steps_have_one_thread(kind: str, request: pytest.FixtureRequest) -> None:
    here = AbstractContextManager[Executor]
    make: Callable[[], here] = threads
    with ExitStack() as stack:
        pool = (
            stack.enter_context(make())
            if kind == "threads"
            else request.getfixturevalue("processes")
        )
        before = pool.submit(seen, None).result()
        with apart.workers_of(pool) as workers:
            assert workers.submit(seen, None).result()[0] == 1
            assert workers.submit(seen, None).result()[1] <= {1}
        assert pool.submit(seen, None).result() == before


def used() -> str:
    with apart.workers_of(None) as workers:
        return type(workers).__name__


@pytest.mark.usefixtures("client")
def test_joblib_is_used_where_it_is_told() -> None:
    """Not because it is there, as with scikit-learn, nor because a cluster is."""
    assert used() == "Crew"
    with joblib.parallel_config("loky", n_jobs=2):
        assert used() == "_JoblibWorkers"
        with joblib.parallel_config("loky", n_jobs=1):
            assert used() == "Crew"
    with joblib.parallel_config("dask"):
        assert used() == "_JoblibWorkers"
    with joblib.parallel_config("loky"):
        assert used() == "Crew"


def test_joblib_is_not_loaded_for_it() -> None:
    assert not {"joblib", "dask", "distributed"} & loaded_by_analysis()


def disturb() -> None:
    """What people set for a thread, which no number may depend on."""
    np.seterr(all="raise")
    torch.set_autocast_enabled("cpu", True)


def test_what_is_set_in_threads_of_others_has_no_say(whole: cs.ModelReport) -> None:
    with ThreadPoolExecutor(2, initializer=disturb) as pool:
        report = cs.analyze(mixed(), SHAPE, executor=pool, **LIMITS)
        assert pool.submit(torch.is_autocast_enabled, "cpu").result()
    assert_same_reports(report, whole)
