"""Options of `ftcli rank`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftcli.config.declare import figure
from ftcli.config.measuring import Measuring
from ftcli.errors import RequestError


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Rank(Measuring):
    """Options of `ftcli rank`."""

    models: Annotated[
        list[str],
        typer.Argument(
            help="Checkpoints, each a folder that ftcli saved or any other; a head is not needed.",
            metavar="CKPT…", show_default=False,
        ),
    ]  # fmt: skip
    plot: Annotated[Path | None, figure("Plot of the accuracies by checkpoint.")] = None

    def __post_init__(self) -> None:
        if not self.train:
            raise RequestError(
                "rank needs the training set that a checkpoint is to be fine-tuned on.", "add --train SPEC"
            )
        super().__post_init__()

    @property
    def fewest(self) -> int:
        """One checkpoint has scores too."""
        return 1
