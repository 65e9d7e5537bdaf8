"""Transforms: from an RGB picture to the normalised tensor a model takes, as its own data configuration says."""

from collections.abc import Callable
from typing import Any

from PIL import Image
from timm.data import create_transform
from timm.data.transforms import ResizeKeepRatio, str_to_interp_mode
from torch import Tensor
from torchvision import transforms

from ftcli.errors import RequestError, choose

AUGMENTATIONS = ("none", "light", "standard")
LIGHT_SHARE = 0.875  # side of the crop over side of the picture it is cut from: 224 of 256, the usual pair
STANDARD_SCALE = (0.5, 1.0)  # share of the picture's area; less would often leave the object out

Transform = Callable[[Image.Image], Tensor]


def evaluation(cfg: dict[str, Any]) -> Transform:
    """The transform a model is measured with: picture to float32 [C, H, W], nothing random.

    Args:
        cfg: timm's resolved data configuration: input_size (C, H, W), interpolation, mean, std, crop_pct, crop_mode.
    """
    transform: Transform = create_transform(**cfg, is_training=False)
    return transform


def augmentation(cfg: dict[str, Any], name: str) -> Transform:
    """The transform a model is trained with: picture to float32 [C, H, W].

    "none" is `evaluation`; "light" a random crop from a slightly larger picture, and a flip; "standard" a random crop
    of half to all of the picture's area resized to H x W, and a flip. Random numbers come from torch's generator only.

    Raises:
        RequestError: another name.
    """
    if name not in AUGMENTATIONS:
        raise RequestError(
            f'there is no augmentation "{name}"; there are {", ".join(AUGMENTATIONS)}', choose(name, AUGMENTATIONS)
        )
    if name == "none":
        return evaluation(cfg)
    size = tuple(cfg["input_size"][-2:])  # (H, W)
    interpolation = str_to_interp_mode(cfg["interpolation"])
    if name == "light":
        cropped = [_larger(size, cfg["interpolation"]), transforms.RandomCrop(size)]
    else:
        cropped = [transforms.RandomResizedCrop(size, scale=STANDARD_SCALE, interpolation=interpolation)]
    return transforms.Compose(
        [
            *cropped,
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=cfg["mean"], std=cfg["std"]),
        ]
    )


def _larger(size: tuple[int, int], interpolation: str) -> Callable[[Image.Image], Image.Image]:
    """Resize, keeping proportions, until the picture just covers H/0.875 x W/0.875."""
    high, wide = (int(side / LIGHT_SHARE) for side in size)
    if high == wide:
        return transforms.Resize(high, interpolation=str_to_interp_mode(interpolation))
    return ResizeKeepRatio((high, wide), longest=0.0, interpolation=interpolation)
