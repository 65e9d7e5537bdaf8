"""Exit codes: a wrong request (2), a failed run (1), an interruption (130, 143), a condition that holds (3)."""

import difflib
from collections.abc import Iterable

INTERRUPTED, TERMINATED = 130, 143  # exit codes after Ctrl-C and SIGTERM
CONDITION_HOLDS = 3  # exit code of `compare` where a condition of --fail-if holds


class FtcliError(Exception):
    """A message for a person: the problem, with the value seen and what is allowed, and what to type instead."""

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix
        if fix:
            self.add_note(f"try: {fix}")  # in a traceback


class RequestError(FtcliError):
    """The request cannot be carried out as typed: a bad file, class, column or option. Exit 2, nothing left behind."""

    exit_code = 2


class DataNotHere(RequestError):
    """The data of a preset are not where they should be."""


class RunError(FtcliError):
    """The request was right and the run failed: all candidates diverged, no memory, no disk. Exit 1."""


class ResourceLimit(RunError):
    """Not enough memory or disk. The saved state stays, and the command can be resumed."""


class SourceUnavailable(RunError):
    """Data behind a URL do not come any more. The saved state stays, and the command can be resumed."""


class Stopped(KeyboardInterrupt):
    """A signal has stopped the command; `exit_code` says which. No Exception: `except Exception` must not take it."""

    def __init__(self, problem: str, fix: str, exit_code: int) -> None:
        super().__init__(problem)
        self.problem, self.fix, self.exit_code = problem, fix, exit_code


OUT_OF_MEMORY = (  # in messages of allocators and of oneDNN
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
    beginning = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")
    return suggest(word, words) or (f"choose from {beginning}" if words else "there is nothing to choose from")
