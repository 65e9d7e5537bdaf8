"""What a SPEC does to a set on purpose, as it is typed: corrupt its images, or shuffle a model's input."""

import re
from dataclasses import dataclass

from ftcli.errors import RequestError, choose

SEVERITIES = (1, 2, 3, 4, 5)
CORRUPTION_NAMES = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    *("fog", "frost", "snow", "spatter"),
    *("brightness", "contrast", "saturate", "elastic_transform", "pixelate", "jpeg_compression"),
)


@dataclass(frozen=True)
class Shift:
    """A corruption at a severity, as every image of a set undergoes it."""

    name: str
    severity: int

    def __str__(self) -> str:
        return f"{self.name}:{self.severity}"


@dataclass(frozen=True)
class Shuffle:
    """One permutation of a model's input for a whole set: of its blocks, or of all its values."""

    block: int | None  # side of the blocks in pixels; None: pixels and channels jointly
    seed: int

    @property
    def size(self) -> str:
        return "channels" if self.block is None else str(self.block)

    def __str__(self) -> str:
        return f"{self.size}:{self.seed}"


def read_shift(text: str, value: str | None) -> Shift | None:
    """The Shift of "NAME:SEVERITY" in the data SPEC `text`.

    Raises:
        RequestError: there is no such corruption, or no such severity.
    """
    if value is None:
        return None
    name, _, severity = value.partition(":")
    if name not in CORRUPTION_NAMES:
        raise RequestError(
            f'shift={value} in "{text}": there is no corruption "{name}"; there are {", ".join(CORRUPTION_NAMES)}',
            choose(name, CORRUPTION_NAMES),
        )
    if severity not in map(str, SEVERITIES):
        raise RequestError(
            f'shift={value} in "{text}" needs a severity from {SEVERITIES[0]} to {SEVERITIES[-1]}',
            f"write shift={name}:{SEVERITIES[-1]}",
        )
    return Shift(name, int(severity))


def read_shuffle(text: str, value: str | None) -> Shuffle | None:
    """The Shuffle of "SIZE" or "SIZE:SEED" in the data SPEC `text`, SIZE a number of pixels or "channels".

    Raises:
        RequestError: it is neither.
    """
    if value is None:
        return None
    if not re.fullmatch(r"(channels|0*[1-9][0-9]{0,8})(:[0-9]{1,18})?", value):
        raise RequestError(
            f'shuffle={value} in "{text}" is not SIZE:SEED, SIZE the side of the blocks in pixels or "channels"',
            "write shuffle=8:0 or shuffle=channels:0",
        )
    size, _, seed = value.partition(":")
    return Shuffle(None if size == "channels" else int(size), int(seed or 0))
