"""An opened source: the splits of the data that a SPEC names, by whatever module reads that kind of data."""

import re
from dataclasses import dataclass
from importlib import import_module

from ftcli.cache.cache import Cache
from ftcli.data.rows import Rows, Splits, joined
from ftcli.data.specs.kinds import KINDS
from ftcli.data.specs.spec import ARRAY, Spec
from ftcli.errors import RequestError, choose
from ftcli.log import Log
from ftcli.safe_text import quoted

PART = re.compile(  # of split=: a split or a slice of one
    r"\w+(?:\.\w+)*"
    r"(?:\[(?:(?P<start>-?[\d_]+)(?P<start_unit>%)?)?:(?:(?P<stop>-?[\d_]+)(?P<stop_unit>%)?)?\])?"
    r"(?:\((?P<rounding>[^)]*)\))?"
)
ROUNDINGS = ("closest", "pct1_dropremainder")


@dataclass(frozen=True)
class Source:
    """A SPEC and the splits of its data, each read when its rows are asked for."""

    spec: Spec
    splits: Splits

    def at_split(self, split: str, *, limited: bool = False) -> "Source":
        """The source with its SPEC at one of its splits: whole, or `limited` as typed."""
        return Source(self.spec.at_split(split, limited=limited), self.splits)

    def rows(self) -> Rows:
        """The rows that split= names, as `datasets` reads it: train, train[:5000], train[10%:20%], train+test; of a
        set with one split also [:5000], without its name.

        Raises:
            RequestError: there is no such split, or there are several and none is named.
        """
        spec, splits = self.spec, self.splits
        if spec.split is None:
            if len(splits) > 1:
                raise RequestError(
                    f"{spec.text} has the splits {', '.join(splits)}",
                    f"say which with split=, as {spec.at_split(next(iter(splits))).text}",
                )
            return next(iter(splits.values()))()
        parts = [_named(part.strip(), splits) for part in spec.split.split("+")]
        for name, _ in parts:
            if name not in splits:
                raise RequestError(
                    f'split={spec.split}: {spec.text} has no split "{name}"; it has {", ".join(splits)}',
                    choose(name, splits),
                )
        rows = {name: splits[name]() for name in dict.fromkeys(name for name, _ in parts)}
        try:
            slices = [(name, rows[name].slice(*bounds(part, len(rows[name])))) for name, part in parts]
        except ValueError as error:
            fix = "write it as train[:5000] or train[10%:20%]"
            raise RequestError(f"split={spec.split} cannot be read: {error}", fix) from error
        return joined(slices)


def _named(part: str, splits: Splits) -> tuple[str, str]:
    """The name of the split in a part of split=, and the part with it: a slice alone is one of the only split."""
    if part.startswith("[") and len(splits) == 1:
        part = next(iter(splits)) + part
    return re.split(r"[\[(]", part)[0].strip(), part


def bounds(part: str, n: int) -> tuple[int, int]:
    """The first row and the one after the last that a part of split= names, of a split of n rows.

    Read as `datasets` reads it, which rounds percentages to the nearest row unless `pct1_dropremainder` is typed
    behind the slice: that counts in whole hundredths of the split. Raises ValueError for what is no slice.
    """
    match = PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{quoted(part)} is no split and no slice of one")
    percent, rounding = "%" in (match["start_unit"], match["stop_unit"]), match["rounding"]
    if rounding is not None and (not percent or rounding not in ROUNDINGS):
        raise ValueError(f"({rounding}) is no rounding of percentages; there are {' and '.join(ROUNDINGS)}")
    ends = []
    for text, otherwise in ((match["start"], 0), (match["stop"], n)):
        value = otherwise if text is None else int(text)
        if percent and text is not None:
            if abs(value) > 100:
                raise ValueError(f"{value} % is more than all of a split")
            if rounding == ROUNDINGS[1] and n < 100:
                raise ValueError(f"a hundredth of {n} rows is no row")
            value = value * (n // 100) if rounding == ROUNDINGS[1] else round(value * n / 100)
        ends.append(min(max(n + value, 0) if value < 0 else value, n))
    return ends[0], ends[1]


def _check_array_settings(spec: Spec) -> None:
    """Raises RequestError where labels=FILE or severity= stands with other data than an array of images."""
    if spec.names_array:
        return
    if spec.labels_file is not None:
        raise RequestError(
            f"labels={spec.labels_file}: {spec.text} is no {ARRAY} file of images, and only to such a file belongs a "
            "file of labels",
            "leave it out; label=COLUMN names a column of labels",
        )
    if spec.severity is not None:
        raise RequestError(
            f"severity={spec.severity}: {spec.text} is no {ARRAY} file of images, and only such a file holds images at "
            "several severities",
            f"leave it out; shift=NAME:{spec.severity} corrupts images of any set",
        )


def open_source(spec: Spec, log: Log, *, labelled: bool = True, cache: Cache | None = None) -> Source:
    """Find the splits of a set; none of them is read yet.

    Args:
        labelled: False where labels are not used, so that a folder needs no class folders; so it is by labels=none.
        cache: where images that are generated are kept.

    Raises:
        RequestError: the data is not there or cannot be recognised; the message names it.
    """
    _check_array_settings(spec)
    module = import_module(f"ftcli.data.sources.{KINDS[spec.kind].module}")
    labelled = labelled and not spec.unlabelled
    return Source(spec, module.open_splits(spec, log, labelled=labelled, cache=cache))
