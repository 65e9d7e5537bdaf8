"""Worlds whose kind of shift is known: which model, which target, which images it is tested on.

The tables that the SPECs name are made by images.py, in one folder. A table has the columns image, label and part:
source, val and target are disjoint, and so is test. $DATA stands for the folder of the real data sets, which is
$FTCLI_TEST_DATA.
"""

import os
from pathlib import Path
from typing import NamedTuple

from ftcli.data.shifts.shift import CORRUPTION_NAMES

PRIOR_DRAWS = 3


class World(NamedTuple):
    """One shift of known kind. source: which model; target, test: SPECs below the folder of the tables."""

    name: str
    kind: str  # none, input, output, label, feature; "output" of the spurious world too: the features suffice
    source: str
    target: str
    test: str


class Source(NamedTuple):
    """A model of the source. train, id_val: SPECs; options: of `ftcli finetune`, none where a model is given."""

    train: str
    id_val: str
    options: str
    model: str = ""


def part(table: str, name: str, more: str = "") -> str:
    return f"{table}.parquet?where=part:{name}{more}"


DEMO = "--checkpoint preset:digits/checkpoint --image-size 32 --lr 1e-2 --epochs 10 --bn train"
MOBILE = "--checkpoint $DATA/checkpoints/mobilenetv2-imagenet --image-size 64 --lr 1e-3 --epochs 5 --bn eval"
SOURCES = {
    "plain": Source(part("plain", "source"), part("plain", "val"), DEMO),
    "spurious": Source(part("spurious", "source"), part("spurious", "val"), DEMO),
    "spurious-99": Source(part("spurious-99", "source"), part("spurious-99", "val"), DEMO),
    "subclass": Source(part("subclass", "source"), part("subclass", "val"), DEMO),
    "entity13": Source(part("entity13", "source"), part("entity13", "val"), MOBILE),
    "cifar": Source(
        "$DATA/cifar10/train.parquet?limit=1000:0", part("cifar", "val"), "--import $DATA/plugins/cifar_resnet.py",
        "$DATA/checkpoints/resnet20-cifar10",
    ),
}  # fmt: skip


def pair(name: str, kind: str, source: str, table: str, more: str = "") -> World:
    return World(name, kind, source, part(table, "target", more), part(table, "test", more))


WORLDS = [
    pair("none", "none", "plain", "plain"),
    pair("flip", "output", "plain", "plain", "&labels=flip"),
    *(pair(f"prior-{draw}", "label", "plain", f"prior-{draw}") for draw in range(PRIOR_DRAWS)),
    pair("spurious", "output", "spurious", "spurious"),
    pair("spurious-99", "output", "spurious-99", "spurious-99"),
    pair("subclass", "feature", "subclass", "subclass"),
    *(pair(name, "input", "plain", "plain", f"&shift={name}:5") for name in CORRUPTION_NAMES),
    pair("entity13", "feature", "entity13", "entity13"),
    pair("cifar-none", "none", "cifar", "cifar"),
    pair("cifar-noise", "input", "cifar", "cifar", "&shift=gaussian_noise:5"),
    pair("cifar-flip", "output", "cifar", "cifar", "&labels=flip"),
    pair("cifar-prior", "label", "cifar", "cifar-prior"),
    pair("cifar-hard", "label", "cifar", "cifar-hard"),
]


def data_folder() -> Path:
    return Path(os.environ["FTCLI_TEST_DATA"])


def spec(folder: Path, words: str) -> str:
    """A SPEC or option below the folder of the tables, or in the folder of the data sets."""
    return words.replace("$DATA", str(data_folder())) if "$DATA" in words else str(folder / words)


def model_of(folder: Path, name: str) -> str:
    return spec(folder, SOURCES[name].model or f"models/{name}")


def importing(folder: Path, name: str) -> list[str]:
    """Options that say how the given model of a source is opened."""
    return spec(folder, SOURCES[name].options).split() if SOURCES[name].model else []
