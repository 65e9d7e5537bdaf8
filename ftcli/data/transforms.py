"""Transforms: from an RGB image to the normalised tensor a model takes, as its own data configuration says."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import ResizeKeepRatio, str_to_interp_mode
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from ftcli.data.augmentation.kinds import LEAST_SHARE, POLICIES, Augmentation
from ftcli.data.augmentation.policies import NUMBERS, Policy
from ftcli.data.shifts.permutation import check_blocks, permute
from ftcli.data.shifts.shift import Shuffle
from ftcli.errors import RequestError, RunError, choose

AUGMENTATIONS = get_args(Augmentation)
LIGHT_SHARE = 0.875  # side of the crop over side of the image it is cut from: 224 of 256, the usual pair
PADDING = 0.125  # of the input's side, on each side of an image that fits into it: 4 pixels of 32, the usual pair
STANDARD_RATIO = (3 / 4, 4 / 3)  # width over height of the crop
ATTEMPTS = 10  # crops tried until one lies inside the image, as torchvision does
MADE_BY = " ".join(f"{name} {version(name)}" for name in ("pillow", "torchvision", "timm"))

DataConfig = Mapping[str, Any]  # timm's data configuration: input_size, mean, std, interpolation, crop_pct, crop_mode
Step = Callable[[Image.Image], Image.Image]
Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Transform:
    """From an image to the normalised tensor, in three steps.

    `prepare` is done once per image and always gives the same, so its result can be kept; `draw` is the random step,
    done each time; `normalise` takes whole batches, on the device of the model.
    """

    key: str  # all that `prepare` depends on but the image
    size: tuple[int, int]  # (H, W) of what `draw` gives
    prepare: Callable[[Image.Image], np.ndarray]  # RGB image to uint8 [h, w, 3]
    draw: Draw  # prepared pixels, float64 [numbers] in [0, 1) to uint8 [H, W, 3]
    numbers: int  # uniform random numbers that `draw` needs for one example; with 0 it changes nothing
    mean: tuple[float, ...]  # [3], of values in [0, 1]
    std: tuple[float, ...]  # [3]
    shuffle: Shuffle | None = field(default=None, kw_only=True)  # one permutation of every normalised image
    prepared_side: float | None = field(default=1, kw_only=True)  # of a square image over H or W; None: that it has

    @property
    def prepared_bytes(self) -> int | None:
        """What `prepare` gives of a square image; None where that goes by the image's own size."""
        H, W = self.size
        return None if self.prepared_side is None else int(3 * H * W * self.prepared_side**2)

    @property
    def normalisation_key(self) -> str:
        """All that `normalise` depends on, for a key."""
        return f"{self.mean} {self.std}" + (f" shuffle {self.shuffle}" if self.shuffle else "")

    def shuffled(self, shuffle: Shuffle | None) -> "Transform":
        """The transform of a set that is shuffled, or not. Raises RequestError where its blocks do not fit."""
        if shuffle is not None:
            check_blocks(shuffle, self.size)
        return replace(self, shuffle=shuffle)

    def normalise(self, batch: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] to float32 [B, 3, H, W], channels-last in memory, on the same device.

        (x / 255 - mean) / std in the order of torchvision's ToTensor and Normalize: the same bits. Then, for a shuffled
        set, the same permutation of every image.
        """
        B, H, W, C = batch.shape
        white, mean, std = _constants(self.mean, self.std, W, batch.device)
        # One long row per line of pixels: broadcasting over the three channels alone is several times slower.
        rows = batch.reshape(B * H, W * C).float().div_(white).sub_(mean).div_(std)  # [B H, W C]
        if self.shuffle:
            rows = permute(rows.view(B, H, W, C), self.shuffle)
        return rows.view(B, H, W, C).permute(0, 3, 1, 2)


@lru_cache(maxsize=16)
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], W: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """255, and mean and standard deviation of a line of W pixels [W C]. Kept, because moving them makes a GPU wait."""
    with torch.inference_mode(False):  # a prediction may come first, and training shall be able to use them too
        white = torch.tensor(255.0, device=device)  # a GPU would multiply by 1/255 in place of dividing by a number
        return white, torch.tensor(mean, device=device).repeat(W), torch.tensor(std, device=device).repeat(W)


def evaluation(cfg: DataConfig) -> Transform:
    """The transform a model is measured with: timm's own, bit for bit, and nothing random.

    Args:
        cfg: timm's resolved data configuration: input_size (C, H, W), interpolation, mean, std, crop_pct, crop_mode.

    Raises:
        RunError: timm's transform does not end as every known one does.
    """
    steps, normalize = _steps(cfg)
    # A new mean makes new pixels only where it is the colour of the border.
    relevant = {name: cfg[name] for name in cfg if name not in ("mean", "std") or cfg.get("crop_mode") == "border"}
    return Transform(
        key=f"evaluation {json.dumps(relevant, sort_keys=True, default=str)} {list(steps)} {MADE_BY}",
        size=_size(cfg),
        prepare=partial(_through, steps),
        draw=_unchanged,
        numbers=0,
        mean=tuple(torch.as_tensor(normalize.mean).tolist()),
        std=tuple(torch.as_tensor(normalize.std).tolist()),
    )


def augmentation(cfg: DataConfig, name: str, least_share: float = LEAST_SHARE) -> Transform:
    """The transform a model is trained with.

    "none" is `evaluation`; "flip" the same and a flip; "light" a random crop from a slightly larger image, resized or
    padded, and a flip; "standard" a random crop of `least_share` to all of the image's area resized to H x W, and a
    flip; "randaugment" and "augmix" are "light", and then timm's policy of that name.

    Raises:
        RequestError: another name.
    """
    if name not in AUGMENTATIONS:
        raise RequestError(
            f'there is no augmentation "{name}"; there are {", ".join(AUGMENTATIONS)}', choose(name, AUGMENTATIONS)
        )
    evaluated = evaluation(cfg)
    if name == "none":
        return evaluated
    if name == "flip":  # of pixels that are those of evaluation, under one key
        return replace(evaluated, draw=_flip_half, numbers=1)
    size, mean, std = _size(cfg), tuple(cfg["mean"]), tuple(cfg["std"])
    if name in POLICIES:  # of pixels that are those of light, under one key
        light = augmentation(cfg, "light")
        draw = partial(_by_policy, light.draw, Policy.of(POLICIES[name], mean, cfg["interpolation"]))
        return replace(light, draw=draw, numbers=light.numbers + NUMBERS)
    if name == "light":
        larger = _larger(size, cfg["interpolation"], squash=cfg["crop_mode"] == "squash")
        prepare = partial(_with_room, size, _steps(cfg)[0], larger)
        key = f"light {larger} padded {PADDING} {evaluated.key}"
        side = 1 / LIGHT_SHARE
        return Transform(key, size, prepare, partial(_crop_and_flip, size), 3, mean, std, prepared_side=side)
    draw = partial(_resized_crop_and_flip, size, str_to_interp_mode(cfg["interpolation"]), least_share)
    key = f"full size {MADE_BY}"
    return Transform(key, size, partial(_through, ()), draw, 2 * ATTEMPTS + 3, mean, std, prepared_side=None)


def _steps(cfg: DataConfig) -> tuple[tuple[Step, ...], transforms.Normalize]:
    """timm's evaluation transform: resize and crop, then the normalisation. Raises RunError where it ends in others."""
    *steps, to_tensor, normalize = create_transform(**cfg, is_training=False).transforms
    if not (isinstance(to_tensor, transforms.ToTensor) and isinstance(normalize, transforms.Normalize)):
        raise RunError(f"timm's evaluation transform ends in {to_tensor}, {normalize}: this timm is not known")
    return tuple(steps), normalize


def _size(cfg: DataConfig) -> tuple[int, int]:
    high, wide = cfg["input_size"][-2:]
    return high, wide


def _through(steps: tuple[Step, ...], image: Image.Image) -> np.ndarray:
    """The image after all steps, uint8 [h, w, 3]."""
    for step in steps:
        image = step(image)
    return np.array(image)


def _with_room(size: tuple[int, int], evaluated: tuple[Step, ...], larger: Step, image: Image.Image) -> np.ndarray:
    """What "light" crops from, uint8 [h, w, 3]: larger than H x W, and as sharp as evaluation sees it.

    Resized from 32 to 36 pixels, noise loses a third of its deviation. So an image that fits into H x W has the pixels
    that evaluation gives it, and one that covers H x W exactly, where evaluation only crops, has its own; both with a
    black border. Any other is resized, as evaluation resizes it to sides about as long.
    """
    over = (image.height - size[0], image.width - size[1])
    if max(over) <= 0:
        pixels = _through(evaluated, image)
    elif min(over) == 0 and evaluated[0](image).size == image.size:
        pixels = np.asarray(image)
    else:
        return _through((larger,), image)
    border = [(int(side * PADDING),) * 2 for side in size]
    return np.pad(pixels, (*border, (0, 0)))


def _larger(size: tuple[int, int], interpolation: str, squash: bool) -> Step:
    """Resize, keeping proportions, until the image just covers H/0.875 x W/0.875; or `squash` it to just that."""
    high, wide = (int(side / LIGHT_SHARE) for side in size)
    if squash:
        return transforms.Resize((high, wide), interpolation=str_to_interp_mode(interpolation))
    if high == wide:
        return transforms.Resize(high, interpolation=str_to_interp_mode(interpolation))
    return ResizeKeepRatio((high, wide), longest=0.0, interpolation=interpolation)


def _unchanged(pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
    return pixels


def _flip_half(pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Every second one mirrored."""
    return _flip(pixels, u[0])


def _crop_and_flip(size: tuple[int, int], pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Every crop of that size equally likely, and every second one mirrored."""
    (h, w), (H, W) = pixels.shape[:2], size
    top, left = int(u[0] * (h - H + 1)), int(u[1] * (w - W + 1))
    return _flip(pixels[top : top + H, left : left + W], u[2])


def _by_policy(draw: Draw, policy: Policy, pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
    """What a policy makes of a crop."""
    return policy(draw(pixels, u[:-NUMBERS]), u[-NUMBERS:])


def _resized_crop_and_flip(
    size: tuple[int, int], interpolation: InterpolationMode, least_share: float, pixels: np.ndarray, u: np.ndarray
) -> np.ndarray:
    top, left, h, w = crop_box(pixels.shape[0], pixels.shape[1], u, least_share)
    crop = Image.fromarray(np.ascontiguousarray(pixels[top : top + h, left : left + w]))
    return _flip(np.array(F.resize(crop, list(size), interpolation)), u[-1])


def crop_box(high: int, wide: int, u: np.ndarray, least_share: float = LEAST_SHARE) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random crop with the distribution of torchvision's RandomResizedCrop.

    Area uniform in [`least_share`, 1] of the image's, logarithm of the ratio uniform in `STANDARD_RATIO`; the first of
    `ATTEMPTS` pairs that fits inside the image, at a uniform position; where none fits, the largest middle part of an
    allowed ratio. u: float64 [2 ATTEMPTS + 3], the pairs, the position, and a number that is not used here.
    """
    low, up = math.log(STANDARD_RATIO[0]), math.log(STANDARD_RATIO[1])
    for share, tall in u[: 2 * ATTEMPTS].reshape(ATTEMPTS, 2).tolist():
        area = high * wide * (least_share + share * (1 - least_share))
        ratio = math.exp(low + tall * (up - low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= wide and 0 < h <= high:
            return int(u[-3] * (high - h + 1)), int(u[-2] * (wide - w + 1)), h, w
    h = min(high, round(wide / STANDARD_RATIO[0]))
    w = min(wide, round(high * STANDARD_RATIO[1]))
    return (high - h) // 2, (wide - w) // 2, h, w


def _flip(pixels: np.ndarray, u: float) -> np.ndarray:
    """Mirrored left to right where u < 1/2. By torch, which moves such short pixels many times faster than numpy."""
    return torch.from_numpy(pixels).flip(1).numpy() if u < 0.5 else pixels
