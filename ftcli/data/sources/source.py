"""An opened source: the splits of the data that a SPEC names, by whatever module reads that kind of data."""

import re
from dataclasses import dataclass
from importlib import import_module

import datasets

from ftcli.cache.cache import Cache
from ftcli.data.kinds import KINDS
from ftcli.data.rows import Rows, Splits, joined
from ftcli.data.spec import Spec
from ftcli.errors import RequestError, choose
from ftcli.log import Log


@dataclass(frozen=True)
class Source:
    """A SPEC and the splits of its data, each read when its rows are asked for."""

    spec: Spec
    splits: Splits

    def at_split(self, split: str, *, limited: bool = False) -> "Source":
        """The source with its SPEC at one of its splits: whole, or `limited` as typed."""
        return Source(self.spec.at_split(split, limited=limited), self.splits)

    def rows(self) -> Rows:
        """The rows that split= names, as `datasets` reads it: train, train[:5000], train[10%:20%], train+test.

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
        names = [part.strip() for part in re.findall(r"(?:^|\+)([^\[+]*)", spec.split)]
        for name in names:
            if name not in splits:
                raise RequestError(
                    f'split={spec.split}: {spec.text} has no split "{name}"; it has {", ".join(splits)}',
                    choose(name, splits),
                )
        rows = {name: splits[name]() for name in dict.fromkeys(names)}
        try:
            instruction = datasets.ReadInstruction.from_spec(spec.split)
            slices = instruction.to_absolute({name: len(whole) for name, whole in rows.items()})
        except (ValueError, AssertionError) as error:
            fix = "write it as train[:5000] or train[10%:20%]"
            raise RequestError(f"split={spec.split} cannot be read: {error}", fix) from error
        return joined([(part.splitname, rows[part.splitname].slice(part.from_, part.to)) for part in slices])


def open_source(spec: Spec, log: Log, *, labelled: bool = True, cache: Cache | None = None) -> Source:
    """Find the splits of a set; none of them is read yet.

    Args:
        labelled: False where labels are not used, so that a folder needs no class folders.
        cache: where images that are generated are kept.

    Raises:
        RequestError: the data is not there or cannot be recognised; the message names it.
    """
    module = import_module(f"ftcli.data.sources.{KINDS[spec.kind].module}")
    return Source(spec, module.open_splits(spec, log, labelled=labelled, cache=cache))
