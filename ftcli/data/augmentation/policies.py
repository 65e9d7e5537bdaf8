"""timm's RandAugment and AugMix (Cubuk et al. 2020; Hendrycks et al. 2020), drawn from numbers that they are given."""

import importlib.util
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from ftcli.errors import RunError

MODULE = "timm.data.auto_augment"
NUMBERS = 2  # uniform random numbers that a policy needs for one image
ROTATES_WITH = ("nearest", "bilinear", "bicubic")  # the interpolations that Pillow rotates and shears with
AUGMIX_SHIFT = 0.3  # of the width or height at most, as timm has it; 0.45 for RandAugment


@dataclass(frozen=True)
class Policy:
    """One of timm's policies for images that a model takes.

    text: as timm writes it. fill: the colour where a shifted or rotated image leaves nothing, that of the model's mean.
    """

    text: str
    fill: tuple[int, ...]  # [3], of values 0 to 255
    interpolation: str

    @classmethod
    def of(cls, text: str, mean: tuple[float, ...], interpolation: str) -> "Policy":
        """As timm's own training transform has it; where Pillow cannot rotate with an interpolation, bicubic."""
        fill = tuple(min(255, round(255 * value)) for value in mean)
        return cls(text, fill, interpolation if interpolation in ROTATES_WITH else "bicubic")

    def __call__(self, pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] to the same, drawn by u, float64 [NUMBERS] in [0, 1), alone."""
        return _seeded(self, threading.get_ident())(pixels, u)


class _Seeded:
    """A policy whose draws are from two generators of its own, seeded for every image.

    timm draws from the global generators, which threads share and which are not the policy's to change. So this has a
    copy of timm's module with other generators under their names.
    """

    def __init__(self, policy: Policy) -> None:
        module = _copy_of_timm_s()
        self.numbers, self.choices = random.Random(), np.random.RandomState()
        module.random = self.numbers
        module.np = _numpy_with(self.choices)
        module.NAME_TO_OP["PosterizeIncreasing"] = partial(_posterize, module.posterize)
        settings: dict[str, Any] = {"img_mean": policy.fill}
        settings["interpolation"] = Image.Resampling[policy.interpolation.upper()]
        if policy.text.startswith("rand"):
            self.transform = module.rand_augment_transform(policy.text, settings)
        else:
            settings["translate_pct"] = AUGMIX_SHIFT
            self.transform = module.augment_and_mix_transform(policy.text, settings)

    def __call__(self, pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
        # Two numbers: both generators are Mersenne Twisters, and one seed could give both the same sequence.
        self.numbers.seed(int(u[0] * 2**53))
        self.choices.seed(int(u[1] * 2**32))
        return np.array(self.transform(Image.fromarray(np.ascontiguousarray(pixels))))


@lru_cache(maxsize=64)
def _seeded(policy: Policy, thread: int) -> _Seeded:
    """That of one thread: another may draw at the same time."""
    return _Seeded(policy)


def _copy_of_timm_s() -> Any:
    """A module of its own from timm's file. Raises RunError where it does not draw as every known one does."""
    spec = importlib.util.find_spec(MODULE)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if getattr(module, "random", None) is not random or getattr(module, "np", None) is not np:
        raise RunError(f"{MODULE} draws its random numbers in a way that is not known")
    return module


def _posterize(posterize: Callable[..., Image.Image], image: Image.Image, bits: int, **others: Any) -> Image.Image:
    """As timm, which asks for 0 bits at its largest magnitude, with at least one: Pillow refuses 0, or gives black."""
    return posterize(image, max(1, bits), **others)


def _numpy_with(generator: np.random.RandomState) -> ModuleType:
    """A module as NumPy, with this generator as its `random`."""
    module: Any = ModuleType("numpy")
    vars(module).update(vars(np) | {"random": generator})
    return module
