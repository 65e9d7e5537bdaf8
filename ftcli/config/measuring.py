"""Options of the commands that measure models as they are, and of every command that compares models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftcli.config.declare import MEASURE, OUTPUT, flag, option, spec
from ftcli.config.details.options import Detailed
from ftcli.config.shared import (
    SETTINGS,
    CutBy,
    ModelArgument,
    Overwrite,
    Reporting,
    Running,
    SplitSeed,
)
from ftcli.errors import RequestError
from ftcli.limits import MAX_SEED


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
        list[str],
        typer.Argument(
            help=f"Images, folders, patterns such as '*.jpg', - for a list on stdin; or one set: {SETTINGS}.",
            metavar="IMAGES…", show_default=False,
        ),
    ]  # fmt: skip
    top: Annotated[int, option("Give the K most probable classes.", panel=OUTPUT, min=1, metavar="K")] = 1
    probabilities: Annotated[bool, flag("Give the probability of every class.", "--probabilities", OUTPUT)] = False
    out: Annotated[
        Path | None,
        option(
            "File to write, .csv, .jsonl or .parquet.",
            "--out",
            "-o",
            panel=OUTPUT,
            default="CSV to stdout",
            metavar="FILE",
        ),
    ] = None
    features: Annotated[
        Path | None,
        option(
            "Write the input of the head for every image, .npy or .parquet.",
            panel=OUTPUT,
            default="none",
            metavar="FILE",
        ),
    ] = None
    jsonl: Annotated[bool, flag("Print one JSON object per line to stdout.", "--jsonl", OUTPUT)] = False
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        if self.json and self.jsonl:
            raise RequestError("--json prints one list, --jsonl one object per line.", "type one of them")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class TrainingSets(Reporting):
    """What every command shares that measures on the sets of a training, cut from its training set as there."""

    train: Annotated[
        str | None, spec(f"ID training set; missing ID sets are cut from it as in training. {SETTINGS}.", "none")
    ] = None
    id_val: Annotated[str | None, spec("ID validation set.", "cut from --train (10 %), if given")] = None
    id_test: Annotated[str | None, spec("ID test set.", "cut from --train (10 %), if given")] = None
    split_seed: SplitSeed = 0
    cut_by: CutBy = None
    seed: Annotated[
        int,
        option(
            "Seed of random orders, noise and resampling.",
            panel=MEASURE,
            min=0,
            max=MAX_SEED,
            metavar="SEED",
        ),
    ] = 0


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Measuring(TrainingSets):
    """What every command that holds models against each other shares."""

    models: Annotated[
        list[str],
        typer.Argument(
            help="Models, each a folder that ftcli saved or any checkpoint.", metavar="A B…", show_default=False
        ),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        name, exactly = type(self).__name__.lower(), self.exactly_two
        if len(self.models) < self.fewest or (exactly and len(self.models) > 2):
            many = "two models" if exactly else "two models or more"
            raise RequestError(f"{name} takes {many}, and got {len(self.models)}.", f"ftcli {name} BEFORE AFTER …")
        if not (self.train or self.id_val or self.id_test or self.ood):
            raise RequestError("No set is given to measure on.", "add --train, --id-test SPEC or --ood NAME=SPEC")
        if self.cut_by and not self.train:
            raise RequestError(f"--cut-by {self.cut_by}: there is no training set to cut.", "add --train SPEC")

    @property
    def fewest(self) -> int:
        """How many models are needed at least."""
        return 2

    @property
    def exactly_two(self) -> bool:
        """Whether a third model means nothing."""
        return False

    def every_model(self) -> list[str]:
        """All that are to be loaded, the first two in front."""
        return self.models
