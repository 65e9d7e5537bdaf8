"""Sets of torchvision, from tiny files in the official formats: what is read is what torchvision itself gives."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as sets

from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.data.task import build_task
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import folder, picture


def opened(text: str, labelled: bool = True) -> ImageSet:
    return open_images(parse(text), Log(), labelled=labelled)


def refusal(text: str) -> str:
    with pytest.raises(RequestError) as error:
        opened(text)
    return f"{error.value.problem} | {error.value.fix}"


def same(images: ImageSet, oracle: Any) -> None:
    """Every picture and every label as torchvision gives them."""
    assert len(images) == len(oracle) > 0
    for i in range(len(images)):
        shown, label = oracle[i]
        assert np.array_equal(np.asarray(images.image(i)), np.asarray(shown.convert("RGB")))
        assert images.labels[i] == label


# ---- files in the official formats


def mnist(root: Path, kind: str = "MNIST", name: str = "", counts: dict[str, int] | None = None) -> Path:
    """The idx files of MNIST and its kin: a magic number, the sizes, then bytes."""
    raw = root / kind / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for half, count in (counts or {"train": 40, "t10k": 12}).items():
        pixels, labels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), (np.arange(count) % 10).astype(np.uint8)
        stem = f"{name}{half}"
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + pixels.tobytes())
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    return root


def stl10(root: Path) -> Path:
    """Bytes [N, 3, 96, 96] with the columns of a picture first, and labels from 1."""
    place = root / "stl10_binary"
    place.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for half, count in (("train", 20), ("test", 10), ("unlabeled", 3)):
        (place / f"{half}_X.bin").write_bytes(rng.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8).tobytes())
        (place / f"{half}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    (place / "class_names.txt").write_text("\n".join("abcdefghij") + "\n")
    return root


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checksums of the published files, which no tiny file has."""
    for kind in (sets.STL10, sets.CIFAR10):
        monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)


def cifar(root: Path, kind: Any = sets.CIFAR10) -> Path:
    """Pickles as Python 2 wrote them: dictionaries of bytes keys are read as text by encoding latin1."""
    place = root / kind.base_folder
    place.mkdir(parents=True)
    rng, key = np.random.default_rng(2), "labels" if kind is sets.CIFAR10 else "fine_labels"
    for i, (file, _) in enumerate([*kind.train_list, *kind.test_list]):
        count = 4 + i
        entry = {
            "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
            key: list(range(count)),
            "batch_label": b"x",
        }
        (place / file).write_bytes(pickle.dumps(entry, protocol=2))
    names = [f"class {i}" for i in range(100)]
    (place / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: names}, protocol=2))
    return root


# ---- what is read


def test_mnist(tmp_path: Path) -> None:
    root = mnist(tmp_path)
    assert tuple(open_source(parse(f"torchvision:MNIST?root={root}"), Log()).splits) == ("train", "test")
    for half in ("train", "test"):
        images, oracle = opened(f"torchvision:MNIST?split={half}&root={root}"), sets.MNIST(root, train=half == "train")
        same(images, oracle)
        assert list(images.classes) == oracle.classes and images.named
        assert images.ids[:2] == ["0", "1"]


def test_emnist_has_variants_and_halves(tmp_path: Path) -> None:
    root = mnist(tmp_path, "EMNIST", "emnist-digits-", {"train": 20, "test": 10})
    assert "digits.train" in tuple(open_source(parse(f"torchvision:EMNIST?root={root}"), Log()).splits)
    images = opened(f"torchvision:EMNIST?split=digits.test&root={root}")
    same(images, sets.EMNIST(root, split="digits", train=False))


@pytest.mark.usefixtures("unchecked")
def test_stl10(tmp_path: Path) -> None:
    root = stl10(tmp_path)
    assert tuple(open_source(parse(f"torchvision:STL10?root={root}"), Log()).splits) == ("train", "unlabeled", "test")
    images = opened(f"torchvision:STL10?split=test&root={root}")
    same(images, sets.STL10(root, split="test"))
    assert images.classes == tuple("abcdefghij")
    assert "label -1" in refusal(f"torchvision:STL10?split=unlabeled&root={root}")
    assert len(opened(f"torchvision:STL10?split=unlabeled&root={root}", labelled=False)) == 3
    assert len(opened(f"torchvision:STL10?split=train[:50%]%2Btest&root={root}")) == 20


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", [sets.CIFAR10, sets.CIFAR100])
def test_cifar(tmp_path: Path, kind: Any) -> None:
    root = cifar(tmp_path, kind)
    for half in ("train", "test"):
        images = opened(f"torchvision:{kind.__name__}?split={half}&root={root}")
        same(images, kind(root, train=half == "train"))
        assert list(images.classes) == [f"class {i}" for i in range(100)]


class Hostile:
    """Unpickled as others do it, this makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("where", ["data_batch_1", "batches.meta"])
def test_no_code_in_a_pickle_is_executed(tmp_path: Path, where: str) -> None:
    root, mark = cifar(tmp_path), tmp_path / "executed"
    (root / "cifar-10-batches-py" / where).write_bytes(pickle.dumps({"data": Hostile(mark)}, protocol=2))
    assert "mkdir" in refusal(f"torchvision:CIFAR10?split=train&root={root}")
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps({"data": 3, "labels": [1]})])
def test_a_cifar_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    root = cifar(tmp_path)
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    assert "CIFAR" in refusal(f"torchvision:CIFAR10?split=test&root={root}")


def test_sets_of_files_give_their_paths(tmp_path: Path) -> None:
    folder(tmp_path / "eurosat" / "2750", {"River": 3, "Forest": 2})
    images = opened(f"torchvision:EuroSAT?root={tmp_path}")
    same(images, sets.EuroSAT(tmp_path))
    assert images.classes == ("Forest", "River")
    assert images.ids[0] == "eurosat/2750/Forest/0.png" and images.column.paths is not None
    assert images.digests == opened(str(tmp_path / "eurosat" / "2750")).digests


def test_nothing_is_decoded_when_paths_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "country211" / "train"
    folder(root, {"AD": 1, "AE": 1})
    (root / "AD" / "0.png").write_bytes(b"not a picture")
    assert "AD/0.png" in refusal(f"torchvision:Country211?root={tmp_path}&split=train")


def test_files_behind_a_decoding_class(tmp_path: Path) -> None:
    """German road signs have no loader to replace: their paths are found all the same."""
    place = tmp_path / "gtsrb" / "GTSRB" / "Training"
    for i in range(3):
        (place / f"0000{i}").mkdir(parents=True)
        picture(i).save(place / f"0000{i}" / "a.ppm")
    images = opened(f"torchvision:GTSRB?root={tmp_path}&split=train")
    same(images, sets.GTSRB(tmp_path))
    assert images.ids[0].endswith("Training/00000/a.ppm") and not images.named


def test_pets_and_caltech(tmp_path: Path) -> None:
    place = tmp_path / "oxford-iiit-pet"
    (place / "images").mkdir(parents=True)
    (place / "annotations").mkdir()
    for i, name in enumerate(("beagle_1", "Abyssinian_7")):
        picture(i).save(place / "images" / f"{name}.jpg")
    (place / "annotations" / "trainval.txt").write_text("beagle_1 2 2 1\nAbyssinian_7 1 1 1\n")
    images = opened(f"torchvision:OxfordIIITPet?root={tmp_path}&split=trainval")
    same(images, sets.OxfordIIITPet(tmp_path))
    assert images.classes == ("Abyssinian", "Beagle") and images.ids[0] == "oxford-iiit-pet/images/beagle_1.jpg"
    place = tmp_path / "caltech256" / "256_ObjectCategories" / "001.ak47"
    place.mkdir(parents=True)
    picture(3).save(place / "001_0001.jpg")
    images = opened(f"torchvision:Caltech256?root={tmp_path}")
    assert images.classes == ("001.ak47",) and images.ids == ["caltech256/256_ObjectCategories/001.ak47/001_0001.jpg"]
    (place / "001_0002.jpg").write_bytes(b"no picture")
    assert "001_0002.jpg" in refusal(f"torchvision:Caltech256?root={tmp_path}")


class Few(sets.FakeData):
    """As it is, but for its size."""

    def __init__(self) -> None:
        super().__init__(size=6, image_size=(3, 20, 16))


def test_pictures_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "FakeData", Few)
    images = opened("torchvision:FakeData")
    same(images, Few())
    assert not images.named and images.ids == list("012345")
    assert "leave root= out" in refusal("torchvision:FakeData?root=x")


# ---- as any other source


def test_settings_roles_and_cuts(tmp_path: Path) -> None:
    root = mnist(tmp_path)
    images = opened(f"torchvision:MNIST?split=train&root={root}&per-class=2:1")
    assert np.bincount(images.labels).tolist() == [2] * 10  # type: ignore[arg-type]
    only = opened(f"torchvision:MNIST?split=train&root={root}&where=label:3 - three&limit=2")
    assert only.labels.tolist() == [3, 3]  # type: ignore[union-attr]
    task = build_task(
        train=f"torchvision:MNIST?root={root}&limit=30", id_val=None, id_test=None,
        ood=[("again", f"torchvision:MNIST?root={root}&split=test")], split_seed=0, damaged="stop", log=Log(),
    )  # fmt: skip
    assert task.train is not None and task.id_val is not None and task.id_test is not None
    assert (len(task.train) + len(task.id_val), len(task.id_test)) == (30, 12)
    assert task.id_test.spec == f"torchvision:MNIST?split=test&root={root}"
    assert task.id_test.digests == task.ood["again"].digests


def test_a_home_folder_and_signs_in_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path / "my & data")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(opened("torchvision:MNIST?root=~/my %26 data&split=test")) == 12


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("torchvision:stl10", '"STL10"'),
        ("torchvision:CIFAR11?root=.", '"CIFAR10"'),
        ("torchvision:os", "as MNIST, STL10 or EuroSAT"),
        ("torchvision:MNIST", "root=DIR. Its files lie in DIR/MNIST/raw"),
        ("torchvision:STL10", "DIR/stl10_binary"),
        ("torchvision:EuroSAT?root=/nowhere/at/all", "no folder"),
        ("torchvision:CocoDetection?root=.", "annFile"),
        ("torchvision:LSUN?root=.", "pickle"),
        ("digits:plain?root=.", "only PATH and torchvision"),
    ],
)
def test_refused_by_its_words(text: str, says: str) -> None:
    assert says in refusal(text)


def test_missing_files_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr("urllib.request.urlopen", fetch)
    for name in ("MNIST", "CIFAR10", "EuroSAT", "SEMEION", "USPS", "Flowers102", "DTD"):
        told = refusal(f"torchvision:{name}?split=train&root={tmp_path}")
        assert name in told or "cifar-10" in told
        assert str(tmp_path) in told
    assert list(tmp_path.iterdir()) == []


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (place / name).mkdir(parents=True)
    (place / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    picture(0).save(place / "JPEGImages" / "a.jpg")
    picture(0).save(place / "SegmentationClass" / "a.png")
    assert "no classification" in refusal(f"torchvision:VOCSegmentation?root={tmp_path}&split=train")
    assert "no split" in refusal(f"torchvision:VOCSegmentation?root={tmp_path}&split=test")
