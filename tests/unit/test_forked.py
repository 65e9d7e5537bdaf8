"""Forked processes: their results come in order, their errors arrive, and none of them outlives its work."""

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.context import ForkContext

import pytest

from ftcli.data.decoding.forked import Forks, fork_context
from ftcli.data.decoding.semaphore import WeightedSemaphore
from ftcli.errors import RequestError, ResourceLimit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture
def context() -> ForkContext:
    made = fork_context()
    assert made is not None
    return made


def test_results_are_in_order_and_made_in_several_processes(context: ForkContext) -> None:
    def work(i: int) -> tuple[int, int, bytes]:
        time.sleep(0.002 * (i % 3))
        return i, os.getpid(), bytes([i]) * 300_000  # more than a pipe holds

    with Forks(work, range(40), context, 3) as forks:
        made = list(forks.in_order(ahead=7))
    assert [i for i, *_ in made] == list(range(40)) and all(content == bytes([i]) * 300_000 for i, _, content in made)
    assert len({process for _, process, _ in made}) == 3 and os.getpid() not in {process for _, process, _ in made}
    assert multiprocessing.active_children() == []


def test_no_item_is_begun_far_ahead(context: ForkContext) -> None:
    begun = context.RawArray("b", 100)

    def work(i: int) -> int:
        begun[i] = 1
        return i

    with Forks(work, range(100), context, 2) as forks:
        for i in forks.in_order(ahead=5):
            time.sleep(0.002)
            assert sum(begun) <= i + 5
    assert sum(begun) == 100


def test_an_error_arrives_in_the_turn_of_its_item(context: ForkContext) -> None:
    def work(i: int) -> int:
        if i in (4, 5):
            time.sleep(0.05 * (i == 4))
            raise RequestError(f"item {i}", "leave it out")
        return i

    taken = []
    with pytest.raises(RequestError, match="item 4") as error, Forks(work, range(50), context, 2) as forks:
        taken += forks.in_order(ahead=10)
    assert error.value.fix == "leave it out" and multiprocessing.active_children() == []


@pytest.mark.parametrize(("error", "arrives"), [(MemoryError, MemoryError), (KeyError, RuntimeError)])
def test_errors_of_others_arrive_too(context: ForkContext, error: type[Exception], arrives: type[Exception]) -> None:
    def work(i: int) -> int:
        raise error("why")

    with pytest.raises(arrives, match="why") as raised, Forks(work, [0], context, 1) as forks:
        list(forks.in_order(ahead=1))
    assert "in another process" in raised.value.__notes__[0] and "raise error" in raised.value.__notes__[0]


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGKILL, "memory is not enough"), (signal.SIGALRM, "SIGALRM")])
def test_a_killed_process_ends_the_work_in_order(context: ForkContext, number: int, cause: str) -> None:
    def work(i: int) -> int:
        if i == 6:
            os.kill(os.getpid(), number)
        return i

    said = f"one of 2 processes that decode images was killed.*{cause}"
    with pytest.raises(ResourceLimit, match=said), Forks(work, range(50), context, 2) as forks:
        list(forks.in_order(ahead=4))
    assert multiprocessing.active_children() == []


def test_nothing_outlives_an_interrupted_caller(context: ForkContext) -> None:
    with pytest.raises(KeyboardInterrupt), Forks(time.sleep, [60] * 9, context, 2):
        raise KeyboardInterrupt
    assert multiprocessing.active_children() == []


def test_processes_share_the_units_of_a_semaphore(context: ForkContext) -> None:
    """With 3 units, and items that take 2, 1 and more than all of them, no two take more than there are together."""
    semaphore = WeightedSemaphore(3)
    taken, most, lock = context.RawValue("i", 0), context.RawValue("i", 0), context.Lock()

    def work(i: int) -> int:
        units = (2, 1, 9)[i % 3]
        with semaphore.acquired(units):
            with lock:
                taken.value += min(units, 3)
                most.value = max(most.value, taken.value)
            time.sleep(0.002)
            with lock:
                taken.value -= min(units, 3)
        return i

    with semaphore.shared(context), Forks(work, range(60), context, 4) as forks:
        assert list(forks.in_order(ahead=9)) == list(range(60))
    assert most.value == 3 and taken.value == 0
    with semaphore.acquired(3):  # none is lost
        pass
