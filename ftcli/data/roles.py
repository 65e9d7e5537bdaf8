"""Roles: which SPEC has which role in a run, and the splits of the training set in the roles that are not given."""

from collections.abc import Mapping, Sequence
from functools import cache as read_once

from ftcli.cache.cache import Cache
from ftcli.data.rows import SPLIT_ROLES, Splits
from ftcli.data.sources.source import Source, open_source
from ftcli.data.specs.parse import parse
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.log import Log

ROLES = ("train", "id_val", "id_test")
NEED_LABELS = ("train", "id_val")  # to fit weights, to select and to fit a temperature
OPTIONS = {"train": "--train", "id_val": "--id-val", "id_test": "--id-test"}


def open_sources(
    typed: Mapping[str, str | None], ood: Sequence[tuple[str, str]], log: Log, cache: Cache | None = None
) -> dict[str, Source]:
    """Every set of a run, opened, by its role or name; `typed` has a text for each role. Data that several SPECs name
    is opened once, and each of its splits read once.

    A train set that is already split, and whose SPEC names no split, has the roles that are not given.

    Raises:
        RequestError: a SPEC cannot be read or opened, a name is taken, or it is ambiguous which split has a role.
    """
    _check_names([name for name, _ in ood])
    outside = {name: parse(text) for name, text in ood}
    specs = {role: parse(text) for role, text in typed.items() if text} | outside
    _check_labelled(specs)
    opened: dict[tuple[object, ...], Splits] = {}
    sources = {}
    for name, spec in specs.items():
        data = (spec.kind, spec.location, spec.root, spec.labels_file, spec.unlabelled, spec.severity, spec.streaming)
        if data not in opened:
            opened[data] = {name: read_once(rows) for name, rows in open_source(spec, log, cache=cache).splits.items()}
        sources[name] = Source(spec, opened[data])
    given = {role: sources.pop(role) for role in ROLES if role in sources}
    return _with_splits_of_train(given) | sources


def _check_names(names: list[str]) -> None:
    for i, name in enumerate(names):
        if not name or name in (*ROLES, "ood_mean") or name in names[:i]:
            raise RequestError(
                f'--ood {name}=…: an OOD set needs a name of its own, other than {", ".join(ROLES)} and "ood_mean"',
                "write --ood NAME=SPEC with another NAME",
            )


def _check_labelled(specs: Mapping[str, Spec]) -> None:
    """Raises RequestError where a set without labels has a role that uses them."""
    for role in NEED_LABELS:
        if role in specs and specs[role].unlabelled:
            raise RequestError(
                f"{OPTIONS[role]} {specs[role].text} has labels=none, and the labels of this set are needed",
                "leave labels=none out, or give the set as --id-test or --ood NAME=SPEC, to be predicted on",
            )


def _with_splits_of_train(given: dict[str, Source]) -> dict[str, Source]:
    """The given roles, and the others as far as a train set that is already split has splits for them."""
    train = given.get("train")
    if train is None or train.spec.split is not None or len(train.splits) < 2:
        return given
    spec, splits = train.spec, tuple(train.splits)
    split_of: dict[str, str] = {}
    for name in splits:
        role = SPLIT_ROLES.get(name.lower())
        if role and split_of.setdefault(role, name) != name and (role == "train" or role not in given):
            raise RequestError(
                f"{spec.text} has the splits {', '.join(splits)}: {split_of[role]} and {name} play one role",
                f"say which with {OPTIONS[role]} '{spec.at_split(name).text}'",
            )
    if "train" not in split_of:
        raise RequestError(
            f"{spec.text} has the splits {', '.join(splits)} and none of them is called train",
            f"say which to train on with split=, as {spec.at_split(splits[0]).text}",
        )
    # A limit is for training: the sets that only measure stay whole.
    filled = {role: train.at_split(split) for role, split in split_of.items()}
    return filled | given | {"train": train.at_split(split_of["train"], limited=True)}
