"""Roles: which SPEC plays which part in a run, and the splits of one set in the roles that are not given."""

from collections.abc import Sequence

from ftcli.data.rows import SPLIT_ROLES
from ftcli.data.sources.source import splits_of
from ftcli.data.spec import Spec, parse
from ftcli.errors import RequestError
from ftcli.log import Log

ROLES = ("train", "id_val", "id_test")
OPTIONS = {"train": "--train", "id_val": "--id-val", "id_test": "--id-test"}


def specs_of(typed: dict[str, str | None], ood: Sequence[tuple[str, str]], log: Log) -> dict[str, Spec]:
    """Every set of a run by its role or name, read before any source is opened; `typed` has a text for each role.

    A train set that is already split, and for which no split is asked, plays the roles that are not given.

    Raises:
        RequestError: a SPEC cannot be read, a name is taken, or it is open which split plays a role.
    """
    _check_names([name for name, _ in ood])
    outside = {name: parse(text) for name, text in ood}
    given = {role: parse(text) for role, text in typed.items() if text}
    return _already_split(given, log) | outside


def _check_names(names: list[str]) -> None:
    for i, name in enumerate(names):
        if not name or name in (*ROLES, "ood_mean") or name in names[:i]:
            raise RequestError(
                f'--ood {name}=…: an OOD set needs a name of its own, other than {", ".join(ROLES)} and "ood_mean"',
                "write --ood NAME=SPEC with another NAME",
            )


def _already_split(given: dict[str, Spec], log: Log) -> dict[str, Spec]:
    """Fill the roles that are not given from a train set that is already split."""
    spec = given.get("train")
    splits = splits_of(spec, log) if spec is not None and spec.split is None else ()
    if spec is None or len(splits) < 2:
        return given
    parts: dict[str, str] = {}
    for name in splits:
        role = SPLIT_ROLES.get(name.lower())
        if role and parts.setdefault(role, name) != name and (role == "train" or role not in given):
            raise RequestError(
                f"{spec.text} has the splits {', '.join(splits)}: {parts[role]} and {name} play one role",
                f"say which with {OPTIONS[role]} '{spec.at_split(name).text}'",
            )
    if "train" not in parts:
        raise RequestError(
            f"{spec.text} has the splits {', '.join(splits)} and none of them is called train",
            f"say which to train on with split=, as {spec.at_split(splits[0]).text}",
        )
    # A limit is for training: the parts that only measure stay whole.
    filled = {role: spec.at_split(part) for role, part in parts.items()}
    return filled | given | {"train": spec.at_split(parts["train"], limited=True)}
