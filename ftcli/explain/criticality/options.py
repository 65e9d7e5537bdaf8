"""Options of `ftcli criticality`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ftcli.config.declare import MEASURE, Numbers, figure, numbers, option
from ftcli.config.measuring import Measuring
from ftcli.config.shared import Resumable, check_finite
from ftcli.errors import RequestError

ALPHAS = Numbers(i / 10 for i in range(11))
SIGMAS = Numbers(10 ** (-3 + i / 3) for i in range(10))  # Neyshabur et al. 2020 leave the grid open


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Criticality(Measuring, Resumable):
    """Options of `ftcli criticality`."""

    alphas: Annotated[
        Numbers,
        option(
            "Grid of α: the weights of a block are (1 - α) times A's plus α times B's.",
            panel=MEASURE,
            metavar="A,B,…",
            parser=numbers(float, 0.0),
            default="0, 0.1, … 1",
        ),
    ] = ALPHAS
    sigmas: Annotated[
        Numbers,
        option(
            "Grid of σ: standard deviation of the noise.",
            panel=MEASURE,
            metavar="A,B,…",
            parser=numbers(float, 1e-12),
            default="ten values from 0.001 to 1, log-spaced",
        ),
    ] = SIGMAS
    draws: Annotated[int, option("Noise samples per cell of the grid.", panel=MEASURE, min=1, metavar="DRAWS")] = 5
    epsilon: Annotated[
        float,
        option("Allowed increase of the error over B's, as a fraction.", panel=MEASURE, min=0.0, metavar="FRACTION"),
    ] = 0.05
    images: Annotated[
        int, option("Number of training images on which the error is measured.", panel=MEASURE, min=1, metavar="IMAGES")
    ] = 500
    plot: Annotated[Path | None, figure("Heat maps of the error.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train:
            raise RequestError("criticality takes the error on the training set.", "add --train SPEC")
        if max(self.alphas) > 1:
            raise RequestError(f"--alphas {self.alphas}: beyond B, at 1, no block has been.", "give values from 0 to 1")
        check_finite(self)

    @property
    def exactly_two(self) -> bool:
        return True
