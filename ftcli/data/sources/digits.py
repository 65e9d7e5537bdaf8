"""The built-in demo's data: scikit-learn's real handwritten digits under several looks, each of them a world.

Training happens in one world, `plain`; the others hold the same digits under another look, so they are
out-of-distribution sets whose labels are known. Nothing is downloaded: digits and photographs come with scikit-learn.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image, features

from ftcli.cache import entries
from ftcli.cache.cache import Cache, key
from ftcli.cache.entries import FORM, length
from ftcli.data.classes.labels import numbers
from ftcli.data.rows import Rows, Splits
from ftcli.data.sources.arrays import array_rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError, suggest
from ftcli.log import Log

SIDE = 32  # pixels; the smallest side at which a network with stride 32 still has a feature map
LEAST_CONTRAST = 0.25  # mean absolute difference of two colours: below it, people cannot read the digit either
PATCH_SIDES = (32, 160)  # pixels cut from a photograph before they are shrunk to SIDE

# A look turns one digit's ink, float32 [H, W] in [0, 1], into an image, float [H, W, C] in [0, 1].
Look = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def plain(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White ink on black: the digits as scikit-learn has them."""
    return _blend(ink, ground=np.zeros(3), colour=np.ones(3))


def inverted(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black ink on white."""
    return 1 - plain(ink, rng)


def coloured(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink of one random colour on another."""
    ground, colour = rng.random(3), rng.random(3)
    while np.abs(colour - ground).mean() < LEAST_CONTRAST:
        colour = rng.random(3)
    return _blend(ink, ground, colour)


def photo(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The negative of a photograph where there is ink, the photograph itself elsewhere (as MNIST-M is made)."""
    photograph = _photographs()[rng.integers(len(_photographs()))]
    side = int(rng.integers(*PATCH_SIDES))
    top, left = (int(rng.integers(length - side)) for length in photograph.shape[:2])
    patch = Image.fromarray(photograph[top : top + side, left : left + side]).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.abs(np.asarray(patch) / 255 - ink[..., None])


_LOOKS: dict[str, Look] = {look.__name__: look for look in (plain, photo, inverted, coloured)}
WORLDS: tuple[str, ...] = tuple(_LOOKS)


def open_splits(spec: Spec, log: Log, *, labelled: bool, cache: Cache | None = None) -> Splits:
    """Every digit in the world that a SPEC names, as one split "train". A world is generated once per cache."""
    return {"train": functools.partial(_rows, spec.location, cache)}


def _rows(name: str, cache: Cache | None) -> Rows:
    images, digits = world(name) if cache is None else cached_world(name, cache)
    return array_rows(images, digits, numbers(10))


def cached_world(name: str, cache: Cache) -> tuple[np.ndarray, np.ndarray]:
    """`world` from the cache, into which it is put first where it is not there yet."""
    entry = key(FORM, "digits", name, *made_by())
    file = entries.find(cache, "pixels", entry)
    if file is None:
        images, digits = world(name)
        content = digits.tobytes() + images.tobytes()
        if file := entries.add(cache, "pixels", entry, lambda path: path.write_bytes(content), len(content)):
            file.close()
        return images, digits
    with file:
        content = file.read(length(file))
    n = len(content) // (3 * SIDE * SIDE + np.dtype(np.int64).itemsize)
    digits = np.frombuffer(content, np.int64, n)
    return np.frombuffer(content, np.uint8, offset=digits.nbytes).reshape(n, SIDE, SIDE, 3), digits


def made_by() -> list[str]:
    """All that a world depends on but its name: our own code and the libraries with their data."""
    libraries = [f"{name} {version(name)}" for name in ("scikit-learn", "numpy", "pillow")]
    return [inspect.getsource(sys.modules[__name__]), *libraries, f"jpeg {features.version('jpg')}"]


def world(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Every digit of scikit-learn's `load_digits` under one look, in the same order in every world.

    Args:
        name: one of `WORLDS`.

    Returns:
        Images, uint8 [1797, 32, 32, 3], and the digits they show, int64 [1797]. Each image depends on the world's
        name and its own position alone, never on other images.

    Raises:
        RequestError: there is no world of that name.
    """
    if name not in _LOOKS:
        allowed = ", ".join(WORLDS)
        raise RequestError(
            f'there is no digits world "{name}"; worlds: {allowed}', suggest(name, WORLDS) or "digits:plain"
        )
    look, key = _LOOKS[name], crc32(name.encode())
    digits = load_digits()
    images = [look(ink, np.random.default_rng((key, i))) for i, ink in enumerate(_inks(digits.images))]
    return (np.stack(images) * 255).round().astype(np.uint8), digits.target.astype(np.int64)


def _inks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Scans of 8 x 8 counts from 0 to 16, enlarged smoothly: float32 [H, W] in [0, 1] each."""
    for image in images:
        scan = Image.fromarray((image / 16).astype(np.float32))
        yield np.asarray(scan.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _blend(ink: np.ndarray, ground: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Two colours [C] mixed by the ink [H, W]: [H, W, C]."""
    return ground + ink[..., None] * (colour - ground)


def load_digits() -> Any:
    """scikit-learn's, which is imported where a world is generated only."""
    from sklearn.datasets import load_digits

    return load_digits()


@functools.cache
def _photographs() -> list[np.ndarray]:
    """The photographs that scikit-learn ships (a temple, a flower): uint8 [427, 640, 3] each."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images
