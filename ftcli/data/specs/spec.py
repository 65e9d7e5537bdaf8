"""A parsed data SPEC, and the text that parses to it."""

from dataclasses import dataclass, replace
from typing import Literal

from ftcli.data.shifts.shift import Shift, Shuffle
from ftcli.data.specs.condition import Condition
from ftcli.data.specs.escape import escape
from ftcli.data.specs.kinds import PATH
from ftcli.safe_text import redacted_spec

# Settings whose value is a text as it is typed, in the order in which they are written.
TEXTS = ("split", "root", "image", "label")
ARRAY = ".npy"  # end of the name of an array of images


@dataclass(frozen=True)
class Spec:
    """A parsed data SPEC. `limit` is (N, SEED), `per_class` (N, SEED) or (N, SEED, SKIP)."""

    text: str  # as typed, without the query of a URL
    kind: str  # one of KINDS
    location: str  # decoded path or URL, hub NAME[/CONFIG], torchvision class, or digits world
    split: str | None = None
    root: str | None = None  # folder of the files of a torchvision class, or of those that a table or list names
    image: str | None = None  # column, or template of paths with {COLUMN} in it
    label: str | None = None
    groups: tuple[str, ...] = ()  # columns whose values together are an example's group
    where: tuple[Condition, ...] = ()  # all must hold
    classes: str | None = None
    limit: tuple[int, int] | None = None
    per_class: tuple[int, int] | tuple[int, int, int] | None = None
    flip: bool = False  # labels=flip: class y becomes class K - 1 - y
    unlabelled: bool = False  # labels=none: predicted on, never scored
    labels_file: str | None = None  # labels=FILE: beside an array of images
    streaming: bool = False  # a set of the hub is read by ranges from its parquet files, not downloaded
    severity: int | None = None  # of an array of corrupted images that holds several, one after another
    exif: Literal["apply", "ignore"] | None = None  # what is done about an EXIF orientation; None: nothing was said
    shift: Shift | None = None
    shuffle: Shuffle | None = None

    @property
    def names_array(self) -> bool:
        """Whether the location is an array of images, to which labels=FILE and severity= belong."""
        return self.location.lower().endswith(ARRAY)

    def at_split(self, split: str, *, limited: bool = False) -> "Spec":
        """The SPEC of one split of the set: whole, or `limited` as typed."""
        spec = replace(self, split=split) if limited else replace(self, split=split, limit=None, per_class=None)
        return replace(spec, text=redacted_spec(_render(spec)))

    def with_column(self, setting: str) -> str:
        """How to type the same set with a column named in `setting`, "image" or "label"."""
        return redacted_spec(
            _render(replace(self, image="COLUMN") if setting == "image" else replace(self, label="COLUMN"))
        )

    def without_labels(self) -> str:
        """How to type the same set to be predicted on only."""
        return _render(replace(self, unlabelled=True))

    @property
    def labels(self) -> str | None:
        """The setting labels= as a decoded text."""
        return "flip" if self.flip else "none" if self.unlabelled else self.labels_file


def _render(spec: Spec) -> str:
    """The text that parses to `spec`."""
    typed = [f"{name}={escape(value)}" for name in TEXTS if (value := getattr(spec, name)) is not None]
    typed += ["group=" + "+".join(escape(column, "+") for column in spec.groups)] if spec.groups else []
    typed += [f"where={condition}" for condition in spec.where]
    typed += [f"classes={escape(spec.classes)}"] if spec.classes is not None else []
    for name, numbers in (("limit", spec.limit), ("per-class", spec.per_class)):
        typed += [f"{name}={':'.join(map(str, numbers))}"] if numbers else []
    typed += [f"labels={escape(spec.labels)}"] if spec.labels else []
    typed += ["streaming=true"] if spec.streaming else []
    for name, value in (("severity", spec.severity), ("exif", spec.exif)):
        typed += [f"{name}={value}"] if value is not None else []
    typed += [f"{name}={change}" for name, change in (("shift", spec.shift), ("shuffle", spec.shuffle)) if change]
    prefix = "" if spec.kind == PATH else f"{spec.kind}:"
    return prefix + escape(spec.location) + ("?" + "&".join(typed) if typed else "")
