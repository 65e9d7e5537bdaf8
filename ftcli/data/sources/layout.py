"""Layout of an image folder: whether its subfolders are splits or classes. What could be either is refused."""

import re
from itertools import combinations

from ftcli.data.rows import SPLIT_ROLES
from ftcli.data.sources.image_files import Contents, contents_of, files_in, holds_image
from ftcli.data.sources.walk import list_folder, may_hold_data
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed, quoted

# A word for a split within a longer name: training_set, seg_test, val2017, test-images.
SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_ROLES)})(?:set|data|split|images?|imgs?)?(?![a-z])")
SPLIT_AND_CLASS = "train"  # the name of a class, too, of CIFAR-100, ImageNet and COCO, among others


def splits_in(root: str, log: Log) -> dict[str, str]:
    """The subfolders that are splits, name -> path; none where the subfolders are classes.

    Subfolders with names of splits are splits where they have two roles at least, or where nothing else holds images;
    then all other folders are left out, with a warning.

    Raises:
        RequestError: one looks like a split and others like classes, or several like splits under other names.
    """
    folders = {name: path for name, path in list_folder(root)[0].items() if may_hold_data(path)}
    roles = {name: role for name in folders if (role := _role_within(name))}
    folders = {name: path for name, path in folders.items() if holds_image(path)} if roles else {}
    roles = {name: role for name, role in roles.items() if name in folders}
    splits = {name: path for name, path in folders.items() if name.lower() in SPLIT_ROLES}
    others = {name: path for name, path in folders.items() if name not in splits}
    if len({roles[name] for name in splits}) > 1 or (splits and not others):
        _warn_left_out(root, others, log)
        return splits
    if len(set(roles.values())) > 1 and 2 * len(roles) >= len(folders):
        first, second = next(pair for pair in combinations(roles, 2) if roles[pair[0]] != roles[pair[1]])
        raise RequestError(
            f"the folders {quoted(first)} and {quoted(second)} of {quoted(root)} look like splits, but splits are "
            "called train, validation and test",
            f"rename them so, or name each by itself, as {root}/{first}; where they are classes, put all of them into "
            "a folder train",
        )
    for name in splits:
        _check_class(root, name, list(others), log)
    return {}


def _role_within(name: str) -> str | None:
    """The role of a split whose word is in a name."""
    word = SPLIT_WORD.search(name.lower())
    return SPLIT_ROLES[word[1]] if word else None


def _check_class(root: str, name: str, others: list[str], log: Log) -> None:
    """A folder with the name of a split, beside others with images: a class only where it looks like one."""
    folder = f"{root}/{name}"
    if has_classes(folder):
        raise RequestError(
            f"the folder {quoted(root)} has {quoted(name)}, which holds folders as a split does, beside "
            f"{listed(others)}, which may be classes or splits",
            f"name {folder} for the split; if {name} is a class, put its images into {folder} itself",
        )
    if name != SPLIT_AND_CLASS:
        log.warn(
            "split-as-class",
            f"the folder {quoted(name)} of {quoted(root)} is taken for a class like {listed(others, 2)} beside it, "
            "though it has the name of a split; if it is one, move it elsewhere",
        )


def has_classes(folder: str) -> bool:
    """Whether a folder has subfolders with images."""
    return any(holds_image(path) for path in list_folder(folder)[0].values() if may_hold_data(path))


def _warn_left_out(root: str, others: dict[str, str], log: Log) -> None:
    """Warn of images beside splits: in other folders, and in the root itself."""
    counts = {name: len(contents_of(path).images) for name, path in others.items()}
    if in_root := files_in(root)[0]:
        counts["."] = len(in_root)
    if counts:
        log.warn(
            "folders-left-out",
            f"{counted(sum(counts.values()), 'image', 'images')} in {quoted(root)} beside its splits left out: "
            + ", ".join(f"{quoted(name)} {count:,}" for name, count in list(counts.items())[:5]),
        )


def check_subfolders(folder: str, classes: dict[str, Contents], log: Log) -> None:
    """Subfolders of the same names within several classes: splits are refused, and other names give a warning, since
    they may be the classes, and the upper folders domains.
    """
    for first, second in combinations([name for name, contents in classes.items() if contents.subfolders], 2):
        common = sorted(classes[first].subfolders & classes[second].subfolders)
        if len({SPLIT_ROLES[name.lower()] for name in common if name.lower() in SPLIT_ROLES}) > 1:
            raise RequestError(
                f"{quoted(first)} and {quoted(second)} of {quoted(folder)} hold the splits {listed(common)} each",
                f"put the split above the class, as {folder}/{common[0]}/{first}",
            )
        if common:
            log.warn(
                "classes-in-classes",
                f"the classes {quoted(first)} and {quoted(second)} of {quoted(folder)} hold folders of the same names "
                f"({listed(common)}): if those are the classes, name one of the upper folders, as {folder}/{first}",
            )
            return
