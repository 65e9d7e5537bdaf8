"""Options of the commands that give the figures of each set: what is added to them."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from ftcli.config.declare import OUTPUT, Words, flag, option, words
from ftcli.config.details.estimates import ALINE, BY_NAME, GDE, NUCLEAR, OF_SEVERAL, ONLY_STANDARD
from ftcli.config.shared import Reporting
from ftcli.errors import RequestError


@dataclass(frozen=True)
class Details:
    """What a set gets besides its figures.

    estimates: names of BY_NAME, in addition to the standard ones. on_labelled: sets with labels get estimates too.
    """

    per_class: bool = False
    confusion: bool = False
    estimates: tuple[str, ...] = ()
    on_labelled: bool = False

    @property
    def counts(self) -> bool:
        """Whether the pairs of true and predicted classes are counted."""
        return self.per_class or self.confusion

    @property
    def from_logits(self) -> "Details":
        """What of it needs nothing but the logits of one model."""
        return replace(self, estimates=())


NO_DETAILS = Details()


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Detailed(Reporting):
    """What every command that gives the figures of each set shares."""

    one_model: ClassVar[bool] = True  # whether one model answers for a whole set

    per_class: Annotated[bool, flag("Recall, precision and F1 of every class on every set.", "--per-class", OUTPUT)] = (
        False
    )
    confusion: Annotated[bool, flag("Confusion matrix of every set.", "--confusion", OUTPUT)] = False
    estimate: Annotated[
        Words | None,
        option(
            f"Accuracy as estimated without labels, on labelled sets too: {ONLY_STANDARD}, or more: "
            f"{', '.join(BY_NAME)}.",
            panel=OUTPUT,
            parser=words((ONLY_STANDARD, *BY_NAME)),
            default="standard, on sets without labels",
            metavar="[A,B,…]",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimate and not (self.id_val or getattr(self, "train", None)):
            raise RequestError(
                f"--estimate {self.estimate} starts from the errors on ID-val, and there is none.", "add --id-val SPEC"
            )
        for name in self.estimate or ():
            if name in OF_SEVERAL:
                self.check_several(name, OF_SEVERAL[name])
            if name == NUCLEAR and not self.one_model:
                raise RequestError(
                    "--estimate nuclear needs one model for all corrupted images, and here it changes from batch "
                    "to batch.",
                    "leave nuclear out",
                )

    def check_several(self, name: str, least: int) -> None:
        """Raises RequestError where an estimate by the agreement of at least so many models means nothing here."""
        assert name in (GDE, ALINE)
        raise RequestError(
            f"--estimate {name} compares models that were fine-tuned from heads of their own, and this command has one "
            "head.",
            f"leave {name} out, or type ftcli finetune … --seeds {least} --estimate {name}",
        )

    def details(self) -> Details:
        """What every set of the report gets besides its figures."""
        by_name = tuple(name for name in BY_NAME if name in (self.estimate or ()))
        return Details(self.per_class, self.confusion, by_name, self.estimate is not None)
