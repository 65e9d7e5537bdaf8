"""Benchmarks in miniature: the files of each preset as its download leaves them, with a few tiny images a class.

File, folder and column names are the real ones; class lists are whole, and the numbers of images small. Every image is
another one, so that none is in two sets.
"""

import csv
import itertools
import pickle
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
from PIL import Image

SYNSETS = tuple((Path(timm.__file__).parent / "data/_info/imagenet_synsets.txt").read_text().split())
SEVERITIES = 5


class Pictures:
    """A source of images that are all different."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def pixels(self, side: int = 8) -> np.ndarray:
        """uint8 [side, side, 3]"""
        return np.random.default_rng(next(self.numbers)).integers(0, 256, (side, side, 3), dtype=np.uint8)

    def write(self, path: Path, count: int = 1) -> None:
        """`count` images: PATH0.png, PATH1.png …; one: PATH itself, in the format of its ending."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(self.pixels()).save(path if count == 1 else f"{path}{i}.png")

    def folders(self, root: Path, classes: Iterable[str], each: int) -> None:
        for name in classes:
            self.write(root / name / "image", each) if each > 1 else self.write(root / name / "image.png")


def table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def synsets(of: str) -> list[str]:
    """The WordNet ids of ImageNet-R or -A."""
    return (Path(timm.__file__).parent / f"data/_info/imagenet_{of}_synsets.txt").read_text().split()


def breeds(root: Path, classes: Iterable[str]) -> None:
    """These classes of ImageNet and three more: 3 training images of each, 2 for validation."""
    pictures, names = Pictures(), sorted({*classes, *SYNSETS[:3]})
    pictures.folders(root / "imagenet/train", names, 3)
    pictures.folders(root / "imagenet/val", names, 2)


def imagenet(root: Path) -> None:
    """One image of each class and set."""
    pictures = Pictures()
    for folder, names in {
        "imagenet/train": SYNSETS, "imagenet/val": SYNSETS, "sketch": SYNSETS,
        "imagenet-r": synsets("r"), "imagenet-a": synsets("a"),
        "imagenetv2-matched-frequency-format-val": [str(i) for i in range(1000)],
    }.items():  # fmt: skip
        pictures.folders(root / folder, names, 1)


def imagenet_c(root: Path, corruptions: Iterable[str], *, whole: str) -> None:
    """One image a class of 12 classes; 25 of the corruption that `surgical` tunes on."""
    pictures, names = Pictures(), SYNSETS[:12]
    for folder in ("imagenet/train", "imagenet/val"):
        pictures.folders(root / folder, names, 1)
    for name in corruptions:
        pictures.folders(root / f"ImageNet-C/{name}/5", names, 25 if name == whole else 1)


def cifar10(root: Path, each: int = 4, train: int = 6) -> None:
    """CIFAR-10 as torchvision keeps it, with so many images of each class."""
    pictures, folder = Pictures(), root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    for file, count in {**{f"data_batch_{i}": train if i == 1 else 1 for i in range(1, 6)}, "test_batch": each}.items():
        labels = [label for _ in range(count) for label in range(10)]
        data = np.stack([pictures.pixels(32).transpose(2, 0, 1).reshape(-1) for _ in labels])
        (folder / file).write_bytes(pickle.dumps({"data": data, "labels": labels}))


def stl10(root: Path) -> None:
    """STL-10's binary files: 2 test images of each class, its labels counted from 1."""
    folder, pictures = root / "stl10_binary", Pictures()
    folder.mkdir(parents=True)
    for split, each in {"train": 1, "test": 2}.items():
        labels = np.repeat(np.arange(1, 11, dtype=np.uint8), each)
        labels.tofile(folder / f"{split}_y.bin")
        np.stack([pictures.pixels(96).transpose(2, 1, 0) for _ in labels]).tofile(folder / f"{split}_X.bin")
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    (folder / "class_names.txt").write_text("\n".join(names))
    (folder / "fold_indices.txt").write_text("0\n")


def cifar10_1(root: Path) -> None:
    """3 images of each class, int32 labels as published."""
    cifar10(root)
    pictures, labels = Pictures(), np.tile(np.arange(10, dtype=np.int32), 3)
    np.save(root / "cifar10.1_v6_data.npy", np.stack([pictures.pixels(32) for _ in labels]))
    np.save(root / "cifar10.1_v6_labels.npy", labels)


def cifar10_c(root: Path, corruptions: Iterable[str], each: int = 12) -> None:
    """`each` images of each class at five severities, one after the other; labels for all five."""
    cifar10(root)
    folder, pictures = root / "CIFAR-10-C", Pictures()
    folder.mkdir()
    labels = np.tile(np.arange(10, dtype=np.uint8), each)
    np.save(folder / "labels.npy", np.tile(labels, SEVERITIES))
    for name in corruptions:
        np.save(folder / f"{name}.npy", np.stack([pictures.pixels(32) for _ in range(SEVERITIES * len(labels))]))


def domainnet(root: Path, domains: Iterable[str], classes: Sequence[str], numbers: Sequence[int]) -> None:
    """2 training images of each class and one for testing, and the official lists."""
    pictures = Pictures()
    for domain in domains:
        for split, each in {"train": 2, "test": 1}.items():
            lines = []
            for name, number in zip(classes, numbers, strict=True):
                for i in range(each):
                    file = f"{domain}/{name}/{domain}_{split}_{number}_{i}.png"
                    pictures.write(root / "domainnet" / file)
                    lines.append(f"{file} {number}\n")
            (root / f"domainnet/{domain}_{split}.txt").write_text("".join(lines))


FMOW_ROWS = (  # split, timestamp, country: the sequestered rows count in the numbers of the files
    ("seq", "2010-05-05T10:00:00Z", "USA"),
    ("train", "2012-12-31T23:59:59Z", "USA"), ("train", "2011-01-01T00:00:00Z", "BRA"),
    ("train", "2013-01-01T00:00:00Z", "USA"),  # too late
    ("train", "2010-01-01T00:00:00Z", "FRA"),  # another region
    ("seq", "2014-05-05T10:00:00Z", "KEN"),
    ("val", "2012-06-01T00:00:00Z", "CAN"),  # ID-val
    ("val", "2013-01-01T00:00:00Z", "MEX"), ("val", "2015-12-31T23:59:59Z", "USA"),  # ID-test
    ("val", "2016-01-01T00:00:00Z", "USA"),  # too late
    ("val", "2014-01-01T00:00:00Z", "KEN"), ("val", "2014-01-01T00:00:00Z", "DEU"),
    ("val", "2014-01-01T00:00:00Z", "FRA"), ("val", "2014-01-01T00:00:00Z", "JPN"),
    ("val", "2014-01-01T00:00:00Z", "XKX"),
    ("test", "2017-01-01T00:00:00Z", "USA"),
)  # fmt: skip


def fmow(root: Path, classes: Sequence[str] = ("airport", "zoo")) -> None:
    """Every row of FMOW_ROWS for each class; files of sequestered rows do not exist."""
    pictures, rows = Pictures(), [(name, *row) for row in FMOW_ROWS for name in classes]
    lines = [(row[1], 0, row[0], *row[2:]) for row in rows]
    table(
        root / "fmow_v1.1/rgb_metadata.csv", ("split", "img_filename", "category", "timestamp", "country_code"), lines
    )
    for number, line in enumerate(lines):
        if line[0] != "seq":
            pictures.write(root / f"fmow_v1.1/images/rgb_img_{number}.png")


def camelyon17(root: Path) -> None:
    """Of each hospital 2 normal patches and 2 with a tumour in split 0 and one of each in split 1."""
    pictures, rows = Pictures(), []
    for center in range(5):
        for tumor, split in ((0, 0), (1, 0), (0, 0), (1, 0), (0, 1), (1, 1)):
            x, y = 100 + len(rows), 200
            patient, node = f"{4 + 20 * center:03d}", center % 3
            place = f"patient_{patient}_node_{node}"
            pictures.write(root / f"camelyon17_v1.0/patches/{place}/patch_{place}_x_{x}_y_{y}.png")
            rows.append((len(rows), patient, node, x, y, tumor, center * 10, center, split))
    columns = ("", "patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split")
    table(root / "camelyon17_v1.0/metadata.csv", columns, rows)


WATERBIRDS = {  # (split, y, place): images
    (0, 0, 0): 12, (0, 0, 1): 1, (0, 1, 0): 1, (0, 1, 1): 6,
    (1, 0, 0): 4, (1, 0, 1): 4, (1, 1, 0): 2, (1, 1, 1): 2,
    (2, 0, 0): 5, (2, 0, 1): 5, (2, 1, 0): 3, (2, 1, 1): 3,
}  # fmt: skip


def waterbirds(root: Path) -> None:
    pictures, rows, folder = Pictures(), [], root / "waterbird_complete95_forest2water2"
    for (split, y, place), count in WATERBIRDS.items():
        for _ in range(count):
            file = f"{len(rows) % 5:03d}.Bird/Bird_{len(rows):04d}.jpg"
            pictures.write(folder / file)
            rows.append((len(rows) + 1, file, y, split, place, "/f/forest/1.jpg"))
    table(folder / "metadata.csv", ("img_id", "img_filename", "y", "split", "place", "place_filename"), rows)


CELEBA_PARTITION = (162770, 182637, 202599)  # rows before which the training, validation and test images end
CELEBA = ((-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -1))  # Blond_Hair and Male, in turn


def celeba(root: Path) -> None:
    """All 202,599 rows of the table, and the first image of each set: the others are not opened to count."""
    pictures = Pictures()
    rows = ((f"{row + 1:06d}.jpg", 1, *CELEBA[row % len(CELEBA)]) for row in range(CELEBA_PARTITION[-1]))
    table(root / "celebA_v1.0/list_attr_celeba.csv", ("image_id", "5_o_Clock_Shadow", "Blond_Hair", "Male"), rows)
    for row in (0, *CELEBA_PARTITION[:-1]):
        pictures.write(root / f"celebA_v1.0/img_align_celeba/{row + 1:06d}.jpg")


def domains(root: Path, folder: str, names: Iterable[str], classes: Iterable[str], each: int = 2) -> None:
    pictures, classes = Pictures(), list(classes)
    for name in names:
        pictures.folders(root / folder / name, classes, each)


Maker = Callable[[Path], None]
