"""What runs the cells of a study. An engine starts commands and says which have ended; the order is the study's."""

from pathlib import Path
from typing import Protocol

from ftcli.config.study import Study
from ftcli.studies.cells import Cell


class Engine(Protocol):
    """Runs cells, each a command line of ftcli in a process of its own.

    slots: cells that may run at the same time.
    """

    slots: int

    def start(self, cell: Cell, words: list[str], log: Path) -> None:
        """Begin a cell. words: its command line behind `ftcli`; log: the file for its stderr."""

    def ended(self, seconds: float) -> list[tuple[Cell, int]]:
        """The cells that have ended since the last call, with their exit codes, negative of a signal; waits for the
        first one at most so many seconds.
        """

    def stop(self) -> None:
        """Ask all cells to save their state and end (SIGTERM), and wait for them."""


def open_engine(config: Study) -> Engine:
    """The engine that the options name. Raises RequestError where its library is not installed."""
    if config.engine == "ray":
        from ftcli.studies.engines.ray import RayEngine

        return RayEngine(config)
    if config.engine == "slurm":
        from ftcli.studies.engines.slurm import SlurmEngine

        return SlurmEngine(config)
    from ftcli.studies.engines.local import LocalEngine

    return LocalEngine(config.jobs)
