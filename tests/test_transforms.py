"""Transforms: shapes and value range, the evaluation transform against timm's steps written out, and seeds."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from ftcli.data.transforms import augmentation, evaluation
from ftcli.errors import RequestError


def config(high: int, wide: int) -> dict:
    return {
        "input_size": (3, high, wide),
        "interpolation": "bilinear",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.25, 0.5),
        "crop_pct": 0.8,
        "crop_mode": "center",
    }


def picture(wide: int, high: int) -> Image.Image:
    pixels = np.random.RandomState(0).randint(0, 256, (high, wide, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def test_evaluation_is_resize_crop_normalise() -> None:
    image = picture(70, 50)
    expected = F.center_crop(F.resize(image, 40, F.InterpolationMode.BILINEAR), [32, 32])
    values = np.asarray(expected, dtype=np.float64) / 255
    values = ((values - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]).transpose(2, 0, 1)
    found = evaluation(config(32, 32))(image)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), values, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "light", "standard"])
@pytest.mark.parametrize("size", [(32, 32), (24, 48), (48, 24)])
@pytest.mark.parametrize("image", [picture(20, 90), picture(64, 64), picture(1, 1)])
def test_any_picture_comes_out_at_the_model_s_size(name: str, size: tuple[int, int], image: Image.Image) -> None:
    assert augmentation(config(*size), name)(image).shape == (3, *size)


def test_none_is_the_evaluation_transform() -> None:
    image = picture(70, 50)
    assert torch.equal(augmentation(config(32, 32), "none")(image), evaluation(config(32, 32))(image))


def test_light_crops_from_a_picture_of_short_side_size_over_0875() -> None:
    """Every crop, flipped or not, is found in the resized picture at some offset."""
    image = picture(60, 40)
    large = F.normalize(
        F.to_tensor(F.resize(image, 36, F.InterpolationMode.BILINEAR)), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    )  # int(32 / 0.875) = 36
    windows = large.unfold(1, 32, 1).unfold(2, 32, 1)  # [3, offsets, offsets, 32, 32]
    transform = augmentation(config(32, 32), "light")
    torch.manual_seed(0)
    found = [transform(image) for _ in range(20)]
    straight, flipped = (
        [bool((side == crop[:, None, None]).all(dim=(0, 3, 4)).any()) for crop in found]
        for side in (windows, windows.flip(4))
    )
    assert all(one != other for one, other in zip(straight, flipped, strict=True))
    assert 4 <= sum(flipped) <= 16
    assert len({crop.numpy().tobytes() for crop in found}) > 10


def test_standard_never_takes_less_than_half_the_area() -> None:
    """A picture black but for a white corner: a crop of half the area is never all white, and may be flipped."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:30, :30] = 255
    transform = augmentation({**config(16, 16), "mean": (0.0,) * 3, "std": (1.0,) * 3}, "standard")
    torch.manual_seed(0)
    crops = [transform(Image.fromarray(pixels)) for _ in range(200)]
    means = [crop.mean().item() for crop in crops]
    assert 50 < sum(bool(crop[:, :, -1].sum() > crop[:, :, 0].sum()) for crop in crops) < 150
    assert max(means) <= 30 * 30 / (0.5 * 64 * 64) + 0.03
    assert max(means) - min(means) > 0.1


def test_unknown_augmentation() -> None:
    with pytest.raises(RequestError, match='"lite"') as error:
        augmentation(config(32, 32), "lite")
    assert "light" in error.value.fix
