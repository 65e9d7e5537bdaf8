"""Pictures that two sets of a run share, copies within one, and an ID-val too small to pick by: what is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftcli.data.overlap import warn_repeated
from ftcli.data.task import FEWEST_TO_PICK, warn_few_to_pick
from ftcli.log import Log
from tests.helpers.pictures import folder, picture
from tests.helpers.program import SMALL, checkpoint, inside
from tests.unit.test_task import built, codes, table

PETS = ("ant", "bee", "cat")


def some(path: Path, count: int, first: int) -> Path:
    return table(path, [PETS[i % 3] for i in range(count)], PETS, first)


def said(log: Log, code: str = "overlap") -> list[str]:
    return [entry["text"] for entry in log.warnings if entry["code"] == code]


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Any]:
    """120 pictures of train, 102 of ID-val, 30 of ID-test, none of them in two."""
    sizes = {"train": (120, 0), "id_val": (102, 1000), "id_test": (30, 2000)}
    return {role: some(tmp_path / f"{role}.parquet", *of) for role, of in sizes.items()}


# ---- pairs


@pytest.mark.parametrize(
    ("first", "count", "other", "means"),
    [
        (100, 9, "train", "trained on"), (119, 3, "train", "trained on"), (1001, 30, "id_val", "selection"),
        (2006, 24, "id_test", "say nothing about a shift"),
    ],
)  # fmt: skip
def test_an_ood_set_that_shares_pictures(
    tmp_path: Path, sets: dict[str, Any], first: int, count: int, other: str, means: str
) -> None:
    sizes = {"train": (0, 120), "id_val": (1000, 102), "id_test": (2000, 30)}
    start, size = sizes[other]
    both = len(set(range(first, first + count)) & set(range(start, start + size)))
    log = Log()
    built(
        log,
        **sets,
        ood={"far": some(tmp_path / "far.parquet", count, first), "own": some(tmp_path / "o.parquet", 9, 5000)},
    )
    (text,) = said(log)
    assert f'{both} of {count} images of "far" (OOD) are in {other} too' in text and means in text
    assert codes(log) == {"overlap"}


def test_every_pair_of_sets_is_said(tmp_path: Path, sets: dict[str, Any]) -> None:
    one, two = (some(tmp_path / f"{i}.parquet", 30, first) for i, first in enumerate((2000, 2015)))
    log = Log()
    built(log, **sets, ood={"one": one, "two": two, "train again": sets["train"]})
    found = {(text.split('"')[1], text.partition(" are in ")[2].partition(" too")[0]) for text in said(log)}
    assert found == {("one", "id_test"), ("two", "id_test"), ("two", "one"), ("train again", "train")}
    assert any("15 of 30" in text and "mean over OOD sets" in text for text in said(log))


def test_without_a_training_set(tmp_path: Path, sets: dict[str, Any]) -> None:
    log = Log()
    built(log, id_test=sets["id_test"], ood={"a": sets["id_test"], "b": sets["id_test"]}, classes=PETS)
    assert len(said(log)) == 3


def test_sets_cut_here_are_held_against_ood_sets_too(tmp_path: Path) -> None:
    train = some(tmp_path / "train.parquet", 60, 0)
    log = Log()
    built(log, train=train, ood={"all": train})
    assert [text.partition(" are in ")[2].split()[0] for text in said(log)] == ["train", "id_val", "id_test"]


# ---- shifts


@pytest.mark.parametrize("change", ["shift=fog:3", "shift=pixelate:5", "shuffle=1:4", "labels=flip"])
def test_a_shift_of_id_test_is_no_overlap_and_a_shift_of_train_is(sets: dict[str, Any], change: str) -> None:
    log = Log()
    built(log, **sets, ood={"far": f"{sets['id_test']}?{change}"})
    assert log.warnings == []
    built(log, **sets, ood={"far": f"{sets['train']}?limit=30:1&{change}", "val": f"{sets['id_val']}?{change}"})
    assert [text.partition(" are in ")[2].split()[0] for text in said(log)] == ["train", "id_val"]


def test_severities_of_one_set_are_no_overlap_and_the_same_one_twice_is(sets: dict[str, Any]) -> None:
    shifts = {f"fog {i}": f"{sets['id_test']}?shift=fog:{i}" for i in range(1, 6)}
    log = Log()
    built(log, **sets, ood={**shifts, "snow": f"{sets['id_test']}?shift=snow:1"})
    assert log.warnings == []
    built(log, **sets, ood={**shifts, "again": f"{sets['id_test']}?shift=fog:4"})
    (text,) = said(log)
    assert '30 of 30 images of "again" (OOD) are in fog 4 too' in text


def test_many_sets_cost_no_time_for_each_other(tmp_path: Path, sets: dict[str, Any]) -> None:
    """What is looked at grows with the pictures: a set is asked for them twice or thrice, not once per other set."""
    task = built(**sets)
    assert task.id_test is not None
    asked = 0

    class Counting:
        shift = shuffle = None
        relabelled = False
        labelled = False

        def __init__(self, own: int) -> None:
            self.own = own

        def __len__(self) -> int:
            return 2

        @property
        def pixel_digests(self) -> list[bytes]:
            nonlocal asked
            asked += 1
            return [f"{self.own} {i}".encode() for i in range(2)]

    log = Log()
    warn_repeated({"train": task.id_test}, {str(i): Counting(i) for i in range(500)}, log)  # type: ignore[misc]
    assert log.warnings == [] and asked <= 5 * 500


# ---- copies in another format, and under another label


@pytest.mark.parametrize(("format", "ending"), [("BMP", "bmp"), ("TIFF", "tiff"), ("WEBP", "webp")])
def test_a_copy_in_another_lossless_format_is_the_same_picture(
    tmp_path: Path, sets: dict[str, Any], format: str, ending: str
) -> None:
    for name in PETS:
        (tmp_path / "far" / name).mkdir(parents=True)
    more = {"lossless": True} if format == "WEBP" else {}
    for i in range(30):  # 20 of train's, 10 new ones
        picture(i if i < 20 else 9000 + i).save(tmp_path / "far" / PETS[i % 3] / f"{i}.{ending}", format, **more)
    log = Log()
    built(log, **sets, ood={"far": tmp_path / "far"})
    (text,) = said(log)
    assert '20 of 30 images of "far" (OOD) are in train too' in text


@pytest.mark.parametrize("role", ["train", "id_test"])
def test_one_picture_under_two_classes_is_said(tmp_path: Path, sets: dict[str, Any], role: str) -> None:
    root, first = folder(tmp_path / "set", {"ant": 40, "bee": 40, "cat": 40}, first=3000), 3000
    for i in range(7):
        picture(first + i).save(root / "cat" / f"again{i}.bmp")
    log = Log()
    built(log, **{**sets, role: root})
    (text,) = said(log, "two-classes")
    assert text.startswith(f"{role}: 7 of 127 examples") and '"ant/0.png" ("ant")' in text and '("cat")' in text
    log = Log()
    built(log, **{**sets, role: folder(tmp_path / "clean", {"ant": 40, "bee": 40, "cat": 40}, first=3000)})
    assert said(log, "two-classes") == []


@pytest.mark.parametrize("lacks", [("bee",), ("ant", "cat")])
def test_an_id_val_without_some_classes_is_said(tmp_path: Path, sets: dict[str, Any], lacks: tuple[str, ...]) -> None:
    held = {name: 120 // (3 - len(lacks)) for name in PETS if name not in lacks}
    for val, said_of in ((folder(tmp_path / "val", held, first=4000), lacks), (sets["id_val"], ())):
        log = Log()
        warn_few_to_pick(built(Log(), **{**sets, "id_val": val}), log)
        texts = said(log, "classes-not-picked-on")
        assert len(texts) == bool(said_of) and all(f'"{name}"' in texts[0] for name in said_of)


# ---- commands


def test_measures_without_labels_say_it_too(tmp_path: Path, sets: dict[str, Any]) -> None:
    a, b = (checkpoint(tmp_path / name, classes=3) for name in "ab")
    words = ["distortion", a, b, "--id-test", sets["id_test"], "--ood", f"far={sets['id_test']}", *SMALL[:4], "--json"]
    found = inside(*words, "--out", tmp_path / "o").report["warnings"]
    assert ["far" in one["text"] and "id_test" in one["text"] for one in found if one["code"] == "overlap"] == [True]


# ---- copies


@pytest.mark.parametrize(
    ("copies", "pictures", "wider"),
    [(151, 1, 12.3), (4, 10, 2.0), (2, 3, 1.4)],  # of m copies of each: sqrt(m)
)
def test_a_set_of_copies(tmp_path: Path, sets: dict[str, Any], copies: int, pictures: int, wider: float) -> None:
    for i in range(pictures):
        (tmp_path / "set" / PETS[i % 3]).mkdir(parents=True, exist_ok=True)
        for j in range(copies):
            picture(9000 + i).save(tmp_path / "set" / PETS[i % 3] / f"{i}-{j}.png")
    for role in ("id_test", "id_val"):
        log = Log()
        built(log, **{**sets, role: tmp_path / "set"})
        (text,) = said(log, "copies")
        assert role in text and f"{copies * pictures} examples are {pictures} different" in text
        assert f"about {wider:.1f} times" in text and f"{copies} times" in text


def test_a_few_copies_are_not_worth_a_warning(tmp_path: Path, sets: dict[str, Any]) -> None:
    """One picture in twenty twice: intervals are 5 % too narrow."""
    many = folder(tmp_path / "set", dict.fromkeys(PETS, 20), first=9000)
    for i, name in enumerate(PETS):
        picture(9000 + 20 * i).save(many / name / "again.png")
    log = Log()
    built(log, **{**sets, "id_test": many})
    assert log.warnings == []


# ---- an ID-val too small to pick by


@pytest.mark.parametrize(("size", "points"), [(5, "22.4"), (24, "10.2"), (99, "5.0")])
def test_an_id_val_that_is_too_small(tmp_path: Path, sets: dict[str, Any], size: int, points: str) -> None:
    assert float(points) == pytest.approx(100 * np.sqrt(0.25 / size), abs=0.05)
    words = ["--train", sets["train"], "--id-test", sets["id_test"], "--checkpoint", checkpoint(tmp_path / "c"), *SMALL]
    few = some(tmp_path / "few.parquet", size, 7000)
    done = inside("finetune", *words, "--id-val", few, "--dry-run")
    assert done.returncode == 0 and f"ID-val has {size} examples" in done.stderr and f"{points} points" in done.stderr
    done = inside("finetune", *words, "--id-val", some(tmp_path / "e.parquet", FEWEST_TO_PICK, 8000), "--dry-run")
    assert done.returncode == 0 and "ID-val has" not in done.stderr


def test_what_selects_nothing_does_not_speak_of_it_and_interpolate_does(tmp_path: Path, sets: dict[str, Any]) -> None:
    a, b = (checkpoint(tmp_path / name, classes=3) for name in "ab")
    few = some(tmp_path / "few.parquet", 12, 7000)
    sizes = [*SMALL[:4], "--out"]
    assert "ID-val has" not in inside("evaluate", a, "--id-val", few, *sizes, tmp_path / "e").stderr
    done = inside("interpolate", a, b, "--id-val", few, "--points", 2, *sizes, tmp_path / "i")
    assert "ID-val has 12 examples" in done.stderr and "14.4 points" in done.stderr


@pytest.mark.parametrize("command", ["lpft", "finetune", "probe"])
def test_the_demo_is_not_warned_of(command: str) -> None:
    done = inside(command, "--preset", "digits", "--dry-run")
    assert done.returncode == 0 and "warning" not in done.stderr
