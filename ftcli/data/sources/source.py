"""Sources: from a data SPEC to an ImageSet, whatever holds the data."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from ftcli.cache import Cache
from ftcli.data import columns, stratified
from ftcli.data.classes import labels
from ftcli.data.classes.alignment import warn_look_alikes
from ftcli.data.classes.class_names import all_composed
from ftcli.data.images import ImageSet
from ftcli.data.pictures.decode import Pictures
from ftcli.data.rows import Rows, Splits, joined
from ftcli.data.sources.arrays import array_rows
from ftcli.data.sources.folders import one_picture, open_folder
from ftcli.data.sources.image_files import holds_picture, is_picture
from ftcli.data.sources.saved import is_saved, open_saved
from ftcli.data.sources.table_files import (
    as_parquet,
    can_become_parquet,
    open_hub,
    open_parquet,
    open_parquet_below,
    open_parquet_folder,
)
from ftcli.data.spec import Spec
from ftcli.errors import RequestError, choose, suggest
from ftcli.log import Log


def open_source(
    spec: Spec, log: Log, *, damaged: str = "stop", labelled: bool = True, cache: Cache | None = None
) -> ImageSet:
    """Open a set and decode every picture once; the arguments are those of `examples_of` and `ImageSet.inspected`."""
    return examples_of(spec, log, labelled=labelled).inspected(damaged=damaged, log=log, cache=cache)


def examples_of(spec: Spec, log: Log, *, labelled: bool = True) -> ImageSet:
    """Choose the examples of a set: split, where, class map, limit or per-class, in this order. No picture is read.

    Labels are not flipped yet: that is done in the order of the classes that count.

    Args:
        labelled: False opens a set without labels; a label column, where there is one, is not looked at.

    Raises:
        RequestError: the data, a column or a class is not there or not usable; the message names it.
    """
    if not labelled and (spec.label or spec.classes or spec.per_class or spec.flip):
        raise RequestError(
            f"{spec.text} has a label, classes, per-class or labels setting, and labels are not used here",
            "leave it out",
        )
    rows = _choose_split(_splits(spec, log, labelled), spec)
    if not len(rows):
        raise RequestError(f"{spec.text} has no rows", "check the path and the split")
    pictures = Pictures(columns.image_column(rows, spec), rows.folders)
    index = np.flatnonzero(columns.where_mask(rows, spec))
    _some(index, spec, "rows that satisfy every where")
    found, dropped = None, 0
    if labelled:
        found = _labels(rows, spec, index)
        dropped = int(np.count_nonzero(found.values < 0))
        index, values = index[found.values >= 0], found.values[found.values >= 0]
        _some(index, spec, "rows left after its class map")
        warn_look_alikes(values, found.classes, spec.text, log)
        strata = stratified.strata(values, found.classes)
    else:
        strata, values = np.zeros(len(index), dtype=np.int64), None
    chosen = _limited(strata, spec)
    index = index[chosen]
    return ImageSet(
        spec=spec.text,
        pictures=pictures,
        rows=index,
        labels=None if values is None else values[chosen],
        classes=found.classes if found else (),
        named=found.named if found else False,
        positions=found.positions if found else False,
        groups=columns.groups(rows, spec, index),
        ids=[rows.ids[row] for row in index],
        unit=rows.unit,
        dropped=dropped,
        flip=spec.flip,
        shift=spec.shift,
        shuffle=spec.shuffle,
    )


def splits_of(spec: Spec, log: Log) -> tuple[str, ...]:
    """The names of a set's splits, without reading them; ("train",) for a set that is not split."""
    return tuple(_splits(spec, log, labelled=True))


def _splits(spec: Spec, log: Log, labelled: bool) -> Splits:
    """Recognise the kind of source by looking at it."""
    if spec.kind == "hf":
        return open_hub(spec.location, log)
    if spec.kind == "digits":
        return {"train": partial(_digits, spec)}
    if spec.kind == "torchvision":
        from ftcli.data.sources.torchvision_sets import open_vision  # loads every class of torchvision

        return open_vision(spec)
    path = Path(spec.location).expanduser()  # no shell expands a ~ behind NAME=
    try:
        if path.exists():
            return _on_disk(path, labelled, log)
        near = suggest(path.name, [entry.name for entry in path.parent.iterdir()]) if path.parent.is_dir() else ""
    except (OSError, ValueError) as error:  # not allowed, too long, a zero byte
        raise RequestError(f'"{path}" cannot be read: {error}', "check the path and its permissions") from error
    raise RequestError(f'there is no file or folder "{path}"', near or "check the path")


def _on_disk(path: Path, labelled: bool, log: Log) -> Splits:
    if path.is_file():
        if path.suffix.lower() == ".parquet":
            return open_parquet([path])
        if is_picture(str(path)) and not labelled:
            return {"train": partial(one_picture, path)}
        raise _no_set(path)
    if is_saved(path):
        return open_saved(path)
    if found := open_parquet_folder(path):
        return found
    if not holds_picture(str(path)) and (found := open_parquet_below(path)):
        return found
    return open_folder(path, log, labelled=labelled)


def _no_set(path: Path) -> RequestError:
    """What is said of a file that is no table."""
    if is_picture(str(path)):
        return RequestError(
            f'"{path}" is one picture, without a label',
            "name a folder with one subfolder per class; `ftcli predict MODEL PICTURE` takes a picture",
        )
    what = (
        f'the file "{path}" is not a .parquet file; data is a folder with one subfolder of images per class, a '
        ".parquet file or a folder of them, a save_to_disk folder, or hf:NAME"
    )
    if can_become_parquet(path):
        return RequestError(what, as_parquet(path))
    return RequestError(what, "unpack or convert it to one of these" if path.suffix else "check the path")


def _digits(spec: Spec) -> Rows:
    """Real digits under one look, classes "0" … "9"."""
    from ftcli.data.sources import digits  # only this kind of source needs scikit-learn

    pixels, values = digits.world(spec.location)  # uint8 [N, H, W, C], int64 [N]
    return array_rows(pixels, values, labels.numbers(10))


def _choose_split(splits: Splits, spec: Spec) -> Rows:
    """The rows that split= asks for, as `datasets` reads it: train, train[:5000], train[10%:20%], train+test."""
    if spec.split is None:
        if len(splits) > 1:
            raise RequestError(
                f"{spec.text} has the splits {', '.join(splits)}",
                f"say which with split=, as {spec.at_split(next(iter(splits))).text}",
            )
        return next(iter(splits.values()))()
    asked = [part.strip() for part in re.findall(r"(?:^|\+)([^\[+]*)", spec.split)]
    for name in asked:
        if name not in splits:
            raise RequestError(
                f'split={spec.split}: {spec.text} has no split "{name}"; it has {", ".join(splits)}',
                choose(name, splits),
            )
    parts = {name: splits[name]() for name in dict.fromkeys(asked)}
    try:
        instruction = datasets.ReadInstruction.from_spec(spec.split)
        slices = instruction.to_absolute({name: len(rows) for name, rows in parts.items()})
    except (ValueError, AssertionError) as error:
        fix = "write it as train[:5000] or train[10%:20%]"
        raise RequestError(f"split={spec.split} cannot be read: {error}", fix) from error
    return joined([(part.splitname, parts[part.splitname].part(part.from_, part.to)) for part in slices])


def _labels(rows: Rows, spec: Spec, index: np.ndarray) -> labels.Labels:
    name = columns.label_column(rows, spec)
    found = labels.read_labels(
        columns.plain(rows.table.column(name)).take(pa.array(index)),
        rows.features.get(name),
        [rows.ids[row] for row in index],
        name=name,
        spec=spec.text,
        unit=rows.unit,
    )
    found = replace(found, classes=all_composed(found.classes, spec.text))
    return labels.apply_map(found, spec.classes, spec.text) if spec.classes else found


def _limited(strata: np.ndarray, spec: Spec) -> np.ndarray:
    """Rows that limit or per-class leaves: sorted indices."""
    if spec.limit:
        return stratified.limit(strata, *spec.limit)
    if spec.per_class:
        return stratified.per_class(strata, *spec.per_class)
    return np.arange(len(strata))


def _some(index: np.ndarray, spec: Spec, what: str) -> None:
    if not len(index):
        raise RequestError(f"{spec.text} has no {what}", "check its settings")
