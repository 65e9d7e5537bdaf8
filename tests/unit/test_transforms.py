"""Transforms: timm's own evaluation bit for bit, the crops' distribution by torchvision's, and what makes a new key."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional as F

from ftcli.data import transforms as ours
from ftcli.data.transforms import Transform, augmentation, crop_box, evaluation
from ftcli.errors import RequestError, RunError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def config(high: int, wide: int, **more: Any) -> dict:
    return {
        "input_size": (3, high, wide),
        "interpolation": "bilinear",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.25, 0.5),
        "crop_pct": 0.8,
        "crop_mode": "center",
    } | more


def picture(wide: int, high: int) -> Image.Image:
    pixels = np.random.RandomState(0).randint(0, 256, (high, wide, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def whole(transform: Transform, image: Image.Image, u: np.ndarray | None = None) -> Tensor:
    """All three parts after each other: [C, H, W]."""
    pixels = transform.draw(transform.prepare(image), np.zeros(transform.numbers) if u is None else u)
    return transform.normalise(torch.from_numpy(pixels)[None])[0]


def uniform(transform: Transform, n: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).random_sample((n, transform.numbers))


def test_evaluation_is_resize_crop_normalise() -> None:
    image = picture(70, 50)
    expected = F.center_crop(F.resize(image, 40, F.InterpolationMode.BILINEAR), [32, 32])
    values = np.asarray(expected, dtype=np.float64) / 255
    values = ((values - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]).transpose(2, 0, 1)
    found = whole(evaluation(config(32, 32)), image)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), values, atol=1e-6)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
def test_evaluation_is_timm_s_bit_for_bit(mode: str, interpolation: str, size: tuple[int, int]) -> None:
    cfg = config(*size, mean=MEAN, std=STD, crop_mode=mode, interpolation=interpolation)
    theirs, mine = create_transform(**cfg, is_training=False), evaluation(cfg)
    for image in (picture(70, 50), picture(20, 90), picture(32, 32), picture(3, 2)):
        assert torch.equal(whole(mine, image), theirs(image))


def test_an_unknown_end_of_timm_s_transform_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = transforms.Compose([transforms.Resize(4), transforms.ToTensor(), transforms.RandomErasing()])
    monkeypatch.setattr(ours, "create_transform", lambda **_: steps)
    with pytest.raises(RunError, match="RandomErasing"):
        evaluation(config(32, 32))


def test_normalise_gives_the_bits_of_torchvision_for_every_value() -> None:
    """All 256 values in all three channels, in batches of several shapes; the memory is channels-last."""
    values = np.arange(256, dtype=np.uint8)
    transform = evaluation(config(16, 16, mean=MEAN, std=STD))
    pipeline = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    for shape in ((1, 16, 16), (2, 8, 16), (4, 64, 1)):
        pixels = np.stack([np.random.RandomState(c).permutation(values).reshape(shape) for c in range(3)], axis=-1)
        found = transform.normalise(torch.from_numpy(pixels))
        assert torch.equal(found, torch.stack([pipeline(one) for one in pixels]))
        assert found.is_contiguous(memory_format=torch.channels_last)


def test_constants_made_in_a_prediction_serve_training() -> None:
    transform = evaluation(config(16, 16, mean=(0.123, 0.4, 0.5)))
    with torch.inference_mode():
        transform.normalise(torch.zeros(1, 4, 4, 3, dtype=torch.uint8))
    assert not any(
        tensor.is_inference() for tensor in ours._constants(transform.mean, transform.std, 4, torch.device("cpu"))
    )


@pytest.mark.parametrize("name", ours.AUGMENTATIONS)
@pytest.mark.parametrize("size", [(32, 32), (24, 48), (48, 24)])
@pytest.mark.parametrize("image", [picture(20, 90), picture(64, 64), picture(1, 1)])
def test_any_picture_comes_out_at_the_model_s_size(name: str, size: tuple[int, int], image: Image.Image) -> None:
    transform = augmentation(config(*size), name)
    assert transform.size == size
    for u in (0.0, 1 - 2**-53):
        assert whole(transform, image, np.full(transform.numbers, u)).shape == (3, *size)


@pytest.mark.parametrize("name", ours.AUGMENTATIONS)
def test_a_transform_can_be_sent_to_a_process(name: str) -> None:
    transform = augmentation(config(32, 32), name)
    again, image, u = pickle.loads(pickle.dumps(transform)), picture(70, 50), uniform(transform, 1)[0]
    assert again.key == transform.key
    assert torch.equal(whole(again, image, u), whole(transform, image, u))


def test_none_is_the_evaluation_transform() -> None:
    image = picture(70, 50)
    none = augmentation(config(32, 32), "none")
    assert none.key == evaluation(config(32, 32)).key and none.numbers == 0
    assert torch.equal(whole(none, image), whole(evaluation(config(32, 32)), image))


def test_flip_is_the_evaluation_transform_and_every_second_one_mirrored() -> None:
    """Its pixels are those of evaluation, under the same key."""
    image, flip, plain = picture(70, 50), augmentation(config(32, 32), "flip"), evaluation(config(32, 32))
    assert flip.key == plain.key and np.array_equal(flip.prepare(image), plain.prepare(image))
    expected = plain.prepare(image)
    drawn = [flip.draw(expected, u) for u in uniform(flip, 400)]
    mirrored = [np.array_equal(one, expected[:, ::-1]) for one in drawn]
    assert all(flipped or np.array_equal(one, expected) for one, flipped in zip(drawn, mirrored, strict=True))
    assert 150 < sum(mirrored) < 250  # 200 ± 5 standard deviations


@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
def test_light_crops_from_a_squashed_picture(size: tuple[int, int], crop_pct: float) -> None:
    """As torchvision does: Resize((H/0.875, W/0.875)), RandomCrop, RandomHorizontalFlip; evaluation: Resize((H, W))."""
    image = picture(90, 50)
    cfg = config(*size, crop_mode="squash", crop_pct=crop_pct, interpolation="bicubic")
    larger = [int(side / 0.875) for side in size]
    resized = np.asarray(F.resize(image, larger, F.InterpolationMode.BICUBIC))
    light = augmentation(cfg, "light")
    assert np.array_equal(light.prepare(image), resized)
    found, expected = crops(light, image), windows(resized, size)
    assert found <= expected and len(found) > 0.9 * len(expected)
    if crop_pct == 1:
        whole_image = np.asarray(F.resize(image, list(size), F.InterpolationMode.BICUBIC))
        assert np.array_equal(evaluation(cfg).prepare(image), whole_image)
    assert light.key != augmentation(config(*size, crop_pct=crop_pct, interpolation="bicubic"), "light").key


def test_light_crops_from_a_picture_of_short_side_size_over_0875() -> None:
    """Every crop, flipped or not, is found in the resized picture at some offset, and every offset comes up."""
    image = picture(60, 40)
    large = torch.from_numpy(np.array(F.resize(image, 36, F.InterpolationMode.BILINEAR)))  # int(32 / 0.875) = 36
    assert large.shape == (36, 54, 3)
    windows = large.unfold(0, 32, 1).unfold(1, 32, 1).permute(0, 1, 3, 4, 2).flatten(0, 1)  # [offsets, 32, 32, 3]
    places = {window.numpy().tobytes(): i for i, window in enumerate(windows)}
    mirrored = {window.flip(1).numpy().tobytes(): i for i, window in enumerate(windows)}
    transform = augmentation(config(32, 32), "light")
    prepared = transform.prepare(image)
    crops = [transform.draw(prepared, u).tobytes() for u in uniform(transform, 3000)]
    assert all((crop in places) != (crop in mirrored) for crop in crops)
    assert 1350 < sum(crop in mirrored for crop in crops) < 1650  # 1500 ± 5 standard deviations
    counts = np.bincount([(places | mirrored)[crop] for crop in crops], minlength=5 * 23)
    expected = 3000 / (5 * 23)
    assert ((counts - expected) ** 2 / expected).sum() < 114 + 5 * math.sqrt(2 * 114)  # chi-squared of 114 degrees


def crops(transform: Transform, image: Image.Image, n: int = 1500) -> set[bytes]:
    prepared = transform.prepare(image)
    return {transform.draw(prepared, u).tobytes() for u in uniform(transform, n)}


def windows(padded: np.ndarray, size: tuple[int, int]) -> set[bytes]:
    """Every window of that size of [h, w, 3], and each of them mirrored."""
    places = [(t, left) for t in range(padded.shape[0] - size[0] + 1) for left in range(padded.shape[1] - size[1] + 1)]
    cut = [padded[t : t + size[0], left : left + size[1]] for t, left in places]
    return {one.tobytes() for one in cut} | {one[:, ::-1].tobytes() for one in cut}


@pytest.mark.parametrize("crop_pct", [1.0, 0.9])
@pytest.mark.parametrize(
    ("size", "wide", "high"),
    [((32, 32), 32, 32), ((48, 48), 48, 48), ((32, 32), 20, 31), ((16, 48), 48, 16), ((16, 48), 33, 9)],
)
def test_light_pads_a_picture_that_fits_into_the_input(
    size: tuple[int, int], wide: int, high: int, crop_pct: float
) -> None:
    """What torchvision's RandomCrop gives, with an eighth of black on each side, of the pixels that evaluation sees."""
    cfg, image = config(*size, crop_pct=crop_pct), picture(wide, high)
    evaluated = evaluation(cfg).prepare(image)
    pad = transforms.Pad((size[1] // 8, size[0] // 8))
    expected = windows(np.asarray(pad(Image.fromarray(evaluated))), size)
    light = augmentation(cfg, "light")
    found = crops(light, image)
    assert found <= expected and len(found) > 0.9 * len(expected)
    assert np.array_equal(light.draw(light.prepare(image), np.array([0.5, 0.5, 0.9])), evaluated)  # the middle


@pytest.mark.parametrize(("size", "wide", "high"), [((32, 32), 41, 32), ((32, 32), 32, 33), ((24, 16), 30, 24)])
def test_light_crops_from_the_picture_itself_where_evaluation_does(size: tuple[int, int], wide: int, high: int) -> None:
    """A shifted picture of 224 x 336, for instance, before a model of 224 pixels that is evaluated on all of 224."""
    image = picture(wide, high)
    own = np.pad(np.asarray(image), ((size[0] // 8,) * 2, (size[1] // 8,) * 2, (0, 0)))
    assert crops(augmentation(config(*size, crop_pct=1.0), "light"), image) <= windows(own, size)
    resized = augmentation(config(*size, crop_pct=0.8), "light").prepare(image)  # evaluation enlarges it too
    assert resized.shape[0] > high and not (crops(augmentation(config(*size), "light"), image, 50) & windows(own, size))


@pytest.mark.parametrize("side", [32, 64])
def test_light_keeps_as_much_noise_as_evaluation(side: int) -> None:
    """Of pictures of many sizes in one set: none is more blurred than evaluation sees it, by more than rounding."""
    cfg = config(side, side, crop_pct=1.0)
    light, evaluated = augmentation(cfg, "light"), evaluation(cfg)
    for wide, high in [(side, side), (side, side + 7), (side - 1, side), (side + 2, side + 1), (2 * side, 3 * side)]:
        image = picture(wide, high)
        middle = light.draw(light.prepare(image), np.array([0.5, 0.5, 0.9]))
        noise = [
            pixels[side // 4 : -side // 4, side // 4 : -side // 4].std()
            for pixels in (middle, evaluated.prepare(image))
        ]
        assert noise[0] > 0.95 * noise[1], (wide, high)


@pytest.mark.parametrize(("size", "wide", "high"), [(32, 33, 33), (32, 31, 50), (112, 227, 227), (224, 227, 227)])
def test_light_resizes_a_larger_picture_as_before(size: int, wide: int, high: int) -> None:
    image = picture(wide, high)
    expected = F.resize(image, int(size / 0.875), F.InterpolationMode.BILINEAR)
    for crop_pct in (0.875, 1.0):
        prepared = augmentation(config(size, size, crop_pct=crop_pct), "light").prepare(image)
        assert np.array_equal(prepared, np.asarray(expected))


def test_standard_never_takes_less_than_half_the_area() -> None:
    """A picture black but for a white corner: a crop of half the area is never all white, and may be flipped."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:30, :30] = 255
    transform = augmentation(config(16, 16, mean=(0.0,) * 3, std=(1.0,) * 3), "standard")
    crops = [whole(transform, Image.fromarray(pixels), u) for u in uniform(transform, 200)]
    means = [crop.mean().item() for crop in crops]
    assert 50 < sum(bool(crop[:, :, -1].sum() > crop[:, :, 0].sum()) for crop in crops) < 150
    assert max(means) <= 30 * 30 / (0.5 * 64 * 64) + 0.03
    assert max(means) - min(means) > 0.1


@pytest.mark.parametrize("size", [(64, 64), (40, 90), (200, 50), (10, 300), (300, 10)])
@pytest.mark.parametrize("least", [0.5, 0.08])
def test_standard_crops_as_torchvision_does(size: tuple[int, int], least: float) -> None:
    """The same distribution of area, ratio and place: two samples by Kolmogorov and Smirnov, with torchvision's own."""
    from scipy.stats import ks_2samp

    image = torch.zeros(3, *size)
    torch.manual_seed(0)
    theirs = [transforms.RandomResizedCrop.get_params(image, [least, 1.0], [3 / 4, 4 / 3]) for _ in range(2000)]
    mine = [crop_box(*size, u, least) for u in np.random.RandomState(1).random_sample((2000, 23))]
    for t, left, h, w in mine:
        assert 0 <= t <= size[0] - h and 0 <= left <= size[1] - w and h > 0 and w > 0
    for part in range(4):
        a, b = ([box[part] for box in boxes] for boxes in (theirs, mine))
        assert ks_2samp(a, b).pvalue > 1e-4
    if min(size) == 10 and least == 0.5:  # nothing of that ratio has half the area: the middle
        assert set(mine) == set(theirs) and len(set(mine)) == 1


def test_standard_resizes_the_crop_as_torchvision_does() -> None:
    """The first pair of numbers fits: half of its range is an area of 0.75, and a ratio of 1."""
    image = picture(100, 100)
    transform = augmentation(config(32, 32, interpolation="bicubic"), "standard")
    u = np.zeros(transform.numbers)
    u[:2], u[-3:] = 0.5, (0.5, 0.25, 0.9)  # place and flip: not flipped
    side = round(math.sqrt(0.75 * 100 * 100))  # 87, so 14 places in each direction
    expected = F.resized_crop(image, 7, 3, side, side, [32, 32], F.InterpolationMode.BICUBIC)
    prepared = transform.prepare(image)
    assert np.array_equal(transform.draw(prepared, u), np.asarray(expected))
    u[-1] = 0.4999
    assert np.array_equal(transform.draw(prepared, u), np.asarray(expected)[:, ::-1])


def test_the_least_share_of_the_area_reaches_the_crops() -> None:
    """The first pair of numbers is the smallest area, of a square."""
    image, u = picture(100, 100), np.zeros(23)
    u[1], u[-1] = 0.5, 0.9
    for least, side in ((0.5, 71), (0.08, 28)):
        transform = augmentation(config(32, 32), "standard", least)
        expected = F.resized_crop(image, 0, 0, side, side, [32, 32], F.InterpolationMode.BILINEAR)
        assert np.array_equal(transform.draw(transform.prepare(image), u), np.asarray(expected))


def test_drawing_leaves_the_prepared_pixels_alone() -> None:
    for name in ("light", "standard"):
        transform = augmentation(config(32, 32), name)
        prepared = transform.prepare(picture(60, 40))
        before = prepared.copy()
        for u in uniform(transform, 20):
            transform.draw(prepared, u)
        assert np.array_equal(prepared, before)


def test_every_setting_of_prepare_has_a_key_of_its_own() -> None:
    """And what only `draw` and `normalise` depend on has none: those share their pixels."""
    base = evaluation(config(32, 32)).key
    others = [
        config(33, 32), config(32, 32, interpolation="bicubic"), config(32, 32, crop_pct=0.9),
        config(32, 32, crop_mode="squash"), config(32, 32, crop_mode="border"),
        config(32, 32, crop_mode="border", mean=(0.1, 0.2, 0.3)),
    ]  # fmt: skip
    assert len({base, *(evaluation(cfg).key for cfg in others)}) == 1 + len(others)
    assert evaluation(config(32, 32, mean=(0.0,) * 3, std=(1.0,) * 3)).key == base
    light = augmentation(config(32, 32), "light").key
    assert len({base, light, augmentation(config(33, 32), "light").key}) == 3
    assert augmentation(config(32, 32, interpolation="bicubic"), "light").key != light
    assert augmentation(config(32, 32, crop_pct=0.5), "light").key != light  # of pictures that fit into the input
    assert augmentation(config(32, 32, mean=(0.0,) * 3, std=(1.0,) * 3), "light").key == light
    standard = augmentation(config(32, 32), "standard").key
    assert standard not in (base, light) and augmentation(config(48, 32), "standard").key == standard


@pytest.mark.parametrize("package", ["pillow", "torchvision", "timm"])
def test_another_version_of_a_library_has_another_key(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [augmentation(config(32, 32), name).key for name in ours.AUGMENTATIONS]
    number = ours.version(package)
    assert f"{package} {number}" in ours.MADE_BY
    monkeypatch.setattr(ours, "MADE_BY", ours.MADE_BY.replace(f"{package} {number}", f"{package} {number}.1"))
    after = [augmentation(config(32, 32), name).key for name in ours.AUGMENTATIONS]
    assert not set(before) & set(after)


def test_unknown_augmentation() -> None:
    with pytest.raises(RequestError, match='"lite"') as error:
        augmentation(config(32, 32), "lite")
    assert "light" in error.value.fix
