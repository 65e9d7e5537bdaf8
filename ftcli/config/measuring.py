"""The commands that measure models as they are, and those that hold one model against another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftcli.config.shared import SETTINGS, Judging, ModelArgument, Overwrite, Running
from ftcli.declare import OUTPUT, option
from ftcli.errors import RequestError


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Evaluate(Judging):
    """Options of `ftcli evaluate`."""

    checkpoint: ModelArgument

    def __post_init__(self) -> None:
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
        Path | None, option("File to write, .csv or .parquet.", panel=OUTPUT, default="CSV to stdout", metavar="FILE")
    ] = None
    overwrite: Overwrite = False
