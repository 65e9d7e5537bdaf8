"""Task: the sets of one run in their roles, all labelled by the task's classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ftcli.cache.cache import Cache
from ftcli.data.classes.alignment import align, warn_text_order
from ftcli.data.classes.labels import are_names, numbers
from ftcli.data.cuts.cut import check_can_be_cut, cut, cut_rows
from ftcli.data.examples import examples_of
from ftcli.data.images import ImageSet
from ftcli.data.overlap import shared, warn_repeated
from ftcli.data.preparation import NO_TRANSFORMS, Drafts, Transforms, Wanted, read_sets
from ftcli.data.roles import NEED_LABELS, OPTIONS, ROLES, open_sources
from ftcli.data.sources.image_list import open_arguments
from ftcli.data.sources.source import Source, open_source
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed

FEWEST_TO_PICK = 100  # by fewer, the standard error of an accuracy of one half is above 5 points


@dataclass(frozen=True)
class Task:
    """K classes and the sets of a run. ID-val selects; ID-test and OOD sets are only reported."""

    classes: tuple[str, ...]
    named: bool
    train: ImageSet | None
    id_val: ImageSet | None
    id_test: ImageSet | None
    ood: dict[str, ImageSet]
    retrain: ImageSet | None = None  # a half of ID-val that a head is fitted to; `id_val` is then the other

    def sets(self) -> dict[str, ImageSet]:
        """The reported sets in order: id_val, id_test, then the OOD sets by name."""
        identical = {"id_val": self.id_val, "id_test": self.id_test}
        return {name: data for name, data in identical.items() if data is not None} | self.ood

    def labelled_sets(self) -> dict[str, ImageSet]:
        """Those of the reported sets that have labels, and so have figures."""
        return {name: data for name, data in self.sets().items() if data.labelled}

    @property
    def labelled_ood(self) -> dict[str, ImageSet]:
        """The OOD sets that have labels."""
        return {name: data for name, data in self.ood.items() if data.labelled}

    def unlabelled_sets(self) -> dict[str, ImageSet]:
        """Those that are only predicted on."""
        return {name: data for name, data in self.sets().items() if not data.labelled}


def build_task(
    *,
    train: str | None,
    id_val: str | None,
    id_test: str | None,
    ood: Sequence[tuple[str, str]],
    split_seed: int,
    damaged: str,
    log: Log,
    classes: tuple[str, ...] | None = None,
    num_classes: int | None = None,
    cache: Cache | None = None,
    cut_by: str | None = None,
) -> Task:
    """`open_sets` and `read_task` in one."""
    opened = open_sets(
        train=train,
        id_val=id_val,
        id_test=id_test,
        ood=ood,
        log=log,
        classes=classes,
        num_classes=num_classes,
        cache=cache,
        cut_by=cut_by,
    )
    return read_task(opened, split_seed=split_seed, damaged=damaged, log=log, cache=cache)


@dataclass(frozen=True)
class OpenedSets:
    """The sets of a run by role or name, their examples chosen and labelled by the task's K classes, before any image
    is read.
    """

    classes: tuple[str, ...]
    named: bool
    sets: dict[str, ImageSet]

    @property
    def missing(self) -> list[str]:
        """The roles that are cut from train."""
        return [role for role in ROLES if role not in self.sets] if "train" in self.sets else []


def open_sets(
    *,
    train: str | None,
    id_val: str | None,
    id_test: str | None,
    ood: Sequence[tuple[str, str]],
    log: Log,
    classes: tuple[str, ...] | None = None,
    num_classes: int | None = None,
    cache: Cache | None = None,
    cut_by: str | None = None,
) -> OpenedSets:
    """Choose the examples of every set and align its classes by name; no image is read.

    The task's classes are those given (a checkpoint's names, or only their number), otherwise train's. A train set
    that is already split, and whose SPEC names no split, has the roles not given. cut_by: the column of train by whose
    groups the others are cut from it.

    Raises:
        RequestError: a set cannot be opened, no class matches, or nothing is cut and `cut_by` is given.
    """
    sources = open_sources({"train": train, "id_val": id_val, "id_test": id_test}, ood, log, cache)
    if cut_by and all(role in sources for role in ROLES):
        raise RequestError(
            f"--cut-by {cut_by}: nothing is cut, because {sources['train'].spec.text} has an ID-val and an ID-test set",
            "leave --cut-by out, or one of the sets; a training set with splits names one, as split=train",
        )
    chosen = {name: _examples_in_role(name, source, log, cut_by) for name, source in sources.items()}
    names, named = _classes(chosen.get("train"), classes, num_classes)
    if "train" in chosen and len(names) < 2:
        raise RequestError(
            f"{chosen['train'].spec} has one class, {listed(names)}: there is nothing to tell apart",
            "give a set of two classes at least; in a folder, one subfolder per class",
        )
    aligned = {name: align(images, names, named, name, log) for name, images in chosen.items()}
    if classes is None and num_classes is not None:
        warn_text_order({name: images for name, images in chosen.items() if images.labelled}, names, log)
    return OpenedSets(names, named, aligned)


def _examples_in_role(name: str, source: Source, log: Log, cut_by: str | None) -> ImageSet:
    """The examples of a set. Where its labels are what is wrong, and its role does without, the error says so."""
    spec = source.spec
    try:
        return examples_of(source, log, cut_by=cut_by if name == "train" else None)
    except RequestError as error:
        if name in NEED_LABELS or spec.unlabelled or spec.label or spec.classes or spec.per_class or spec.flip:
            raise
        bare = parse(spec.without_labels())
        try:
            examples_of(open_source(bare, Log(), labelled=False), Log())
        except RequestError:
            raise error from None
        raise RequestError(error.problem, f"{error.fix}; or predict on it without figures: {bare.text}") from error


def read_task(
    opened: OpenedSets,
    *,
    split_seed: int,
    damaged: str,
    log: Log,
    cache: Cache | None = None,
    transforms: Transforms = NO_TRANSFORMS,
) -> Task:
    """Read the images, each once, and cut from train what is missing, 10 % each, by `split_seed`: stratified, or by
    whole groups.

    Args:
        transforms: those of which the prepared pixels are put into the cache in the same pass.

    Raises:
        RequestError: images are damaged and `damaged` is "stop", or a set cut here shares an image with one given.
    """
    missing = opened.missing
    if missing:
        check_can_be_cut(opened.sets["train"], missing)
    wanted = _wanted(opened, split_seed, transforms)
    with Drafts(cache) as drafts:
        sets = read_sets(opened.sets, drafts, damaged=damaged, log=log, wanted=wanted)
        identical = {role: sets.pop(role) for role in ROLES if role in sets}
        given = set(identical)
        if "train" in given:
            identical |= cut(identical["train"], missing, split_seed, log)
            _warn_untrained(identical["train"], log)
        _check_overlap(identical, given, log)
        warn_repeated(identical, sets, log)
        outside = {name: _restricted(name, images, log) for name, images in sets.items()}
        for name, images in (identical | outside).items():
            for transform in transforms.of(name):
                drafts.keep(images, transform, log)
    return Task(opened.classes, opened.named, **{role: identical.get(role) for role in ROLES}, ood=outside)


def _wanted(opened: OpenedSets, seed: int, transforms: Transforms) -> dict[str, list[Wanted]]:
    """With which transforms the images of each set will be used. Where the cut of a set is not known before its images
    are read, it is expected to be the one of images that are all different.

    Raises RequestError for a set whose images cannot be shuffled by blocks as its SPEC says.
    """
    wanted = {}
    for name, images in opened.sets.items():
        rows_of = {name: np.arange(len(images))}
        if name == "train" and opened.missing and transforms != NO_TRANSFORMS:
            rows_of |= cut_rows(images, [i.to_bytes(8) for i in range(len(images))], opened.missing, seed)
        wanted[name] = [
            Wanted(images.rows[rows], transform.shuffled(images.shuffle))
            for role, rows in rows_of.items()
            for transform in transforms.of(role)
        ]
    return wanted


def _classes(train: ImageSet | None, given: tuple[str, ...] | None, count: int | None) -> tuple[tuple[str, ...], bool]:
    """The task's classes, and whether they are names: a model's, or only their number, else the training set's."""
    if given is not None:
        return given, are_names(given)
    if count is not None:
        return numbers(count), False
    if train is None:
        raise ValueError("a task without a train set needs the classes of its model")
    return train.classes, train.named


def without_labels(
    *arguments: str, damaged: str, log: Log, cache: Cache | None = None, transforms: Transforms = NO_TRANSFORMS
) -> ImageSet:
    """A set to predict on, named as `open_arguments` says: every label is -1."""
    images = {"images": examples_of(open_arguments(arguments, log, cache), log, labelled=False)}
    return read_labelless(images, damaged=damaged, log=log, cache=cache, transforms=transforms)["images"]


def read_labelless(
    sets: dict[str, ImageSet], *, damaged: str, log: Log, cache: Cache | None, transforms: Transforms = NO_TRANSFORMS
) -> dict[str, ImageSet]:
    """The sets with their images read, each once; their pixels are put into the cache as by `read_task`."""
    wanted = {name: [Wanted(images.rows, of) for of in transforms.others] for name, images in sets.items()}
    with Drafts(cache) as drafts:
        read = read_sets(sets, drafts, damaged=damaged, log=log, wanted=wanted)
        for images in read.values():
            for transform in transforms.others:
                drafts.keep(images, transform, log)
    return read


def labels_optional(text: str, log: Log, cache: Cache | None = None) -> ImageSet:
    """A set of which the images alone count, none of them read yet. Labels are read where it has them, so that
    limit= and per-class= choose the very examples that they choose everywhere else.
    """
    spec = parse(text)
    try:
        return examples_of(open_source(spec, log, cache=cache), log)
    except RequestError:
        return examples_of(open_source(spec, log, labelled=False, cache=cache), log, labelled=False)


def _restricted(name: str, images: ImageSet, log: Log) -> ImageSet:
    """An aligned OOD set; where it covers a part of the classes it says which, and predictions keep to those. Which
    classes a set without labels covers is not known.
    """
    if not images.labelled:
        return images
    covered = tuple(np.unique(images.labels).tolist())
    if len(covered) == len(images.classes):
        return images
    absent = [images.classes[label] for label in range(len(images.classes)) if label not in covered]
    certain = "; with one class left, its accuracy is 100 % by construction" if len(covered) == 1 else ""
    log.warn(
        "classes-restricted",
        f'"{name}" covers {len(covered)} of {len(images.classes)} classes (without {listed(absent)}): predictions on '
        f"it are restricted to those, accuracy_all_classes in the report is not{certain}",
    )
    return replace(images, restrict=covered)


def warn_few_to_pick(task: Task, log: Log) -> None:
    """Warn where ID-val is too small to tell one candidate from another, or lacks classes that are trained."""
    if task.id_val is not None and len(task.id_val) < FEWEST_TO_PICK:
        warn_of_few(len(task.id_val), "ID-val", log)
    if task.train is not None and task.id_val is not None:
        absent = [task.classes[label] for label in np.setdiff1d(task.train.labels, task.id_val.labels)]
        if absent:
            log.warn(
                "classes-not-picked-on",
                f"ID-val has no example of {listed(absent)}: what is picked on it may be wrong on all of them",
            )


def warn_of_few(n: int, name: str, log: Log) -> None:
    """Warn that the n examples that pick are few."""
    log.warn(
        "few-to-pick",
        f"{name} has {counted(n, 'example', 'examples')}: the standard error of an accuracy on it is up to "
        f"{100 * (0.25 / n) ** 0.5:.1f} points, and a pick among candidates that lie closer is chance; give a "
        "larger set with --id-val",
    )


def _warn_untrained(train: ImageSet, log: Log) -> None:
    counts = np.bincount(train.labels, minlength=len(train.classes))
    if empty := [name for name, count in zip(train.classes, counts, strict=True) if not count]:
        first = "; labels that are whole numbers are read as 0, 1, …" if empty == ["0"] and not train.named else ""
        log.warn(
            "classes-untrained",
            f"no training example of {listed(empty)}: a head that is fitted to it never predicts them{first}",
        )


def _check_overlap(sets: dict[str, ImageSet], given: set[str], log: Log) -> None:
    """An image in two ID sets makes the figures better than they are: refused for sets cut here, else a warning."""
    for first, second in combinations([role for role in ROLES if role in sets], 2):
        pairs = shared(sets[first], sets[second])
        if not pairs:
            continue
        text = f'{len(pairs)} images of {first} are in {second} too, the first "{pairs[0][0]}" and "{pairs[0][1]}"'
        if {first, second} <= given:
            log.warn("overlap", text)
            continue
        cut = first if first not in given else second
        raise RequestError(
            f"{text}; {cut} was cut from {sets['train'].spec}",
            f"remove the shared images from one of the sets, or give {OPTIONS[cut]} as well",
        )
