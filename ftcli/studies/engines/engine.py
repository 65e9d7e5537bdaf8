"""What runs the cells of a study. An engine starts commands and says which have ended; the order is the study's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ftcli.config.study import Study
from ftcli.studies.cells import Cell, Planned


class Engine(Protocol):
    """Runs cells, each a command line of ftcli in a process of its own.

    slots: cells that may run at the same time.
    outlives: whether the cells go on when the process of the study is killed; they are found again by `start`.
    """

    slots: int
    outlives: bool

    def start(self, cell: Cell, words: list[str], log: Path) -> None:
        """Begin a cell. words: its command line behind `ftcli`; log: the file for its stderr.

        Raises RunError where it cannot be begun.
        """

    def ended(self, seconds: float) -> list[tuple[Cell, int]]:
        """The cells that have ended since the last call, with their exit codes, negative of a signal; waits for the
        first one at most so many seconds.
        """

    def stop(self) -> None:
        """End the engine: ask the cells that still run to save their state and end (SIGTERM), and wait for them."""


def open_engine(config: Study, cells: Sequence[Planned]) -> Engine:
    """The engine that the options name, for these cells.

    Raises RequestError where its library is not installed, or its machines have no room for a cell.
    """
    threads = {one.cell.name: int(getattr(one.config, "threads", None) or 1) for one in cells}
    if config.engine == "ray":
        from ftcli.studies.engines.ray import RayEngine

        return RayEngine(threads, [str(getattr(one.config, "device", "auto")) for one in cells])
    if config.engine == "slurm":
        from ftcli.studies.engines.slurm import SlurmEngine

        return SlurmEngine(threads, config.slurm_options())
    from ftcli.studies.engines.local import LocalEngine

    return LocalEngine(config.jobs)
