"""Layout of an image folder: whether its subfolders are splits or classes. What could be either is refused."""

import re
from itertools import combinations

from ftcli.data.rows import SPLIT_ROLES
from ftcli.data.sources.image_files import Found, found_in, holds_picture, loose
from ftcli.data.sources.walk import listing, wanted
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.text import counted, listed, quoted

# A word for a split within a longer name: training_set, seg_test, val2017, test-images.
SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_ROLES)})(?:set|data|split|images?|imgs?)?(?![a-z])")
A_CLASS_TOO = "train"  # of CIFAR-100, ImageNet and COCO, among others


def splits_in(root: str, log: Log) -> dict[str, str]:
    """The subfolders that are splits, name -> path; none where the subfolders are classes.

    Subfolders with names of splits are splits where they play two roles at least, or where nothing else holds
    pictures; then all that lies beside them is left out, with a warning.

    Raises:
        RequestError: one looks like a split and others like classes, or several like splits under other names.
    """
    below = {name: path for name, path in listing(root)[0].items() if wanted(path)}
    roles = {name: found for name in below if (found := _role_within(name))}
    below = {name: path for name, path in below.items() if holds_picture(path)} if roles else {}
    roles = {name: role for name, role in roles.items() if name in below}
    parts = {name: path for name, path in below.items() if name.lower() in SPLIT_ROLES}
    beside = [name for name in below if name not in parts]
    if len({roles[name] for name in parts}) > 1 or (parts and not beside):
        _say_beside(root, {name: below[name] for name in beside}, log)
        return parts
    if len(set(roles.values())) > 1 and 2 * len(roles) >= len(below):
        one, two = next(pair for pair in combinations(roles, 2) if roles[pair[0]] != roles[pair[1]])
        raise RequestError(
            f"the folders {quoted(one)} and {quoted(two)} of {quoted(root)} look like splits, but splits are called "
            "train, validation and test",
            f"rename them so, or name each by itself, as {root}/{one}; where they are classes, put all of them into a "
            "folder train",
        )
    for name in parts:
        _check_class(root, name, beside, log)
    return {}


def _role_within(name: str) -> str | None:
    """The role of a split that a name speaks of."""
    word = SPLIT_WORD.search(name.lower())
    return SPLIT_ROLES[word[1]] if word else None


def _check_class(root: str, name: str, beside: list[str], log: Log) -> None:
    """A folder with the name of a split, beside others with pictures: a class only where it looks like one."""
    folder = f"{root}/{name}"
    if has_classes(folder):
        raise RequestError(
            f"the folder {quoted(root)} has {quoted(name)}, which holds folders as a split does, beside "
            f"{listed(beside)}, which may be classes or splits",
            f"name {folder} for the split; if {name} is a class, put its pictures into {folder} itself",
        )
    if name != A_CLASS_TOO:
        log.warn(
            "split-as-class",
            f"the folder {quoted(name)} of {quoted(root)} is taken for a class like {listed(beside, 2)} beside it, "
            "though it has the name of a split; if it is one, move it elsewhere",
        )


def has_classes(folder: str) -> bool:
    """Whether a folder has subfolders with pictures."""
    return any(holds_picture(path) for path in listing(folder)[0].values() if wanted(path))


def _say_beside(root: str, folders: dict[str, str], log: Log) -> None:
    """Warn of what lies beside splits."""
    counts = {name: len(found_in(path).pictures) for name, path in folders.items()}
    if single := loose(root)[0]:
        counts["."] = len(single)
    if counts:
        log.warn(
            "folders-left-out",
            f"{counted(sum(counts.values()), 'picture', 'pictures')} in {quoted(root)} beside its splits left out: "
            + ", ".join(f"{quoted(name)} {count:,}" for name, count in list(counts.items())[:5]),
        )


def check_inner(folder: str, classes: dict[str, Found], log: Log) -> None:
    """Folders of the same names within several classes: splits below classes are refused, other names said.

    The classes may be those folders, and the upper ones domains.
    """
    for one, two in combinations([name for name, found in classes.items() if found.inner], 2):
        common = sorted(classes[one].inner & classes[two].inner)
        if len({SPLIT_ROLES[name.lower()] for name in common if name.lower() in SPLIT_ROLES}) > 1:
            raise RequestError(
                f"{quoted(one)} and {quoted(two)} of {quoted(folder)} hold the splits {listed(common)} each",
                f"put the split above the class, as {folder}/{common[0]}/{one}",
            )
        if common:
            log.warn(
                "classes-in-classes",
                f"the classes {quoted(one)} and {quoted(two)} of {quoted(folder)} hold folders of the same names "
                f"({listed(common)}): if those are the classes, name one of the upper folders, as {folder}/{one}",
            )
            return
