"""The built-in demo: its worlds, and the glyphs its checkpoint was pretrained on."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from sklearn.datasets import load_digits

import ftcli
from ftcli.cache.cache import Cache
from ftcli.data.examples import open_images
from ftcli.data.sources import digits
from ftcli.data.sources.digits import WORLDS, cached_world, world
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.program import inside, lasting
from tools.digits.glyphs import glyph
from tools.digits.skeletons import SKELETONS

PRESETS = Path(ftcli.__file__).parent / "presets"


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    return {name: world(name)[0] for name in WORLDS}


def luma(image: np.ndarray) -> np.ndarray:
    """Brightness of [..., 3], in [0, 1]."""
    return image.mean(axis=-1) / 255


# --- the worlds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_has_every_digit_in_scikit_learns_order(name: str) -> None:
    images, labels = world(name)
    assert images.shape == (1797, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, load_digits().target)


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_is_the_same_every_time(name: str, pictures: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(world(name)[0], pictures[name])


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_from_the_cache_is_the_world(name: str, pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Generated, found, and made anew where the entry is spoilt or was made by other libraries."""
    cache = Cache(tmp_path / "cache", 10**9, Log())
    for _ in range(2):
        images, labels = cached_world(name, cache)
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        np.testing.assert_array_equal(images, pictures[name])
        np.testing.assert_array_equal(labels, load_digits().target)
    (entry,) = cache.entries()
    whole = entry.path.read_bytes()
    for spoilt in (whole[:-1], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], b""):
        entry.path.write_bytes(spoilt)
        np.testing.assert_array_equal(cached_world(name, cache)[0], pictures[name])
        assert entry.path.read_bytes() == whole
    assert {warning["code"] for warning in cache.log.warnings} == {"cache-damaged"}


def test_a_world_in_the_cache_is_generated_by_the_libraries_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, made = Cache(tmp_path / "cache", 10**9, Log()), []
    real = digits.world
    monkeypatch.setattr(digits, "world", lambda name: (made.append(name), real(name))[1])
    for _ in range(2):
        cached_world("plain", cache)
        cached_world("inverted", cache)
    assert made == ["plain", "inverted"]
    for other in ("scikit-learn", "numpy", "pillow"):
        made.clear()
        monkeypatch.setattr(digits, "version", lambda name, other=other: "0.0" if name == other else "1.0")
        cached_world("plain", cache)
        cached_world("plain", cache)
        assert made == ["plain"]
    made.clear()
    monkeypatch.setattr(digits.features, "version", lambda name: f"{name} 0.0")
    cached_world("plain", cache)
    assert made == ["plain"]


def test_a_run_on_digits_is_the_same_with_a_cache_and_without(tmp_path: Path) -> None:
    words = ["probe", "--preset", "digits", "--threads", 1, "--json"]
    cached = {"FTCLI_CACHE": str(tmp_path / "cache")}
    reports = [
        lasting(inside(*words, *more, "--out", tmp_path / str(i), **cached).report)
        for i, more in enumerate(([], [], ["--no-cache"]))
    ]
    reports[2]["config"]["no_cache"] = False
    assert reports[0] == reports[1] == reports[2]


def test_worlds_differ_and_no_picture_is_in_two_of_them(pictures: dict[str, np.ndarray]) -> None:
    seen = {picture.tobytes() for images in pictures.values() for picture in images}
    distinct_digits = len({image.tobytes() for image in load_digits().images})
    assert len(seen) >= len(WORLDS) * distinct_digits


def test_an_example_does_not_depend_on_the_others(
    pictures: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all digits but number 7 blanked, number 7 looks as it did, in every world."""
    original = load_digits()
    original.images[np.arange(1797) != 7] = 0
    monkeypatch.setattr(digits, "load_digits", lambda: original)
    for name in WORLDS:
        images, _ = world(name)
        np.testing.assert_array_equal(images[7], pictures[name][7])
        assert (images[8] != pictures[name][8]).any()


def test_plain_is_the_scan_enlarged(pictures: dict[str, np.ndarray]) -> None:
    """Averaging each 4 x 4 cell gives back the 8 x 8 scan, up to the smoothing between neighbours."""
    cells = luma(pictures["plain"]).reshape(1797, 8, 4, 8, 4).mean(axis=(2, 4))
    scans = load_digits().images / 16
    correlation = [np.corrcoef(cell.ravel(), scan.ravel())[0, 1] for cell, scan in zip(cells, scans, strict=True)]
    assert min(correlation) > 0.95


def test_inverted_is_the_negative_of_plain(pictures: dict[str, np.ndarray]) -> None:
    both = pictures["inverted"].astype(int) + pictures["plain"]
    assert np.abs(both - 255).max() <= 1  # rounding to whole numbers


def test_coloured_has_two_colours_far_enough_apart(pictures: dict[str, np.ndarray]) -> None:
    """Every picture lies on the line between its ground's and its ink's colour, and the ends can be told apart."""
    for ink, image in zip(pictures["plain"][:200, :, :, 0] / 255, pictures["coloured"][:200] / 255, strict=True):
        design = np.stack([np.ones(ink.size), ink.ravel()], axis=1)  # [H·W, 2]
        fit, *_ = np.linalg.lstsq(design, image.reshape(-1, 3), rcond=None)  # [2, C]: ground, colour - ground
        assert np.abs(design @ fit - image.reshape(-1, 3)).max() < 3 / 255
        assert np.abs(fit[1]).mean() > digits.LEAST_CONTRAST - 3 / 255


def test_photographs_lie_behind_the_digits(pictures: dict[str, np.ndarray]) -> None:
    """Where there is no ink, the photograph shows: many colours, not one."""
    bare = pictures["plain"].max(axis=-1) == 0  # [N, H, W]
    spread = [image[mask].std(axis=0).mean() for image, mask in zip(pictures["photo"], bare, strict=True)]
    assert np.median(spread) > 10


def test_an_unknown_world_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RequestError) as caught:
        world("foto")
    assert "foto" in caught.value.problem and all(name in caught.value.problem for name in WORLDS)
    assert "photo" in caught.value.fix


# --- the glyphs ---------------------------------------------------------------------------------------------------


def test_a_glyph_depends_on_seed_and_index_alone() -> None:
    forwards = [glyph(3, index)[0] for index in range(40)]
    backwards = [glyph(3, index)[0] for index in reversed(range(40))]
    np.testing.assert_array_equal(forwards, backwards[::-1])
    assert all((picture != glyph(4, index)[0]).any() for index, picture in enumerate(forwards))
    assert len({picture.tobytes() for picture in forwards}) == 40


def test_glyphs_are_pictures_of_balanced_classes() -> None:
    drawn = [glyph(0, index) for index in range(200)]
    assert {(picture.shape, picture.dtype) for picture, _ in drawn} == {((32, 32, 3), np.dtype(np.uint8))}
    assert np.bincount([digit for _, digit in drawn]).tolist() == [20] * 10


def test_white_on_black_glyphs_resemble_their_class() -> None:
    """Nearest class mean, fitted on half of them, names the others far better than chance: labels fit the pictures."""
    pictures, digits_shown = map(np.array, zip(*(glyph(0, index) for index in range(2000)), strict=True))
    white_on_black = pictures.std(axis=-1).mean(axis=(1, 2)) < 10  # no colour but the noise
    pixels, labels = luma(pictures[white_on_black]).reshape(-1, 32 * 32), digits_shown[white_on_black]
    half = len(labels) // 2
    means = np.stack([pixels[:half][labels[:half] == digit].mean(axis=0) for digit in range(10)])
    nearest = ((pixels[half:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert half > 150
    assert (nearest == labels[half:]).mean() > 0.5


def test_skeletons_stay_in_the_unit_square() -> None:
    assert len(SKELETONS) == 10
    for way in (way for ways in SKELETONS for way in ways):
        points = np.concatenate(way)
        assert points.shape[1] == 2
        assert points.min() >= 0 and points.max() <= 1
        assert np.ptp(points[:, 1]) > 0.7  # as tall as a digit


# --- the preset ---------------------------------------------------------------------------------------------------


def test_the_checkpoint_is_small_float32_and_names_its_classes() -> None:
    folder = PRESETS / "digits" / "checkpoint"
    weights = folder / "model.safetensors"
    config = json.loads((folder / "config.json").read_text())
    assert weights.stat().st_size < 2_000_000
    assert config["architecture"] == "test_resnet"
    assert config["label_names"] == [str(digit) for digit in range(10)]
    with safe_open(weights, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    assert {t.dtype for name, t in tensors.items() if "num_batches" not in name} == {np.dtype(np.float32)}
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_the_preset_tests_on_the_same_unseen_digits_in_every_world() -> None:
    preset = tomllib.loads((PRESETS / "digits.toml").read_text())
    sets = dict(entry.split("=", 1) for entry in preset["ood"])
    assert set(sets) == set(WORLDS) - {"plain"}
    assert [parse(text).location for text in sets.values()] == list(sets)
    opened = [open_images(parse(text), Log()) for text in (preset["id_test"], *sets.values())]
    train = open_images(parse(preset["train"]), Log())
    assert {tuple(images.ids) for images in opened} == {tuple(opened[0].ids)}
    assert set(train.ids).isdisjoint(opened[0].ids)
    assert len(train) + len(opened[0]) == 1797
