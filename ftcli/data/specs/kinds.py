"""The kinds of data that a SPEC can name, one row each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of data; its module is imported when a SPEC of that kind is opened."""

    form: str  # how its location is typed
    module: str  # in ftcli/data/sources: has open_splits(spec, log, *, labelled, cache) -> Splits
    settings: tuple[str, ...] = ()  # settings that not every kind has


PATH = "path"  # the kind that is typed without a scheme
KINDS = {
    PATH: Kind("PATH", "path", ("root", "severity")),
    "hf": Kind("hf:NAME[/CONFIG]", "hub", ("streaming",)),
    "torchvision": Kind("torchvision:CLASS", "torchvision_sets", ("root",)),
    "digits": Kind("digits:WORLD", "digits"),
}
FORMS = ", ".join(kind.form for kind in KINDS.values())
