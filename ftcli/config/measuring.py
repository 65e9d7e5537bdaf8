"""The commands that measure models as they are, and those that hold one model against another."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ftcli.config.declare import MEASURE, MODEL, OUTPUT, Numbers, flag, numbers, option, spec
from ftcli.config.shared import (
    SETTINGS,
    Detailed,
    ModelArgument,
    Overwrite,
    Reporting,
    Resumable,
    Running,
    SplitSeed,
    check_finite,
)
from ftcli.errors import RequestError
from ftcli.limits import MAX_SEED

ALPHAS = Numbers(i / 10 for i in range(11))
SIGMAS = Numbers(10 ** (-3 + i / 3) for i in range(10))  # Neyshabur et al. 2020 leave the grid open


def figure(what: str) -> Any:
    """The option `--plot`."""
    return option(f"{what} Needs matplotlib.", panel=OUTPUT, default="none", metavar="FILE.svg|png")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Evaluate(Detailed):
    """Options of `ftcli evaluate`."""

    checkpoint: ModelArgument

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.id_val or self.id_test or self.ood):
            raise RequestError("No set is given to evaluate on.", "add --id-test SPEC or --ood NAME=SPEC")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Predict(Running):
    """Options of `ftcli predict`."""

    checkpoint: ModelArgument
    images: Annotated[
        str, typer.Argument(help=f"Images; labels are not needed. {SETTINGS}.", metavar="SPEC", show_default=False)
    ]
    out: Annotated[
        Path | None,
        option(
            "File to write, .csv or .parquet.", "--out", "-o", panel=OUTPUT, default="CSV to stdout", metavar="FILE"
        ),
    ] = None
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Measuring(Reporting):
    """What every command that holds models against each other shares."""

    models: Annotated[
        list[str],
        typer.Argument(
            help="Models, each a folder that ftcli saved or any checkpoint.", metavar="A B…", show_default=False
        ),
    ]
    train: Annotated[
        str | None, spec(f"ID training set; what is missing is cut from it as in training. {SETTINGS}.", "none")
    ] = None
    id_val: Annotated[str | None, spec("ID validation set.", "cut from train, 10 %, where train is given")] = None
    id_test: Annotated[str | None, spec("ID test set.", "cut from train, 10 %, where train is given")] = None
    split_seed: SplitSeed = 0
    seed: Annotated[
        int,
        option(
            "Seed of whatever is drawn: an order, noise, a resample.",
            panel=MEASURE,
            min=0,
            max=MAX_SEED,
            metavar="SEED",
        ),
    ] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        name, exactly = type(self).__name__.lower(), self.exactly_two
        if len(self.models) < 2 or (exactly and len(self.models) > 2):
            many = "two models" if exactly else "two models or more"
            raise RequestError(f"{name} takes {many}, and got {len(self.models)}.", f"ftcli {name} BEFORE AFTER …")
        if not (self.train or self.id_val or self.id_test or self.ood):
            raise RequestError("No set is given to measure on.", "add --train, --id-test SPEC or --ood NAME=SPEC")

    @property
    def exactly_two(self) -> bool:
        """Whether a third model means nothing."""
        return False

    def every_model(self) -> list[str]:
        """All that are to be loaded, the first two in front."""
        return self.models


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


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Agreement(Measuring):
    """Options of `ftcli agreement`."""

    sheet: Annotated[
        Path | None,
        option("Contact sheet of mistakes of A and B.", panel=OUTPUT, default="none", metavar="SHEET.png"),
    ] = None
    mistakes: Annotated[
        Literal["uncommon", "common", "g1", "g2"],
        option("Of the sheet: one of A and B is wrong; both; only A (g1); only B (g2).", panel=OUTPUT),
    ] = "uncommon"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mistakes != "uncommon" and not self.sheet:
            raise RequestError(f"--mistakes {self.mistakes} is for a contact sheet.", "add --sheet SHEET.png")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Interpolate(Measuring):
    """Options of `ftcli interpolate`."""

    id_val: Annotated[
        str | None,
        spec("ID validation set: soups and --save-best choose by it.", "cut from train, 10 %, where train is given"),
    ] = None

    points: Annotated[int, option("Points on the line, ends included.", panel=MEASURE, min=2, metavar="POINTS")] = 11
    from_: Annotated[float, option("λ of the first point; A is 0.", "--from", panel=MEASURE, metavar="LAMBDA")] = 0.0
    to: Annotated[float, option("λ of the last point; B is 1.", "--to", panel=MEASURE, metavar="LAMBDA")] = 1.0
    head: Annotated[
        Literal["auto", "a", "b", "probe"],
        option(
            "Head on the line: interpolated (auto, where both have the same classes, else b); A's; B's; probed anew.",
            panel=MEASURE,
        ),
    ] = "auto"
    bn: Annotated[
        Literal["auto", "raw", "reestimated", "both"],
        option(
            "BatchNorm's statistics: interpolated; estimated anew on train; auto: both, where there is a train set.",
            panel=MEASURE,
        ),
    ] = "auto"
    soup: Annotated[
        list[str] | None,
        option(
            "Another member of the soups, which average A, B and these; repeat for more.",
            panel=MODEL,
            default="no soups",
            metavar="WHERE",
        ),
    ] = None
    save_best: Annotated[bool, flag("Save the best by ID-val of all points and soups.", "--save-best", OUTPUT)] = False
    plot: Annotated[Path | None, figure("Figure of the curves.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isfinite(self.from_) and isfinite(self.to) and self.from_ < self.to):
            raise RequestError(f"--from {self.from_:g} --to {self.to:g} is no range.", "--from 0 --to 1")
        if self.bn in ("reestimated", "both") and not self.train:
            raise RequestError(f"--bn {self.bn} needs images to estimate on.", "add --train SPEC, or --bn raw")
        if self.head == "probe" and not self.train:
            raise RequestError("--head probe needs images to fit it on.", "add --train SPEC")
        if self.save_best and not (self.id_val or self.train):
            raise RequestError("--save-best needs an ID-val set to choose by.", "add --id-val SPEC, or --train SPEC")

    @property
    def exactly_two(self) -> bool:
        return True

    def every_model(self) -> list[str]:
        return [*self.models, *(self.soup or [])]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Criticality(Measuring, Resumable):
    """Options of `ftcli criticality`."""

    alphas: Annotated[
        Numbers,
        option(
            "α of the grid: a block stands at (1 - α) of its start and α of its end.",
            panel=MEASURE,
            metavar="A,B,…",
            parser=numbers(float, 0.0),
            default="0, 0.1, … 1",
        ),
    ] = ALPHAS
    sigmas: Annotated[
        Numbers,
        option(
            "σ of the grid: standard deviation of the noise.",
            panel=MEASURE,
            metavar="A,B,…",
            parser=numbers(float, 1e-12),
            default="ten from 0.001 to 1, equal in ratio",
        ),
    ] = SIGMAS
    draws: Annotated[int, option("Draws of the noise at each cell.", panel=MEASURE, min=1, metavar="DRAWS")] = 5
    epsilon: Annotated[
        float,
        option("Error that a cell may have above B's own, a fraction.", panel=MEASURE, min=0.0, metavar="FRACTION"),
    ] = 0.05
    images: Annotated[
        int, option("Training images on which the error is taken.", panel=MEASURE, min=1, metavar="IMAGES")
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
