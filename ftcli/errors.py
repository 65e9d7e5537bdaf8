"""The ways a command can end badly: the request was wrong (exit 2), the run failed (exit 1), or somebody stopped it."""

import difflib
from collections.abc import Iterable

INTERRUPTED, TERMINATED = 130, 143  # exit codes of whoever is stopped by Ctrl-C, and by SIGTERM


class FtcliError(Exception):
    """A message for a person: the problem, with the value seen and what is allowed, and what to type instead."""

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix
        if fix:
            self.add_note(f"try: {fix}")  # for whoever sees a traceback


class RequestError(FtcliError):
    """The request cannot be carried out as typed: a bad file, class, column or option. Exit 2, nothing left behind."""

    exit_code = 2


class RunError(FtcliError):
    """The request was right and the run failed: all candidates diverged, no memory, no disk. Exit 1."""


class ResourceLimit(RunError):
    """Memory or disk was not enough: what is saved stays, and the command can go on from there."""


class Stopped(KeyboardInterrupt):
    """Somebody has stopped the command; the exit code says by which signal. No error: nothing that meets errors may
    take it for one of its own.
    """

    def __init__(self, problem: str, fix: str, exit_code: int) -> None:
        super().__init__(problem)
        self.problem, self.fix, self.exit_code = problem, fix, exit_code


OUT_OF_MEMORY = (  # as allocators say it, and oneDNN, which finds no memory for what it has planned
    "out of memory", "can't allocate memory", "could not create a primitive", "could not create a memory object",
    "CUBLAS_STATUS_ALLOC_FAILED",
)  # fmt: skip


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a library means that memory was not enough."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in map(str.lower, OUT_OF_MEMORY)
    )


def suggest(word: str, allowed: Iterable[str]) -> str:
    """`did you mean "x"?` for the nearest allowed word, or an empty string where nothing is near."""
    near = difflib.get_close_matches(word, [str(a) for a in allowed], n=1, cutoff=0.65)
    return f'did you mean "{near[0]}"?' if near else ""


def choose(word: str, allowed: Iterable[str]) -> str:
    """What to type instead of `word`: the nearest allowed one, or else a list of them."""
    words = [str(a) for a in allowed]
    some = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")
    return suggest(word, words) or (f"choose from {some}" if words else "there is nothing to choose from")
