"""The kinds of augmentation of training images, by name."""

from typing import Literal

Augmentation = Literal["none", "flip", "light", "standard", "randaugment", "augmix"]
LEAST_SHARE = 0.5  # of the image's area in a crop of `standard`; less would often leave the object out
# What timm is asked for, after the crop and flip of `light`: magnitude 9 ± 0.5 of 10, growing in strength; severity 3,
# three chains.
POLICIES = {"randaugment": "rand-m9-mstd0.5-inc1", "augmix": "augmix-m3-w3"}
POLICY_HELP = f"{', '.join(POLICIES)}: light, then timm's {', '.join(POLICIES.values())}"
