"""Layouts of image folders: what is a split, what a class, what neither; whatever is left out is counted and said."""

import json
import os
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.data.task import build_task
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture
from tests.helpers.program import SMALL, checkpoint, inside

PETS = {"cat": 3, "dog": 2}


def opened(text: object, log: Log | None = None) -> ImageSet:
    return open_images(parse(str(text)), log or Log())


def refusal(text: object, *, labelled: bool = True) -> str:
    with pytest.raises(RequestError) as error:
        open_images(parse(str(text)), Log(), labelled=labelled)
    return f"{error.value.problem} | {error.value.fix}"


def flat(root: Path, count: int = 3) -> Path:
    root.mkdir(parents=True)
    for i in range(count):
        picture(90 + i).save(root / f"{i}.png")
    return root


def said(log: Log) -> dict[str, str]:
    return {entry["code"]: entry["text"] for entry in log.warnings}


def splits(root: Path) -> list[str]:
    return sorted(tuple(open_source(parse(str(root)), Log()).splits))


# Splits


@pytest.mark.parametrize(
    "names", [("Train", "EVAL"), ("training", "Testing"), ("train", "evaluation"), ("dev", "test")]
)
def test_every_name_of_a_split_counts_in_any_case(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        folder(tmp_path / name, PETS)
    assert splits(tmp_path) == sorted(names)
    assert opened(f"{tmp_path}?split={names[0]}").classes == ("cat", "dog")
    assert "split=" in refusal(tmp_path)


@pytest.mark.parametrize(("name", "role"), [("eval", "id_test"), ("Evaluation", "id_test"), ("Valid", "id_val")])
def test_a_split_plays_its_role(tmp_path: Path, name: str, role: str) -> None:
    folder(tmp_path / "train", {"a": 20, "b": 20})
    folder(tmp_path / name, {"a": 2, "b": 2}, first=100)
    task = build_task(train=str(tmp_path), id_val=None, id_test=None, ood=[], split_seed=0, damaged="stop", log=Log())
    assert getattr(task, role).ids[0] == f"{name}/a/0.png"


def test_two_splits_of_one_role_are_not_chosen_between(tmp_path: Path) -> None:
    for i, name in enumerate(("train", "test", "eval")):
        folder(tmp_path / name, {"a": 20, "b": 20}, first=100 * i)
    given = {"id_val": None, "ood": [], "split_seed": 0, "damaged": "stop", "log": Log()}
    with pytest.raises(RequestError, match="eval and test play one role"):
        build_task(train=str(tmp_path), id_test=None, **given)  # type: ignore[arg-type]
    task = build_task(train=str(tmp_path), id_test=f"{tmp_path}?split=eval", **given)  # type: ignore[arg-type]
    assert task.id_test is not None and len(task.id_test) == 40


@pytest.mark.parametrize("other", ["testing", "val", "Evaluation"])
def test_a_split_without_class_folders_is_no_class(tmp_path: Path, other: str) -> None:
    folder(tmp_path / "train", PETS)
    flat(tmp_path / other)
    assert splits(tmp_path) == sorted(["train", other])
    assert opened(f"{tmp_path}?split=train").classes == ("cat", "dog")
    assert "no class folders" in refusal(f"{tmp_path}?split={other}")
    assert len(open_images(parse(f"{tmp_path}?split={other}"), Log(), labelled=False)) == 3


@pytest.mark.parametrize("listing", ["labels.csv", "labels.tsv", "images.jsonl"])
def test_splits_whose_labels_stand_in_a_file_are_refused_with_what_to_type(tmp_path: Path, listing: str) -> None:
    for name in ("train", "dev"):
        (flat(tmp_path / "set" / name) / listing).write_text("file_name,label\n0.png,a\n")
    message = refusal(tmp_path / "set")
    assert "no class folders" in message and f"name the table itself: {tmp_path}/set/dev/{listing}" in message


def test_what_lies_beside_splits_is_left_out_and_said(tmp_path: Path) -> None:
    for name in ("train", "val"):
        folder(tmp_path / name, PETS)
    flat(tmp_path / "unlabeled", 4)
    log = Log()
    assert opened(f"{tmp_path}?split=val", log).classes == ("cat", "dog")
    assert "4 images" in said(log)["folders-left-out"] and '"unlabeled" 4' in said(log)["folders-left-out"]


@pytest.mark.parametrize(
    "names", [("train2017", "val2017"), ("training_set", "test_set"), ("seg_train", "seg_test"), ("trainset", "devset")]
)
@pytest.mark.parametrize("deep", [False, True])
def test_splits_under_other_names_are_refused(tmp_path: Path, names: tuple[str, str], deep: bool) -> None:
    for name in names:
        folder(tmp_path / name, PETS) if deep else flat(tmp_path / name)
    message = refusal(tmp_path)
    assert f'"{sorted(names)[0]}"' in message and "look like splits" in message
    assert not deep or len(opened(tmp_path / names[0])) == 5


def test_words_within_names_of_classes_are_no_splits(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", {"train station": 1, "test tube": 1, "contest": 1, "valley": 1, "device": 1, "b": 1})
    log = Log()
    assert list(opened(root, log).classes) == ImageFolder(str(root)).classes and log.warnings == []


def test_one_split_beside_what_may_be_classes_is_refused(tmp_path: Path) -> None:
    folder(tmp_path / "train", PETS)
    flat(tmp_path / "holdout")
    message = refusal(tmp_path)
    assert '"train"' in message and '"holdout"' in message and f"name {tmp_path}/train for the split" in message


def test_a_flat_folder_called_test_among_classes_is_said(tmp_path: Path) -> None:
    root, log = folder(tmp_path / "x", {"cat": 1, "dog": 1, "Test": 1}), Log()
    assert opened(root, log).classes == ("Test", "cat", "dog")
    assert '"Test"' in said(log)["split-as-class"]
    log = Log()
    opened(folder(tmp_path / "vehicles", {"bus": 1, "train": 1}), log)
    assert log.warnings == []


def test_classes_called_as_splits_lie_in_a_split(tmp_path: Path) -> None:
    folder(tmp_path / "train", {"test": 2, "train": 1})
    assert opened(tmp_path).classes == ("test", "train")


@pytest.mark.parametrize("upper", [("photo", "sketch"), ("part1", "part2")])
def test_folders_of_one_name_in_several_classes_are_said(tmp_path: Path, upper: tuple[str, str]) -> None:
    for name in upper:
        folder(tmp_path / name, PETS)
    log = Log()
    assert opened(tmp_path, log).classes == upper
    assert '"cat", "dog"' in said(log)["classes-in-classes"]


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val", "good")])
def test_splits_below_classes_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in ("bottle", "cable"):
        folder(tmp_path / name, dict.fromkeys(names, 2))
    message = refusal(tmp_path)
    assert "put the split above the class" in message and '"bottle" and "cable"' in message
    assert len(open_images(parse(str(tmp_path)), Log(), labelled=False)) == 4 * len(names)


# What is no class


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "lost+found"])
def test_folders_of_systems_are_no_classes_and_their_pictures_no_examples(tmp_path: Path, name: str) -> None:
    root, log = folder(tmp_path / "x", {**PETS, name: 1, f"dog/{name}/0": 2}), Log()
    images = opened(root, log)
    assert images.classes == ("cat", "dog") and len(images) == 5
    assert f'"{name}"' in said(log)["folders-left-out"]


def test_folders_without_pictures_are_no_classes(tmp_path: Path) -> None:
    root, log = folder(tmp_path / "x", {**PETS, "ant": 0, "eel/deep/er": 0, "text": 0}), Log()
    (root / "text" / "notes.txt").write_text("words")
    assert opened(root, log).classes == ("cat", "dog")
    assert (
        said(log)["folders-left-out"].startswith("3 folders")
        and '"ant", "eel", "text"' in said(log)["folders-left-out"]
    )


def test_a_class_of_one_split_is_a_class_of_another_without_examples(tmp_path: Path) -> None:
    folder(tmp_path / "train", {"ant": 1, "bee": 1, "cat": 1})
    folder(tmp_path / "val", {"ant": 1, "bee": 0, "cat": 1, "none": 0}, first=50)
    images = opened(f"{tmp_path}?split=val")
    assert images.classes == ("ant", "bee", "cat") and images.labels.tolist() == [0, 2]
    assert len(opened(f"{tmp_path}?split=train%2Bval")) == 5


def test_runs_of_the_command_itself_are_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, model = folder(tmp_path / "set", {"cat": 12, "dog": 12}), checkpoint(tmp_path / "model")
    monkeypatch.chdir(root)
    for out in ([], ["--out", "second"]):
        assert inside("probe", "--checkpoint", model, "--train", ".", *SMALL, *out).returncode == 0
        for place in (root / "runs", *(root / "runs").iterdir(), root / "second"):  # figures that a run may have drawn
            if place.is_dir():
                picture(99).save(place / "plot.png")
    done = inside("data", ".", "--json")
    assert done.report["classes"] == {"cat": 12, "dog": 12} and '"runs"' in done.stderr
    (root / "cat" / "report.json").write_text('{"schema": "of somebody else"}')
    assert inside("data", ".", "--json").report["classes"] == {"cat": 12, "dog": 12}


# Files


def test_files_are_told_by_their_content_where_the_ending_does_not_say(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", {"a": 2, "b": 1})
    contents = {
        "p.jpe": "JPEG", "q.jfif": "JPEG", "r.gif": "GIF", "s": "PNG", "t.bin": "BMP", "u.0": "TIFF", "v.part": "WEBP",
        "w.jpg_large": "JPEG", "x.pbm": "PPM",
    }  # fmt: skip
    for i, (name, format) in enumerate(contents.items()):
        (root / "a" / name).write_bytes(encoded(picture(50 + i), format))
    log = Log()
    images = opened(root, log)
    assert images.ids == ["a/0.png", "a/1.png", *(f"a/{name}" for name in contents), "b/0.png"] and log.warnings == []


@pytest.mark.parametrize("labelled", [True, False])
def test_files_that_are_no_pictures_are_counted(tmp_path: Path, labelled: bool) -> None:
    root = folder(tmp_path / "x", {"a": 2, "b": 1})
    for name in ("a/1.txt", "a/2.txt", "b/3.TXT", "a/cat.heic", "b/noname", "b/drawing.svg", "list.csv"):
        (root / name).write_text("<svg/> no picture")
    (root / "a" / "empty.dat").touch()
    os.mkfifo(root / "a" / "pipe")
    log = Log()
    assert len(open_images(parse(str(root)), log, labelled=labelled)) == 3
    text = said(log)["files-left-out"]
    assert text.startswith("9 files") and ".txt 3, no ending 2, .csv 1, .dat 1, .heic 1, .svg 1" in text


def test_a_folder_of_other_files_alone_is_refused_with_their_count(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", {"a": 0, "b": 0})
    for i in range(3):
        (root / "ab"[i % 2] / f"{i}.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert "has no rows" in refusal(root) and ".heic 3" in refusal(root) and "JPEG" in refusal(root)


def test_pictures_beside_the_class_folders_are_counted(tmp_path: Path) -> None:
    root, log = folder(tmp_path / "x", PETS), Log()
    picture(9).save(root / "overview.png")
    assert len(opened(root, log)) == 5
    assert '"overview.png"' in said(log)["files-left-out"] and said(log)["files-left-out"].startswith("1 image")


def test_a_damaged_picture_of_a_rare_ending_is_damaged_not_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", PETS)
    (root / "cat" / "z.jfif").write_bytes(b"\xff\xd8\xff\xe0 cut")
    assert "z.jfif" in refusal(root)


def test_a_warning_of_what_is_left_out_stands_in_the_report(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", {"cat": 12, "dog": 12, "old": 0})
    (root / "cat" / "a.avi").write_bytes(b"RIFF")
    out = tmp_path / "out"
    done = inside("probe", "--checkpoint", checkpoint(tmp_path / "m"), "--train", root, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    codes = [entry["code"] for entry in json.loads((out / "report.json").read_text())["warnings"]]
    assert {"files-left-out", "folders-left-out"} <= set(codes)
