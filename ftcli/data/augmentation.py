"""The kinds of augmentation of training images, by name."""

from typing import Literal

Augmentation = Literal["none", "flip", "light", "standard"]
LEAST_SHARE = 0.5  # of the image's area in a crop of `standard`; less would often leave the object out
