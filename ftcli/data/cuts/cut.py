"""The sets that are cut from a training set: by rows, stratified, or by whole groups of a column."""

from dataclasses import replace

import numpy as np

from ftcli.data.cuts import stratified
from ftcli.data.cuts.by_group import QUOTA, cut_by_group, join_groups
from ftcli.data.images import GroupCut, ImageSet
from ftcli.data.roles import OPTIONS
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed, quoted

FEWEST_TO_CUT = 10  # 10 % of fewer examples is none
FAR_OFF = 0.05  # of a share from 10 %: worth a warning
NAMES = {"id_val": "ID-val", "id_test": "ID-test"}


def check_can_be_cut(train: ImageSet, missing: list[str]) -> None:
    """Raises RequestError where there are too few examples or groups to cut the missing roles from."""
    if len(train) < FEWEST_TO_CUT:
        raise RequestError(
            f"{train.spec} has {len(train)} examples, too few to cut {' and '.join(missing)} from (10 % each)",
            f"give {_options(missing)}, or at least {FEWEST_TO_CUT} examples",
        )
    if train.cut_groups is not None:
        _check_enough_groups(train, len(np.unique(train.cut_groups)), missing)


def _check_enough_groups(train: ImageSet, groups: int, missing: list[str], joined: str = "") -> None:
    """Raises RequestError where the missing roles and train cannot have a group each."""
    if groups <= len(missing):
        raise RequestError(
            f"--cut-by {train.cut_by}: {train.spec} has {counted(groups, 'group', 'groups')} in the column "
            f"{quoted(str(train.cut_by))}{joined}; {', '.join(['train', *missing][:-1])} and {missing[-1]} need one "
            f"each, {len(missing) + 1} in all",
            f"name another column, or give {_options(missing)}",
        )


def cut(train: ImageSet, missing: list[str], seed: int, log: Log) -> dict[str, ImageSet]:
    """Train and the missing roles, cut from it; nothing where none is missing.

    Raises:
        RequestError: there are too few examples, or different images, or groups that share no image.
    """
    if not missing:
        return {}
    check_can_be_cut(train, missing)
    rows_of = cut_rows(train, train.pixel_digests, missing, seed, log)
    if not all(len(rows) for rows in rows_of.values()):
        raise RequestError(
            f"{' and '.join(missing)} cannot be cut from the {len(train)} examples of {train.spec}: too many are "
            "copies of one image",
            f"give {_options(missing)}",
        )
    how = {role: _described(train, rows, seed) for role, rows in rows_of.items()}
    cuts = {
        role: replace(train.select(rows), spec=how[role][0], cut=how[role][1], dropped=0, damaged=0)
        for role, rows in rows_of.items()
        if role in missing
    }
    for role, images in cuts.items():
        _warn_far_off(role, images, train, log)
    return {"train": train.select(rows_of["train"]), **cuts}


def cut_rows(
    train: ImageSet, images: list[bytes], missing: list[str], seed: int, log: Log | None = None
) -> dict[str, np.ndarray]:
    """The examples of train and of the missing roles: sorted indices. images: [N], the same for copies of an image."""
    strata = stratified.strata(train.labels, train.classes)
    if train.cut_groups is None:
        _, val, test = stratified.cut(strata, images, seed)
    else:
        val, test = _rows_by_group(train, strata, images, missing, seed, log)
    cut = {role: rows for role, rows in (("id_val", val), ("id_test", test)) if role in missing}
    return {"train": np.setdiff1d(np.arange(len(train)), np.concatenate(list(cut.values())))} | cut


def _rows_by_group(
    train: ImageSet, strata: np.ndarray, images: list[bytes], missing: list[str], seed: int, log: Log | None
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of validation and test where groups stay together: sorted indices."""
    assert train.cut_groups is not None
    groups, joined = join_groups(train.cut_groups, images)
    if joined:
        together = "; ".join(listed(names, 3) for names in joined[:3]) + ("; …" if len(joined) > 3 else "")
        number = sum(map(len, joined))
        _check_enough_groups(
            train, int(groups.max()) + 1, missing, f" (groups that share an image count as one: {together})"
        )
        if log is not None:
            log.warn(
                "groups-joined",
                f"{number} groups of the column {quoted(str(train.cut_by))} of {train.spec} hold copies of images of "
                f"one another, and stay together in the cut: {together}",
            )
    val, test = cut_by_group(strata, groups, seed)
    return np.flatnonzero(np.isin(groups, val)), np.flatnonzero(np.isin(groups, test))


def _described(train: ImageSet, rows: np.ndarray, seed: int) -> tuple[str, GroupCut | None]:
    """What a set that was cut is called, and how it was cut where it was by groups."""
    if train.cut_groups is None:
        return f"{train.spec} (10 % cut, split seed {seed})", None
    groups, of_groups = (len(np.unique(train.cut_groups[which])) for which in (rows, slice(None)))
    share = len(rows) / len(train)
    text = (
        f"{train.spec} ({groups} of {of_groups} groups of {train.cut_by}, {100 * share:.1f} % cut, split seed {seed})"
    )
    return text, GroupCut(str(train.cut_by), groups, of_groups, share)


def _warn_far_off(role: str, images: ImageSet, train: ImageSet, log: Log) -> None:
    """Warn where whole groups make a set of another size than it should have, or leave out classes."""
    if images.cut is None:
        return
    if abs(images.cut.share - 1 / QUOTA) > FAR_OFF:
        log.warn(
            "cut-share",
            f"{NAMES[role]} is {100 * images.cut.share:.1f} % of {train.spec}, and not 10 %: it has "
            f"{counted(images.cut.groups, 'whole group', 'whole groups')} of {images.cut.of_groups} of the column "
            f"{quoted(images.cut.by)}; another --split-seed may come nearer",
        )
    absent = [train.classes[label] for label in np.setdiff1d(train.labels, images.labels)]
    if absent:
        log.warn(
            "cut-classes",
            f"{NAMES[role]}, cut by {quoted(images.cut.by)}, has no example of {listed(absent)}: its figures say "
            "nothing about them",
        )


def _options(roles: list[str]) -> str:
    return " and ".join(OPTIONS[role] for role in roles)
