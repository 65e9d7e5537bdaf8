"""Options of `ftcli distortion`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ftcli.config.declare import MEASURE, figure, flag, option
from ftcli.config.measuring import Measuring


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Distortion(Measuring):
    """Options of `ftcli distortion`."""

    k: Annotated[
        int,
        option("Directions of the subspaces whose angles are given.", panel=MEASURE, min=1, metavar="DIRECTIONS"),
    ] = 16
    unbiased: Annotated[
        bool,
        flag("CKA from batches of 256 by the unbiased estimator too.", "--unbiased", MEASURE),
    ] = False
    matrix: Annotated[bool, flag("CKA of every block with every block.", "--matrix", MEASURE)] = False
    plot: Annotated[Path | None, figure("Figure of the distances by block.")] = None
