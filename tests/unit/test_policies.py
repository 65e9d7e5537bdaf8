"""RandAugment and AugMix: timm's own pixels for seeded generators, and nothing that other draws could change."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment, create_transform

from ftcli.data.augmentation import policies
from ftcli.data.augmentation.kinds import POLICIES
from ftcli.data.augmentation.policies import Policy
from ftcli.data.transforms import augmentation
from ftcli.errors import RunError

MEAN = (0.485, 0.456, 0.406)


def config(side: int, interpolation: str = "bicubic") -> dict[str, Any]:
    return {
        "input_size": (3, side, side), "interpolation": interpolation, "mean": MEAN, "std": (0.2, 0.25, 0.5),
        "crop_pct": 0.9, "crop_mode": "center",
    }  # fmt: skip


def picture(side: int, seed: int = 0) -> np.ndarray:
    """Smooth, so that rotations and contrasts show: [side, side, 3]."""
    small = np.random.RandomState(seed).randint(0, 256, (4, 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def numbers(n: int, width: int = policies.NUMBERS) -> np.ndarray:
    return np.random.RandomState(1).random_sample((n, width))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("side", [32, 50])
def test_the_pixels_are_those_of_timm_s_training_transform(
    name: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """timm's own, which draws from the global generators, seeded here: every image byte for byte."""
    posterize = auto_augment.posterize
    monkeypatch.setitem(
        auto_augment.NAME_TO_OP, "PosterizeIncreasing", lambda image, bits, **_: posterize(image, max(bits, 1))
    )
    steps = create_transform(
        (3, side, side), is_training=True, auto_augment=POLICIES[name], interpolation="bicubic", mean=MEAN
    ).transforms
    (theirs,) = (step for step in steps if type(step).__module__ == "timm.data.auto_augment")
    policy, pixels, changed = Policy.of(POLICIES[name], MEAN, "bicubic"), picture(side), 0
    for u in numbers(300):
        random.seed(int(u[0] * 2**53))
        np.random.seed(int(u[1] * 2**32))
        expected = np.asarray(theirs(Image.fromarray(pixels)))
        found = policy(pixels, u)
        assert np.array_equal(found, expected)
        changed += not np.array_equal(found, pixels)
    assert changed > 100


@pytest.mark.parametrize("name", POLICIES)
def test_the_policy_comes_after_the_crop_and_flip_of_light(name: str) -> None:
    """Of the same prepared pixels, under one key; the first numbers are those of the crop."""
    mine, light = augmentation(config(32), name), augmentation(config(32), "light")
    prepared = mine.prepare(Image.fromarray(picture(60)))
    assert mine.key == light.key and np.array_equal(prepared, light.prepare(Image.fromarray(picture(60))))
    policy = Policy.of(POLICIES[name], MEAN, "bicubic")
    for u in numbers(40, mine.numbers):
        assert np.array_equal(mine.draw(prepared, u), policy(light.draw(prepared, u[:3]), u[3:]))


@pytest.mark.parametrize("name", POLICIES)
def test_global_generators_neither_change_nor_matter(name: str) -> None:
    policy, pixels, u = Policy.of(POLICIES[name], MEAN, "bicubic"), picture(32), numbers(30)
    expected = [policy(pixels, row) for row in u]
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert all(np.array_equal(policy(pixels, row), one) for row, one in zip(u, expected, strict=True))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]
    assert len({one.tobytes() for one in expected}) > 10
    assert auto_augment.random is random and auto_augment.np is np


@pytest.mark.parametrize("name", POLICIES)
def test_threads_draw_at_the_same_time(name: str) -> None:
    policy, pixels, u = Policy.of(POLICIES[name], MEAN, "bicubic"), picture(64), numbers(200)
    expected = [policy(pixels, row) for row in u]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: policy(pixels, row), u))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"])
def test_every_interpolation_of_images_is_accepted(name: str, interpolation: str) -> None:
    """Pillow rotates with three of the six."""
    transform = augmentation(config(32, interpolation), name)
    prepared = transform.prepare(Image.fromarray(picture(40)))
    for u in numbers(60, transform.numbers):
        assert transform.draw(prepared, u).shape == (32, 32, 3)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("side", [1, 2, 8])
def test_tiny_inputs_are_drawn_too(name: str, side: int) -> None:
    transform = augmentation(config(side), name)
    for pixels in (picture(side), np.full((side, side, 3), 7, np.uint8)):
        prepared = transform.prepare(Image.fromarray(pixels))
        for u in numbers(100, transform.numbers):
            assert transform.draw(prepared, u).shape == (side, side, 3)


def test_what_a_rotation_uncovers_has_the_colour_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Black pictures, of which only shears, shifts and rotations change: to the mean of the model, or towards it."""
    monkeypatch.setitem(POLICIES, "randaugment", "rand-m9-n1-p1.0")
    policy = Policy.of(POLICIES["randaugment"], (0.8, 0.2, 0.4), "nearest")
    black = np.zeros((32, 32, 3), np.uint8)
    colours = {tuple(one) for u in numbers(200) for one in policy(black, u).reshape(-1, 3).tolist()}
    assert (204, 51, 102) in colours
    assert {(0, 0, 0), (255, 255, 255)} <= colours  # of Invert


def test_no_image_is_posterized_to_black() -> None:
    """timm asks for no bit at its largest magnitude, which this Pillow refuses."""
    policy = Policy.of("rand-m10-n1-p1.0-inc1", MEAN, "bicubic")
    white = np.full((8, 8, 3), 255, np.uint8)
    drawn = {int(policy(white, u).max()) for u in numbers(300)}
    assert 128 in drawn


def test_a_timm_that_draws_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "random", np.random)
    with pytest.raises(RunError, match="random numbers"):
        policies._copy_of_timm_s()
