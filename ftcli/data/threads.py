"""Work on many items by threads, in the order of the items."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = min(16, os.cpu_count() or 1)
REMOTE_THREADS = 16  # that mostly wait for a server

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Generator[Result, None, None]:
    """`function` of every item, in order, by threads that are at most `ahead` items further than what was taken.

    Threads help because PIL, hashlib and torch release the interpreter's lock. After an error the rest is cancelled.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
