"""Worlds whose kind of shift is known, and what tuning each block gains there: the truth for `ftcli advise`.

    python -m tools.advisor_worlds make FOLDER            the tables of images, and the models of the source
    python -m tools.advisor_worlds truth FOLDER [NAME…]   `ftcli surgical` on the target of every world
    python -m tools.advisor_worlds commands FOLDER        the same commands, printed

A table has the columns image, label and part: source, val and target are disjoint, and so is test, on which every
choice of blocks is measured. Finished runs are kept. DATA, the folder of the real data sets, is $FTCLI_TEST_DATA.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import typer
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageColumn
from PIL import Image

from ftcli.data.shifts.shift import CORRUPTION_NAMES
from ftcli.data.sources.digits import world as digits_world

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DIGITS = [str(digit) for digit in range(10)]
PARTS = {"source": 597, "val": 300, "target": 300, "extra": 100, "test": 500}  # of the 1797 digits, in random order
CIFAR_PARTS = {"val": 1000, "target": 300, "extra": 1700, "test": 2000}  # of the 5000 images of CIFAR-10's test set
ALIKE = ("06", "17", "38", "49", "25")  # digits of about one shape: superclasses of two subclasses, the first is source
SPURIOUS = {"spurious": 0.95, "spurious-99": 0.99}  # share of the source where the background belongs to the class
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
]
TRUTH = "--blocks none,all,each --auto rgn --lr 1e-3,1e-2 --seeds 2 --epochs 5 --batch-size 16 --augment none"


def write(table: Path, images: list[bytes], labels: list[int], parts: list[str], names: list[str]) -> None:
    """A table of encoded images."""
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=names), "part": Value("string")})
    rows = [
        {"image": {"bytes": image, "path": None}, "label": int(label), "part": name}
        for image, label, name in zip(images, labels, parts, strict=True)
        if name
    ]
    Dataset.from_list(rows, features=features).to_parquet(table)


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def drawn_parts(sizes: dict[str, int], rng: np.random.Generator) -> list[str]:
    """A part for every example, in random order."""
    return rng.permutation(np.repeat(list(sizes), list(sizes.values()))).tolist()


def prior_parts(labels: np.ndarray, parts: list[str], rng: np.random.Generator, most: dict[str, int]) -> list[str]:
    """The parts target and test with class shares from Dirichlet(0.5), as large as the classes allow without a copy.

    The target takes from what was target, extra and half of test, the test from the other half.
    """
    shares = rng.dirichlet(np.full(labels.max() + 1, 0.5))
    old, half = np.array(parts), rng.random(len(parts)) < 0.5
    pools = {
        "target": np.isin(old, ("target", "extra")) | ((old == "test") & half), "test": (old == "test") & ~half
    }  # fmt: skip
    new = np.full(len(labels), "", object)
    for name, pool in pools.items():
        there = np.bincount(labels[pool], minlength=len(shares))
        size = min(most[name], *(int(n / share) for n, share in zip(there, shares, strict=True) if share > 0))
        for k, share in enumerate(shares):
            new[rng.permutation(np.flatnonzero(pool & (labels == k)))[: round(share * size)]] = name
    return new.tolist()


def make_digits(folder: Path) -> None:
    """The tables of the digits."""
    rng = np.random.default_rng(0)
    images, labels = digits_world("plain")
    parts = drawn_parts(PARTS, rng)
    encoded = [png(image) for image in images]
    write(folder / "plain.parquet", encoded, labels.tolist(), parts, DIGITS)
    for draw in range(PRIOR_DRAWS):
        changed = prior_parts(labels, parts, rng, {"target": 300, "test": 500})
        write(folder / f"prior-{draw}.parquet", encoded, labels.tolist(), changed, DIGITS)
    photo, inverted = digits_world("photo")[0], digits_world("inverted")[0]
    for name, share in SPURIOUS.items():
        own = np.where(np.isin(parts, ("source", "val")), share, 0.5)
        on_photo = (rng.random(len(labels)) < own) == (labels < 5)
        mixed = [png(photo[i] if there else inverted[i]) for i, there in enumerate(on_photo)]
        write(folder / f"{name}.parquet", mixed, labels.tolist(), parts, DIGITS)
    make_subclasses(folder / "subclass.parquet", encoded, labels, rng)


def make_subclasses(table: Path, images: list[bytes], labels: np.ndarray, rng: np.random.Generator) -> None:
    """Superclasses of two digits each: the source has one of them, the target the other."""
    parts = np.full(len(labels), "", object)
    for column, sizes in enumerate(({"source": 600, "val": 300}, {"target": 300, "test": 600})):
        digits = rng.permutation(np.flatnonzero(np.isin(labels, [int(two[column]) for two in ALIKE])))
        names = np.repeat(list(sizes), list(sizes.values()))[: len(digits)]
        parts[digits[: len(names)]] = names
    superclass = [next(k for k, two in enumerate(ALIKE) if str(label) in two) for label in labels]
    write(table, images, superclass, parts.tolist(), [f"{two[0]} or {two[1]}" for two in ALIKE])


def make_cifar(folder: Path, data: Path) -> None:
    """The parts of CIFAR-10's test images."""
    rng = np.random.default_rng(1)
    table = pq.read_table(data / "cifar10/test.parquet")
    images, labels = [row["bytes"] for row in table["image"].to_pylist()], np.array(table["label"])
    names = Features.from_arrow_schema(table.schema)["label"].names
    parts = drawn_parts(CIFAR_PARTS, rng)
    write(folder / "cifar.parquet", images, labels.tolist(), parts, names)
    changed = prior_parts(labels, parts, rng, {"target": 300, "test": 1000})
    write(folder / "cifar-prior.parquet", images, labels.tolist(), changed, names)


def make_entity13(folder: Path, data: Path) -> None:
    """Superclasses of Entity-13 of which tiny100 has source and target subclasses; 60 % of the target are tuned on."""
    from json import loads

    rng = np.random.default_rng(2)
    table = pq.read_table(data / "tiny100/train.parquet")
    wnids = Features.from_arrow_schema(table.schema)["label"].names
    classes = loads((data / "lists/breeds_entity13.json").read_text())["classes"]
    both = [c for c in classes if all(any(w in wnids for w in c[side]) for side in ("source", "target"))]
    images, labels, parts = [], [], []
    for row in table.to_pylist():
        for k, superclass in enumerate(both):
            for side, names in (("source", ("source", "val", 0.6)), ("target", ("target", "test", 0.6))):
                if wnids[row["label"]] in superclass[side]:
                    images.append(row["image"]["bytes"])
                    labels.append(k)
                    parts.append(names[0] if rng.random() < names[2] else names[1])
    write(folder / "entity13.parquet", images, labels, parts, [c["name"].split(",")[0] for c in both])


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


def source_command(folder: Path, name: str) -> list[str]:
    """Train a model of the source."""
    source = SOURCES[name]
    options = source.options.replace("$DATA", str(data_folder())).split()
    sets = ["--train", spec(folder, source.train), "--id-val", spec(folder, source.id_val)]
    test = next(world.test for world in WORLDS if world.source == name)
    out = [
        "--ood",
        f"first={spec(folder, test)}",
        "--augment",
        "none",
        "--threads",
        "1",
        "--out",
        model_of(folder, name),
    ]
    return ["finetune", *options, *sets, "--id-test", spec(folder, source.id_val), "--batch-size", "64", *out]


def truth_command(folder: Path, world: World) -> list[str]:
    """Tune every choice of blocks on the target, and measure it on the target's test images."""
    where = ["--checkpoint", model_of(folder, world.source), *importing(folder, world.source)]
    sets = ["--train", spec(folder, world.target), "--id-test", spec(folder, world.test)]
    return ["surgical", *where, *sets, *TRUTH.split(), "--threads", "1", "--out", str(folder / "truth" / world.name)]


def run(words: list[str], log: Path, report: Path) -> bool:
    """Run a command of ftcli unless its report is there; what it prints goes to a log. Whether it succeeded."""
    if report.exists():
        return True
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        return not subprocess.run([sys.executable, "-m", "ftcli", *words], stdout=stream, stderr=stream).returncode


def chosen(names: list[str] | None) -> Iterator[World]:
    return (world for world in WORLDS if not names or world.name in names)


@app.command()
def make(folder: Path) -> None:
    """Write the tables and train the models of the source."""
    folder.mkdir(parents=True, exist_ok=True)
    make_digits(folder)
    make_cifar(folder, data_folder())
    make_entity13(folder, data_folder())
    for name, source in SOURCES.items():
        if not source.model:
            done = run(source_command(folder, name), folder / f"logs/{name}.txt", folder / f"models/{name}/report.json")
            print(name, "trained" if done else "failed", flush=True)


@app.command()
def truth(folder: Path, names: list[str] = typer.Argument(None)) -> None:  # noqa: B008
    """Train every choice of blocks in every world, or in those named."""
    for world in chosen(names):
        report = folder / "truth" / world.name / "report.json"
        done = run(truth_command(folder, world), folder / f"logs/truth-{world.name}.txt", report)
        print(world.name, "done" if done else "failed", flush=True)


@app.command()
def commands(folder: Path) -> None:
    """Print the command of every world."""
    for world in WORLDS:
        print("ftcli", shlex.join(truth_command(folder, world)))


if __name__ == "__main__":
    app()
