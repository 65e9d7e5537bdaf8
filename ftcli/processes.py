"""What this process is: which of several, as torchrun, `accelerate launch` or mpirun tells each; and what was typed."""

import os
from contextvars import ContextVar

COUNT = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK")
LOCAL_RANK = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK")

command_line: ContextVar[tuple[str, ...]] = ContextVar(
    "typed", default=()
)  # words of the command line; none for a caller in Python


def process_count() -> int:
    """How many processes work together."""
    return said(COUNT, 1)


def process_index() -> int:
    """This one among all of them: 0 is the one that speaks and writes."""
    return said(RANK, 0) if process_count() > 1 else 0


def local_process_index() -> int:
    """This one among those on the same machine."""
    return said(LOCAL_RANK, 0)


def said(names: tuple[str, ...], otherwise: int) -> int:
    """The first of these environment variables that is set."""
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), otherwise)
