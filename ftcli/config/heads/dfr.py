"""Options of `ftcli dfr`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ftcli.config.declare import TRAINING, Numbers, option, spec
from ftcli.config.loop import rates
from ftcli.config.training import FINETUNE_RATES, Training
from ftcli.errors import RequestError
from ftcli.limits import MAX_DRAWS

DRAWS = {"train": 10, "id-val": 20}  # Kirichenko et al. 2023


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Dfr(Training):
    """Options of `ftcli dfr`."""

    id_val: Annotated[str | None, spec("ID validation set: C is selected on half of it.", "cut from train, 10 %")] = (
        None
    )
    lr: Annotated[Numbers, rates(FINETUNE_RATES, ", of no use here")] = Numbers(FINETUNE_RATES)
    on: Annotated[
        Literal["train", "id-val"],
        option("Images to fit the head to: train, or half of ID-val, whose other half selects.", panel=TRAINING),
    ] = "train"
    draws: Annotated[
        int | None,
        option(
            "Number of balanced subsets, over whose heads the mean is taken.",
            panel=TRAINING,
            default="10, with --on id-val 20",
            min=1,
            max=MAX_DRAWS,
            metavar="N",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.budget:
            raise RequestError(
                f"--budget {self.budget}: last-layer retraining has no epochs, and all values of C are solved.",
                "leave --budget out",
            )

    @property
    def number_of_draws(self) -> int:
        """As asked for, or the paper's."""
        return self.draws or DRAWS[self.on]

    @property
    def training_transforms(self) -> tuple[str, ...]:
        return ("plain",)
