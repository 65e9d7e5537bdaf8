"""The examples of a set: from an opened source to an ImageSet, by the settings of its SPEC."""

from dataclasses import replace
from functools import partial

import numpy as np

from ftcli.cache.cache import Cache
from ftcli.data import stratified
from ftcli.data.classes import labels
from ftcli.data.classes.alignment import warn_similar_names
from ftcli.data.classes.class_names import all_composed
from ftcli.data.columns.choose import image_column
from ftcli.data.columns.conditions import where_mask
from ftcli.data.columns.groups import groups
from ftcli.data.columns.label_values import label_values
from ftcli.data.decoding.column import ImageColumn
from ftcli.data.images import ImageSet
from ftcli.data.preparation import Drafts, read_sets
from ftcli.data.rows import Rows
from ftcli.data.sources.source import Source, open_source
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.log import Log


def open_images(
    spec: Spec, log: Log, *, damaged: str = "stop", labelled: bool = True, cache: Cache | None = None
) -> ImageSet:
    """Open a set and decode every image once; the arguments are those of `examples_of` and `read_sets`."""
    images = examples_of(open_source(spec, log, labelled=labelled, cache=cache), log, labelled=labelled)
    with Drafts(cache) as drafts:
        return read_sets({"": images}, drafts, damaged=damaged, log=log)[""]


def examples_of(source: Source, log: Log, *, labelled: bool = True) -> ImageSet:
    """Choose the examples of a set: split, where, class map, limit or per-class, in this order. No image is read.

    Labels are not flipped yet: that is done in the order of the task's classes.

    Args:
        labelled: False gives a set without labels; a label column, where there is one, is not looked at.

    Raises:
        RequestError: the data, a column or a class is not there or not usable; the message names it.
    """
    spec = source.spec
    if not labelled and (spec.label or spec.classes or spec.per_class or spec.flip):
        raise RequestError(
            f"{spec.text} has a label, classes, per-class or labels setting, and labels are not used here",
            "leave it out",
        )
    rows = source.rows()
    if not len(rows):
        raise RequestError(f"{spec.text} has no rows", "check the path and the split")
    column = (rows.open_images or partial(ImageColumn, folders=rows.folders))(image_column(rows, spec))
    index = np.flatnonzero(where_mask(rows, spec))
    _check_any(index, spec, "rows that satisfy every where")
    own, dropped = labels.Labels(np.full(len(index), -1, dtype=np.int64), (), named=False), 0
    strata = np.zeros(len(index), dtype=np.int64)
    if labelled:
        own = _labels(rows, spec, index)
        kept = own.values >= 0
        index, own, dropped = index[kept], replace(own, values=own.values[kept]), int(np.count_nonzero(~kept))
        _check_any(index, spec, "rows left after its class map")
        warn_similar_names(own.values, own.classes, spec.text, log)
        strata = stratified.strata(own.values, own.classes)
    chosen = _limited(strata, spec)
    index = index[chosen]
    return ImageSet(
        spec=spec.text,
        column=column,
        rows=index,
        labels=own.values[chosen],
        classes=own.classes,
        named=own.named,
        positions=own.positions,
        groups=groups(rows, spec, index),
        ids=[rows.ids[row] for row in index],
        unit=rows.unit,
        lines=None if rows.lines is None else rows.lines[index],
        dropped=dropped,
        flip=spec.flip,
        shift=spec.shift,
        shuffle=spec.shuffle,
    )


def _labels(rows: Rows, spec: Spec, index: np.ndarray) -> labels.Labels:
    """The labels of the rows at `index`, through the class map of the SPEC."""
    name, column, feature = label_values(rows, spec, index)
    places = partial(_place, rows, index)
    own = labels.read_labels(column, feature, places, name=name, spec=spec.text)
    own = replace(own, classes=all_composed(own.classes, spec.text))
    return labels.apply_map(own, spec.classes, spec.text) if spec.classes else own


def _place(rows: Rows, index: np.ndarray, row: int) -> str:
    return rows.place(int(index[row]))


def _limited(strata: np.ndarray, spec: Spec) -> np.ndarray:
    """Rows that limit or per-class leaves: sorted indices."""
    if spec.limit:
        return stratified.limit(strata, *spec.limit)
    if spec.per_class:
        return stratified.per_class(strata, *spec.per_class)
    return np.arange(len(strata))


def _check_any(index: np.ndarray, spec: Spec, what: str) -> None:
    if not len(index):
        raise RequestError(f"{spec.text} has no {what}", "check its settings")
