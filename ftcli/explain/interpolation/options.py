"""Options of `ftcli interpolate`."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ftcli.config.averages.lines import lines_option
from ftcli.config.declare import MEASURE, MODEL, OUTPUT, Numbers, figure, flag, option, spec
from ftcli.config.measuring import Measuring
from ftcli.config.tuning import HeadWeights
from ftcli.errors import RequestError


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Interpolate(Measuring):
    """Options of `ftcli interpolate`."""

    picks_on_id_val: ClassVar[bool] = True

    id_val: Annotated[
        str | None,
        spec("ID validation set, on which soups and --save-best select.", "cut from --train (10 %), if given"),
    ] = None

    points: Annotated[int, option("Points on the line, ends included.", panel=MEASURE, min=2, metavar="POINTS")] = 11
    from_: Annotated[float, option("λ of the first point; A is 0.", "--from", panel=MEASURE, metavar="LAMBDA")] = 0.0
    to: Annotated[float, option("λ of the last point; B is 1.", "--to", panel=MEASURE, metavar="LAMBDA")] = 1.0
    head: Annotated[
        Literal["auto", "a", "b", "probe"],
        option(
            "Head: A's; B's; a new probe for each point; auto: interpolated if classes are equal, else B's.",
            panel=MEASURE,
        ),
    ] = "auto"
    head_weights: HeadWeights = None
    bn: Annotated[
        Literal["auto", "raw", "reestimated", "both"],
        option(
            "BatchNorm statistics: interpolated (raw); re-estimated on --train; both; auto: both if --train is given.",
            panel=MEASURE,
        ),
    ] = "auto"
    soup: Annotated[
        list[str] | None,
        option(
            "Another model for the soups, which average A, B and these; repeatable.",
            panel=MODEL,
            default="no soups",
            metavar="WHERE",
        ),
    ] = None
    lines: Annotated[Numbers | None, lines_option(MEASURE)] = None
    save_best: Annotated[bool, flag("Save what is best on ID-val: point, soup, or scaled.", "--save-best", OUTPUT)] = (
        False
    )
    plot: Annotated[Path | None, figure("Plot of loss and accuracy against λ.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isfinite(self.from_) and isfinite(self.to) and self.from_ < self.to):
            raise RequestError(f"--from {self.from_:g} --to {self.to:g} is no range.", "--from 0 --to 1")
        if self.bn in ("reestimated", "both") and not self.train:
            raise RequestError(f"--bn {self.bn} needs images to estimate on.", "add --train SPEC, or --bn raw")
        if self.head_weights and (self.head != "auto" or self.soup):
            raise RequestError(
                "--head-weights gives every point of the line one head, and --head and --soup say otherwise.",
                "leave one out",
            )
        if self.head == "probe" and not self.train:
            raise RequestError("--head probe needs images to fit it on.", "add --train SPEC")
        if self.save_best and not (self.id_val or self.train):
            raise RequestError("--save-best needs an ID-val set to choose by.", "add --id-val SPEC, or --train SPEC")

    @property
    def exactly_two(self) -> bool:
        return True

    def every_model(self) -> list[str]:
        return [*self.models, *(self.soup or [])]
