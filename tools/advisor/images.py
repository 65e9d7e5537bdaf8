"""Makes the tables of the worlds: digits, CIFAR-10 and tiny100 in parts, some with other shares, grounds or classes."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageColumn
from PIL import Image

from ftcli.data.sources.digits import world as digits_world
from tools.advisor.worlds import PRIOR_DRAWS

DIGITS = [str(digit) for digit in range(10)]
PARTS = {"source": 597, "val": 300, "target": 300, "extra": 100, "test": 500}  # of the 1797 digits, in random order
CIFAR_PARTS = {"val": 1000, "target": 300, "extra": 1700, "test": 2000}  # of the 5000 images of CIFAR-10's test set
HARD = {"cat": 0.3, "dog": 0.3, "bird": 0.15, "deer": 0.15}  # class shares of a target of difficult classes
ALIKE = ("06", "17", "38", "49", "25")  # digits of about one shape: superclasses of two subclasses, the first is source
SPURIOUS = {"spurious": 0.95, "spurious-99": 0.99}  # share of the source where the background belongs to the class


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


def prior_parts(
    labels: np.ndarray, parts: list[str], rng: np.random.Generator, most: dict[str, int],
    shares: np.ndarray | None = None,
) -> list[str]:  # fmt: skip
    """The parts target and test with class shares from Dirichlet(0.5), or these, as large as the classes allow without
    a copy.

    The target takes from what was target, extra and half of test, the test from the other half.
    """
    shares = rng.dirichlet(np.full(labels.max() + 1, 0.5)) if shares is None else shares
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
    hard = np.array([HARD.get(name, (1 - sum(HARD.values())) / (len(names) - len(HARD))) for name in names])
    changed = prior_parts(labels, parts, rng, {"target": 300, "test": 1000}, hard)
    write(folder / "cifar-hard.parquet", images, labels.tolist(), changed, names)


def make_entity13(folder: Path, data: Path) -> None:
    """Superclasses of Entity-13 of which tiny100 has source and target subclasses; 60 % of the target are tuned on."""
    rng = np.random.default_rng(2)
    table = pq.read_table(data / "tiny100/train.parquet")
    wnids = Features.from_arrow_schema(table.schema)["label"].names
    classes = json.loads((data / "lists/breeds_entity13.json").read_text())["classes"]
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
