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
    target: Annotated[
        str | None,
        spec("Images of the target, with labels or with labels=none; or the name of one of --ood.", "needed"),
    ] = None
    unlabelled: Annotated[
        str | None,
        spec("More images of the target, whose labels are not used.", "those of --target, if given"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.train or self.id_val):
            raise RequestError(
                "No ID-val is given: without images of the source there is nothing to hold the target against.",
                "add --train SOURCE, from which ID-val is cut as in training, or --id-val SPEC",
            )
        if not (self.target or self.unlabelled):
            names = [name for name, _ in super().ood_sets()]
            fix = f"add --target {names[0]}" if names else "add --target SPEC"
            raise RequestError("No target is given.", f"{fix}, or --unlabelled SPEC where there are no labels")

    def target_spec(self) -> str | None:
        """The SPEC of the target, of an OOD set where it is given by name."""
        return dict(super().ood_sets()).get(self.target or "", self.target)

    def ood_sets(self) -> list[tuple[str, str]]:
        """The target's sets alone, in the place of OOD sets."""
        return [(name, text) for name, text in ((TARGET, self.target_spec()), (UNLABELLED, self.unlabelled)) if text]
