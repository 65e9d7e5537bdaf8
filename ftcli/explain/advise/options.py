"""Options of `ftcli advise`."""

from dataclasses import dataclass
from typing import Annotated

from ftcli.config.declare import spec
from ftcli.config.measuring import TrainingSets
from ftcli.config.shared import ModelArgument
from ftcli.errors import RequestError

TARGET, UNLABELLED = "target", "unlabelled"  # names of the sets in a report


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Advise(TrainingSets):
    """Options of `ftcli advise`."""

    checkpoint: ModelArgument
    target: Annotated[str | None, spec("Images of the target, with labels or with labels=none.", "needed")] = None
    unlabelled: Annotated[
        str | None,
        spec("More images of the target, whose labels are not used.", "those of --target, if given"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ood:
            raise RequestError(
                f"--ood {self.ood[0]!r}: advise is about one target.", "type --target SPEC; one command for each target"
            )
        if not (self.train or self.id_val):
            raise RequestError(
                "No ID-val is given: without images of the source there is nothing to hold the target against.",
                "add --train SOURCE, from which ID-val is cut as in training, or --id-val SPEC",
            )
        if not (self.target or self.unlabelled):
            raise RequestError(
                "No target is given.", "add --target SPEC, or --unlabelled SPEC where there are no labels"
            )

    def ood_sets(self) -> list[tuple[str, str]]:
        """The target's sets, in the place of OOD sets."""
        super().ood_sets()
        return [(name, text) for name, text in ((TARGET, self.target), (UNLABELLED, self.unlabelled)) if text]
