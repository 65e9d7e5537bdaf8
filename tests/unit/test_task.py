"""Task: alignment by name, roles, cuts and overlap, as a run sees them."""

import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ftcli.data.images import ImageSet
from ftcli.data.task import Task, build_task, without_labels
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture

PETS = ("ant", "bee", "cat")


def table(path: Path, names: Sequence[str], order: Sequence[str] | None = None, first: int = 0) -> Path:
    """A parquet file of one picture per name; `order` gives the classes their numbers, otherwise labels are text."""
    cells = [{"bytes": encoded(picture(first + i)), "path": None} for i in range(len(names))]
    image = pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    if order is None:
        pq.write_table(pa.table({"image": image, "label": list(names)}), path)
        return path
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(order)))
    found = pa.table({"image": image, "label": [order.index(name) for name in names]})
    metadata = {"huggingface": json.dumps({"info": {"features": features.to_dict()}})}
    pq.write_table(found.replace_schema_metadata(metadata), path)
    return path


def numbered(path: Path, labels: Sequence[int], first: int = 0) -> Path:
    cells = [encoded(picture(first + i)) for i in range(len(labels))]
    pq.write_table(pa.table({"image": cells, "label": list(labels)}), path)
    return path


def codes(log: Log) -> set[str]:
    return {entry["code"] for entry in log.warnings}


def built(log: Log | None = None, ood: dict[str, object] | None = None, **options: object) -> Task:
    roles = {role: str(options.pop(role)) if role in options else None for role in ("train", "id_val", "id_test")}
    pairs = [(name, str(spec)) for name, spec in (ood or {}).items()]
    settings = {"split_seed": 0, "damaged": "stop", **options}
    return build_task(**roles, ood=pairs, log=log or Log(), **settings)  # type: ignore[arg-type]


def refusal(**options: object) -> str:
    with pytest.raises(RequestError) as error:
        built(**options)  # type: ignore[arg-type]
    return f"{error.value.problem} | {error.value.fix}"


def names(task: Task, data: ImageSet) -> list[str]:
    return [task.classes[label] for label in data.labels]


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return table(tmp_path / "train.parquet", [PETS[i % 3] for i in range(60)], PETS)


# Classes


def test_classes_are_matched_by_name_never_by_number(tmp_path: Path, train: Path) -> None:
    wanted = ["cat", "ant", "bee", "ant"]
    log = Log()
    task = built(
        log,
        train=train,
        ood={
            "permuted": table(tmp_path / "p.parquet", wanted, ("cat", "bee", "ant"), 100),
            "text": table(tmp_path / "t.parquet", wanted, None, 100),
            "same": table(tmp_path / "s.parquet", wanted, PETS, 100),
        },
    )
    assert task.classes == PETS and task.named
    for data in task.ood.values():
        assert names(task, data) == wanted and data.restrict is None
        assert data.fingerprint == task.ood["same"].fingerprint
    assert codes(log) == {"overlap"}  # the three sets are of the same pictures
    assert list(task.sets()) == ["id_val", "id_test", "permuted", "text", "same"]


def test_renumbered_train_classes_give_the_same_sets(tmp_path: Path, train: Path) -> None:
    other = table(tmp_path / "other.parquet", [PETS[i % 3] for i in range(60)], ("bee", "cat", "ant"))
    one, two = built(train=train), built(train=other)
    for role in ("train", "id_val", "id_test"):
        assert getattr(one, role).ids == getattr(two, role).ids
        assert getattr(one, role).fingerprint == getattr(two, role).fingerprint


def test_missing_and_extra_classes(tmp_path: Path, train: Path) -> None:
    log = Log()
    wanted = ["cat", "dog", "ant", "eel", "dog", "cat"]
    task = built(log, train=train, ood={"far": table(tmp_path / "f.parquet", wanted, None, 100)})
    data = task.ood["far"]
    assert names(task, data) == ["cat", "ant", "cat"] and data.ids == ["0", "2", "5"]
    assert data.dropped == 3 and data.restrict == (0, 2)
    assert [entry["code"] for entry in log.warnings] == ["classes-dropped", "classes-restricted"]
    assert '"dog", "eel"' in log.warnings[0]["text"] and "3 of 6" in log.warnings[0]["text"]


def test_restriction_counts_examples_not_names(tmp_path: Path, train: Path) -> None:
    """A class that the OOD set lists and never shows is not covered; ID sets are never restricted."""
    path = table(tmp_path / "f.parquet", ["cat", "cat"], PETS, 100)
    task = built(train=train, id_test=path, ood={"far": path})
    assert task.ood["far"].restrict == (2,)
    assert task.id_test is not None and task.id_test.restrict is None


def test_no_class_in_common(tmp_path: Path, train: Path) -> None:
    message = refusal(train=train, ood={"far": table(tmp_path / "f.parquet", ["dog", "eel"], None, 100)})
    assert '"dog", "eel"' in message and '"ant", "bee", "cat"' in message and "classes=MAP.json" in message


def test_case_and_spaces_are_pointed_at_not_matched(tmp_path: Path, train: Path) -> None:
    message = refusal(train=train, ood={"far": table(tmp_path / "f.parquet", ["Ant", "c at"], None, 100)})
    assert '"Ant" and "ant", "c at" and "cat"' in message
    log = Log()
    task = built(log, train=train, ood={"far": table(tmp_path / "f.parquet", ["Ant", "cat"], None, 100)})
    assert task.ood["far"].dropped == 1 and '"Ant" and "ant"' in log.warnings[0]["text"]


def test_class_maps(tmp_path: Path, train: Path) -> None:
    path = table(tmp_path / "f.parquet", ["kitten", "ant", "dog"], ("dog", "ant", "kitten"), 100)
    (tmp_path / "name.json").write_text('{"kitten": "cat", "dog": null}')
    (tmp_path / "position.json").write_text("[-1, 0, 2]")
    (tmp_path / "high.json").write_text("[-1, 0, 3]")
    maps = {name: f"{path}?classes={tmp_path}/{name}.json" for name in ("name", "position")}
    log = Log()
    task = built(log, train=train, ood=maps)
    for data in task.ood.values():
        assert names(task, data) == ["cat", "ant"] and data.dropped == 1
    assert codes(log) == {"classes-restricted", "overlap"}
    assert "position 3" in refusal(train=train, ood={"x": f"{path}?classes={tmp_path}/high.json"})


def test_sets_without_names(tmp_path: Path, train: Path) -> None:
    plain = numbered(tmp_path / "n.parquet", [i % 3 for i in range(30)])
    log = Log()
    task = built(log, train=plain, ood={"fewer": numbered(tmp_path / "f.parquet", [1, 0], 100)})
    assert not task.named and task.classes == ("0", "1", "2") and codes(log) == {"classes-restricted"}
    assert task.ood["fewer"].labels.tolist() == [1, 0] and task.ood["fewer"].restrict == (0, 1)
    task = built(log, train=train, ood={"n": numbered(tmp_path / "p.parquet", [2, 0], 100)})
    assert names(task, task.ood["n"]) == ["cat", "ant"]
    assert "classes-by-position" in codes(log)
    assert "as many" in refusal(train=train, ood={"n": numbered(tmp_path / "m.parquet", [3], 100)})


def test_numbers_as_names_are_the_numbers(tmp_path: Path) -> None:
    log = Log()
    task = built(log, train="digits:plain?per-class=4", ood={"n": numbered(tmp_path / "n.parquet", [7, 3])})
    assert (
        task.ood["n"].labels.tolist() == [7, 3]
        and task.ood["n"].restrict == (3, 7)
        and codes(log) == {"classes-restricted"}
    )


def test_classes_of_a_checkpoint(tmp_path: Path, train: Path) -> None:
    task = built(id_test=train, classes=("cat", "zebra", "ant"))
    assert task.train is None and task.id_val is None and list(task.sets()) == ["id_test"]
    assert task.id_test is not None and set(names(task, task.id_test)) == {"cat", "ant"} and task.id_test.dropped == 20
    log = Log()
    task = built(log, id_test=train, num_classes=3)
    assert not task.named and [entry["code"] for entry in log.warnings] == ["classes-by-position"]


# Roles


def test_cuts_are_stratified_partitions_of_train(train: Path) -> None:
    task = built(train=train)
    assert task.train and task.id_val and task.id_test
    parts = [set(data.ids) for data in (task.train, task.id_val, task.id_test)]
    assert [len(part) for part in parts] == [48, 6, 6]
    assert set.union(*parts) == {str(i) for i in range(60)}
    for data in (task.id_val, task.id_test):
        assert np.bincount(data.labels).tolist() == [2, 2, 2]
        assert "10 % cut" in data.spec
    assert built(train=train, split_seed=1).id_val.ids != task.id_val.ids  # type: ignore[union-attr]


def test_a_given_role_is_not_cut_and_leaves_the_other_cut_as_it_was(tmp_path: Path, train: Path) -> None:
    given = table(tmp_path / "test.parquet", ["ant", "bee", "cat"], None, 200)
    task, both = built(train=train, id_test=given), built(train=train)
    assert task.id_test and task.id_val and task.train and both.id_val
    assert len(task.id_test) == 3 and len(task.train) == 54
    assert task.id_val.ids == both.id_val.ids


def test_copies_of_a_picture_stay_in_one_role(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / "set" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        picture(i // 4).save(tmp_path / "set" / "ab"[i % 2] / f"{i:02d}.png")
    task = built(train=tmp_path / "set")
    held = [set(data.digests) for data in (task.train, task.id_val, task.id_test) if data]
    assert sum(map(len, held)) == len(set.union(*held)) == 10


def test_too_few_to_cut(tmp_path: Path) -> None:
    few = table(tmp_path / "few.parquet", ["ant", "bee", "cat"] * 3)
    assert "--id-val and --id-test" in refusal(train=few)
    for i in range(20):
        (tmp_path / "same" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "same" / "ab"[i % 2] / f"{i}.png")
    assert "copies of one image" in refusal(train=tmp_path / "same")
    other = table(tmp_path / "other.parquet", ["ant"], None, 300)
    one = table(tmp_path / "one.parquet", ["ant"] * 30, None, 400)
    assert "one class" in refusal(train=one)
    assert built(train=few, id_val=other, id_test=other).train is not None  # nothing is cut: nothing to refuse


def test_already_split_train_fills_the_roles(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for i, (part, count) in enumerate((("train", 10), ("val", 3), ("test", 4))):
        folder(root / part, {"a": count, "b": count}, first=100 * i)
    task = built(train=root)
    assert task.train and task.id_val and task.id_test
    assert [len(data) for data in (task.train, task.id_val, task.id_test)] == [20, 6, 8]
    assert task.id_val.spec == f"{root}?split=val" and task.id_val.ids[0] == "val/a/0.png"
    limited = built(train=f"{root}?limit=4:1")
    assert limited.train and len(limited.train) == 4 and len(limited.sets()["id_test"]) == 8
    cut = built(train=f"{root}?split=train")
    assert cut.train and len(cut.train) == 16


def test_what_a_split_set_lacks_is_cut_from_its_train(tmp_path: Path) -> None:
    root = tmp_path / "set"
    folder(root / "train", {"a": 10, "b": 10})
    folder(root / "test", {"a": 2, "b": 2}, first=100)
    task = built(train=root)
    assert task.train and [len(task.train), *map(len, task.sets().values())] == [18, 2, 4]
    folder(tmp_path / "odd" / "dev", {"a": 2})
    folder(tmp_path / "odd" / "test", {"a": 2})
    assert "split=" in refusal(train=tmp_path / "odd")


def test_class_without_training_example(tmp_path: Path) -> None:
    log = Log()
    built(log, train=table(tmp_path / "t.parquet", ["a", "b"] * 10, ["a", "b", "none"]))
    assert [entry["code"] for entry in log.warnings] == ["classes-untrained"] and '"none"' in log.warnings[0]["text"]


# Overlap


def test_overlap_of_given_sets_is_a_warning(tmp_path: Path, train: Path) -> None:
    log = Log()
    built(
        log,
        train=f"{train}?split=train[:40]",
        id_val=f"{train}?split=train[40:]",
        id_test=f"{train}?split=train[38:42]",
    )
    assert [entry["code"] for entry in log.warnings] == ["overlap", "overlap"]
    assert "2 images of train are in id_test" in log.warnings[0]["text"] and '"38" and "38"' in log.warnings[0]["text"]


def test_overlap_with_a_set_cut_here_is_refused(train: Path) -> None:
    message = refusal(train=train, id_test=train)
    assert "of id_val are in id_test" in message and "--id-val" in message


def test_ood_sets_that_share_pictures_are_used_and_said(train: Path) -> None:
    log = Log()
    assert len(built(log, train=train, ood={"same": train}).ood["same"]) == 60 and codes(log) == {"overlap"}


# Names and unlabelled sets


@pytest.mark.parametrize("name", ["id_val", "train", "ood_mean", ""])
def test_reserved_names(train: Path, name: str) -> None:
    assert "NAME=SPEC" in refusal(train=train, ood={name: train})


def test_a_name_twice(train: Path) -> None:
    with pytest.raises(RequestError, match="--ood a"):
        build_task(
            train=str(train),
            id_val=None,
            id_test=None,
            ood=[("a", str(train)), ("a", str(train))],
            split_seed=0,
            damaged="stop",
            log=Log(),
        )


def test_without_labels(tmp_path: Path) -> None:
    data = without_labels(str(folder(tmp_path / "set", {"a": 2})), damaged="stop", log=Log())
    assert len(data) == 2 and data.labels.tolist() == [-1, -1] and len(data.fingerprint) == 64


def test_damaged_and_groups_reach_the_task(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"a": 20, "b": 20})
    (root / "a" / "x.jpg").write_bytes(b"junk")
    log = Log()
    task = built(log, train=f"{root}?group=label", damaged="skip")
    assert task.train and task.train.damaged == 1 and task.train.groups is not None
    assert task.train.groups.tolist() == names(task, task.train)
    assert task.id_val and task.id_val.damaged == 0


@pytest.mark.real
def test_pacs(data_dir: Path) -> None:
    log = Log()
    pacs = data_dir / "pacs"
    task = built(log, train=pacs / "photo.parquet", ood={"art": pacs / "art_painting.parquet"})
    assert task.classes == ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
    assert [len(data) for data in task.sets().values()] == [167, 167, 1000] and log.warnings == []
    assert task.train is not None and len(task.train) == 1336
