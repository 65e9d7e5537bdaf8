"""Options of how images are prepared: in evaluation as timm's data configuration has it, and augmented in training."""

from typing import Annotated, Literal

from ftcli.config.declare import DATA, option
from ftcli.data.augmentation.kinds import LEAST_SHARE, POLICY_HELP, Augmentation
from ftcli.errors import RequestError

PREPARATION = ("crop_mode", "crop_pct", "interpolation")  # of timm's data configuration

CropMode = Annotated[
    Literal["center", "squash", "border"] | None,
    option(
        "How images become square: center crops, squash ignores the aspect ratio, border pads.",
        panel=DATA,
        default="the model's own",
        metavar="center|squash|border",
    ),
]
CropPct = Annotated[
    float | None,
    option(
        "Side of the input over side of the resized image that it is cropped from; 1: no more than it is resized to.",
        panel=DATA,
        default="the model's own",
        min=0.1,
        max=1.0,
        metavar="SHARE",
    ),
]
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] | None,
    option(
        "Interpolation with which images are resized.",
        panel=DATA,
        default="the model's own",
        metavar="nearest|bilinear|bicubic|box|hamming|lanczos",
    ),
]
Augment = Annotated[
    Augmentation,
    option(
        "Augmentation: none; flip: horizontal flip; light: random crop and flip; standard: RandomResizedCrop and flip;"
        f" {POLICY_HELP}.",
        panel=DATA,
    ),
]
CropScale = Annotated[
    float,
    option(
        "With --augment standard, least share of the image's area in a crop.",
        panel=DATA,
        min=0.001,
        max=1.0,
        metavar="SHARE",
    ),
]


def check_crop_scale(augment: str, crop_scale: float) -> None:
    """Raises RequestError for a share of the area where nothing is cropped by area."""
    if augment != "standard" and crop_scale != LEAST_SHARE:
        raise RequestError(
            f"--crop-scale {crop_scale:g}: --augment {augment} does not crop by area.",
            f"--augment standard, or --crop-scale {LEAST_SHARE:g} where a file sets another",
        )
