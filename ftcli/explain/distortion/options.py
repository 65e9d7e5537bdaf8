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
        option("Dimension of the subspaces that are compared.", panel=MEASURE, min=1, metavar="DIRECTIONS"),
    ] = 16
    unbiased: Annotated[
        bool,
        flag("Also compute unbiased CKA, over batches of 256.", "--unbiased", MEASURE),
    ] = False
    matrix: Annotated[
        bool, flag("Also compute CKA of every block of A with every block of B.", "--matrix", MEASURE)
    ] = False
    plot: Annotated[Path | None, figure("Plot of the distances by block.")] = None
