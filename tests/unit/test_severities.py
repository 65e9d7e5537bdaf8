"""Severities: of all corruptions at both sizes; a picture is corrupted by its digest and nothing else."""

import numpy as np
import pytest
from PIL import Image

from ftcli.data.shifts.corruptions import CORRUPTIONS, corrupt
from ftcli.data.shifts.corruptions.published import LARGE, SMALL
from ftcli.data.shifts.shift import CORRUPTION_NAMES as NAMES
from ftcli.data.shifts.shift import SEVERITIES
from tests.helpers.photographs import difference, photographs

SAME = {"defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "saturate", "pixelate"}  # no numbers
SAME |= {"jpeg_compression"}
# Where published constants do not grow from each severity to the next in what they change of a picture.
UNEVEN = {
    32: {
        "glass_blur",  # 2 to 3 and 4 to 5: smoother, as often disturbed
        "motion_blur",  # 3 and 4: the same sigma
        "frost",  # from 3 on the picture darkens under the ice
        "spatter",  # 3 to 4: from water to small splashes of mud
        "saturate",  # 2 to 3: from pale to strong colours
        "elastic_transform",  # corners are pulled less and less
    },
    224: {
        *("glass_blur", "frost", "saturate", "elastic_transform"),
        "fog",  # 3 and 4: as thick
        "snow",  # 2 to 3: as pale, and only brighter noise counts as a flake
    },
}


def test_every_corruption_has_five_severities_at_both_sizes() -> None:
    assert len(NAMES) == 19 and list(SMALL) == list(LARGE) == list(NAMES) == list(CORRUPTIONS)
    assert all(len(table[name]) == len(SEVERITIES) for table in (SMALL, LARGE) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_corrupted_by_its_digest_and_nothing_else(name: str) -> None:
    one, other = photographs(32)[:2]
    first = corrupt(one, name, 3, b"one").tobytes()
    np.random.seed(1)
    corrupt(other, name, 3, b"other")
    assert corrupt(one, name, 3, b"one").tobytes() == first
    assert (corrupt(one, name, 3, b"two").tobytes() == first) == (name in SAME)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 224])
def test_severities_grow(name: str, side: int) -> None:
    pictures = photographs(side, 8 if side == 32 else 3)
    means = [
        np.mean(
            [difference(corrupt(picture, name, severity, bytes([i])), picture) for i, picture in enumerate(pictures)]
        )
        for severity in SEVERITIES
    ]
    assert min(means) > 0.5
    if name not in UNEVEN[side]:
        assert (np.diff(means) > 0).all(), means
    elif name != "elastic_transform":
        assert means[-1] > means[0]


def test_severities_of_one_picture_share_their_numbers() -> None:
    grey = Image.new("RGB", (32, 32), (128, 128, 128))
    weak, strong = (np.asarray(corrupt(grey, "gaussian_noise", severity, b"x")) / 255 for severity in (1, 5))
    scaled = (weak - 128 / 255) * 0.10 / 0.04
    assert np.abs(scaled - (strong - 128 / 255)).max() < 0.007  # two roundings, one of them times 2.5


@pytest.mark.parametrize("name", NAMES)
def test_any_shape(name: str) -> None:
    for size in [(1, 1), (1, 5), (2, 3), (9, 70), (33, 20)]:
        for severity in (1, 4, 5):
            done = corrupt(Image.new("RGB", size, (0, 90, 255)), name, severity, b"x")
            assert (done.mode, done.size) == ("RGB", size)
    assert corrupt(Image.new("RGB", (65, 130), "red"), name, 3, b"x").size == (224, 448)


def test_sizes_choose_the_constants() -> None:
    """Severity 5 of contrast keeps 0.15 in small pictures and 0.05 in large ones."""
    kept = {}
    for side in (64, 65, 224, 300):
        halves = np.zeros((side, side, 3), dtype=np.uint8)
        halves[side // 2 :] = 200
        done = np.asarray(corrupt(Image.fromarray(halves), "contrast", 5, b"x"))
        assert len(done) == (64 if side == 64 else 224)
        kept[side] = (int(done[-1, 0, 0]) - int(done[0, 0, 0])) / 200
    assert kept == {64: 0.15, 65: 0.05, 224: 0.05, 300: 0.05}


def test_a_large_picture_is_resized_before_it_is_corrupted() -> None:
    (large,) = photographs(300, 1)
    before = large.resize((224, 224), Image.Resampling.BILINEAR)
    assert corrupt(large, "gaussian_noise", 2, b"x") == corrupt(before, "gaussian_noise", 2, b"x")
