"""The package's corruptions against plain formulas, at both sizes and all severities, on fixed synthetic pictures."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from ftcli.data.shifts.corruptions import corrupt
from ftcli.seeds import derive_seed
from tests.helpers.corruption_formulas import FORMULAS, expected

RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
SIZES = {"32": (32, 32), "wide": (48, 32), "224": (224, 224), "tall": (224, 256)}  # width, height
CLOSE = 0.1  # mean absolute difference in steps of 1/255: rounding only
DIGEST = hashlib.sha256(b"a picture").digest()


def synthetic(size: tuple[int, int]) -> Image.Image:
    """Waves of colour, a fine grain, a box of grey, a black and a white one, and one of pure red."""
    width, height = size
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[:height, :width] / min(size)
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((1.5, 0.5), (-1, 2), (3, 3))]
    pixels = 127 + 70 * np.stack(waves, axis=2) + rng.normal(0, 15, (height, width, 3))
    side = min(size) // 6
    for place, colour in enumerate([(90, 90, 90), (0, 0, 0), (255, 255, 255), (255, 0, 0)]):
        pixels[side : 2 * side, place * side : (place + 1) * side] = colour
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def drawing(name: str, digest: bytes = DIGEST) -> np.random.Generator:
    """The same numbers at every severity of one picture."""
    return np.random.Generator(np.random.PCG64(derive_seed("shift", name, digest.hex())))


def apart(ours: Image.Image, formula: np.ndarray) -> float:
    """Mean absolute difference, in steps of 1/255."""
    assert ours.mode == "RGB" and np.asarray(ours).shape == formula.shape
    return float(np.abs(np.asarray(ours).astype(float) - formula).mean())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMULAS)
def test_equals_the_formula(name: str, size: str) -> None:
    picture = synthetic(SIZES[size])
    found = [corrupt(picture, name, severity, DIGEST) for severity in range(1, 6)]
    formulas = [expected(picture, name, severity, drawing(name)) for severity in range(1, 6)]
    for severity, (ours, formula) in enumerate(zip(found, formulas, strict=True), start=1):
        assert apart(ours, formula) < CLOSE, severity
        assert apart(picture, formula) > 1, severity


@pytest.mark.parametrize("size", ["32", "224"])
@pytest.mark.parametrize("name", FORMULAS)
def test_another_severity_is_further_away(name: str, size: str) -> None:
    """Or the tolerance would let a wrong constant pass."""
    picture = synthetic(SIZES[size])
    formulas = [expected(picture, name, severity, drawing(name)) for severity in range(1, 6)]
    for severity in range(1, 6):
        ours = corrupt(picture, name, severity, DIGEST)
        away = [apart(ours, formula) for formula in formulas]
        assert min(away) == away[severity - 1] and sorted(away)[1] > 2 * CLOSE, (severity, away)


@pytest.mark.parametrize("name", RANDOM)
def test_the_draws_are_those_of_the_picture(name: str) -> None:
    picture, other = synthetic((32, 32)), hashlib.sha256(b"another").digest()
    ours = corrupt(picture, name, 3, other)
    assert apart(ours, expected(picture, name, 3, drawing(name, other))) < CLOSE
    assert apart(ours, expected(picture, name, 3, drawing(name))) > 1.0


@pytest.mark.parametrize("size", [(300, 450), (100, 80), (65, 224)], ids=str)
@pytest.mark.parametrize("name", ["contrast", "defocus_blur", "gaussian_noise"])
def test_other_sizes_are_brought_to_224_first(name: str, size: tuple[int, int]) -> None:
    picture, short = synthetic(size), min(size)
    scaled = picture.resize(tuple(round(224 * side / short) for side in size), Image.Resampling.BILINEAR)
    ours = corrupt(picture, name, 2, DIGEST)
    assert min(ours.size) == 224
    assert apart(ours, expected(scaled, name, 2, drawing(name))) < CLOSE


@pytest.mark.parametrize("size", [(64, 64), (33, 64), (8, 200)], ids=str)
def test_small_ones_stay_as_they_are(size: tuple[int, int]) -> None:
    picture = synthetic(size)
    assert apart(corrupt(picture, "contrast", 5, DIGEST), expected(picture, "contrast", 5, drawing("contrast"))) < CLOSE
