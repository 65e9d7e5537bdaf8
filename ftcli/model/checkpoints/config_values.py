"""Checks on the values of a config.json: which a model may have, before anything is built from them."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import timm

from ftcli.errors import RequestError
from ftcli.limits import MAX_CONFIG_CLASSES, MAX_CONFIG_NUMBER, MAX_CONFIG_SIDE, MAX_CONFIG_TEXT, MAX_CONFIG_VALUES
from ftcli.safe_text import quoted, shortened

SOURCES = ("url", "file", "source", "state_dict", "hf_hub_id", "hf_hub_filename", "custom_load")  # of other weights
# Of timm.create_model itself, not of an architecture: they name other models, other files and other folders.
NOT_OF_A_MODEL = (*inspect.signature(timm.create_model).parameters, "pretrained_strict", "pretrained_filter_fn")

Test = Callable[[Any], bool]


TimmConfig = dict[str, Any]  # timm's own: a pretrained_cfg, or arguments of timm.create_model


def checked_args(args: Mapping[str, Any], where: str) -> TimmConfig:
    """timm's `model_args`. Raises RequestError for what is no argument of an architecture, or larger than any is."""
    for name, value in args.items():
        if name in NOT_OF_A_MODEL:
            raise RequestError(
                f"{where}: model_args has {quoted(name)}, which is no argument of an architecture", f"remove {name}"
            )
        if problem := _too_much(value):
            raise RequestError(
                f"{where}: model_args has {quoted(name)}: {excerpt(value)}, {problem}", "give the file as timm saved it"
            )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in args.items()}


def checked_cfg(cfg: Mapping[str, Any], where: str) -> TimmConfig:
    """timm's `pretrained_cfg` without what names other weights. Raises RequestError for a value that cannot be."""
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in cfg.items()
        if name not in SOURCES and value is not None
    }
    for name, (fits, allowed) in ALLOWED.items():
        if name in values and not fits(values[name]):
            raise RequestError(f"{where}: {name} is {excerpt(values[name])}", f"it has to be {allowed}")
    return values


def excerpt(value: Any) -> str:
    """A value as messages show it."""
    return shortened(ascii(value), MAX_CONFIG_TEXT)


def _too_much(value: Any) -> str:
    """Why no network has such an argument; empty where one may."""
    rest, count = [value], 0
    while rest:
        value, count = rest.pop(), count + 1
        if count > MAX_CONFIG_VALUES:
            return f"and at most {MAX_CONFIG_VALUES:,} values are allowed"
        if isinstance(value, list | tuple):
            rest += value[: MAX_CONFIG_VALUES + 1]
        elif isinstance(value, Mapping):
            rest += [*value, *value.values()][: MAX_CONFIG_VALUES + 1]
        elif isinstance(value, str) and len(value) > MAX_CONFIG_TEXT:
            return f"and at most {MAX_CONFIG_TEXT} characters are allowed"
        elif isinstance(value, int | float) and not abs(value) <= MAX_CONFIG_NUMBER:
            return f"and at most {MAX_CONFIG_NUMBER:,} is allowed"
    return ""


def _number(least: float, most: float) -> Test:
    def fits(value: Any) -> bool:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return plain and math.isfinite(value) and least <= value <= most

    return fits


def _three(each: Test) -> Test:
    return lambda value: isinstance(value, tuple) and len(value) == 3 and all(map(each, value))


def _count(most: int) -> Test:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _one_of(*words: str) -> tuple[Test, str]:
    return lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}"


def _names(value: Any) -> bool:
    """A module's name, or several."""
    several = value if isinstance(value, tuple) else (value,)
    return all(isinstance(name, str) and len(name) <= MAX_CONFIG_TEXT for name in several)


_SIZE = (
    _three(_count(MAX_CONFIG_SIDE)),
    f"three whole numbers, channels and sides, of at most {MAX_CONFIG_SIDE}; --image-size sets another",
)
_SCALE = "of pixels in [0, 1]: divide those of 0 … 255 by 255"
_CROP = (_number(0.1, 2), "a number from 0.1 to 2")
_NAMES = (_names, f"the name of a module, of at most {MAX_CONFIG_TEXT} characters")
ALLOWED: dict[str, tuple[Test, str]] = {
    "input_size": _SIZE,
    "test_input_size": _SIZE,
    "min_input_size": _SIZE,
    "fixed_input_size": (lambda value: isinstance(value, bool), "true or false"),
    "mean": (_three(_number(0, 1)), f"three numbers from 0 to 1, {_SCALE}"),
    "std": (_three(_number(1e-4, 1)), f"three numbers from 0.0001 to 1, {_SCALE}"),
    "crop_pct": _CROP,
    "test_crop_pct": _CROP,
    "interpolation": _one_of("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"),
    "crop_mode": _one_of("center", "squash", "border"),
    "num_classes": (lambda value: value == 0 or _count(MAX_CONFIG_CLASSES)(value), f"0 to {MAX_CONFIG_CLASSES:,}"),
    "classifier": _NAMES,
    "first_conv": _NAMES,
    "tag": _NAMES,
}
