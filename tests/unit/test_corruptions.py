"""Corruptions: each against a plain definition, with the published constants."""

import colorsys
import math

import numpy as np
import pytest
from scipy import ndimage

from ftcli.data.shifts.corruptions import blur, digital, noise, weather
from ftcli.data.shifts.corruptions.edges import distance, edges
from ftcli.data.shifts.corruptions.frost import frost_texture
from ftcli.data.shifts.corruptions.published import LARGE, SMALL
from ftcli.data.shifts.shift import SEVERITIES


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def values(h: int = 12, w: int = 15) -> np.ndarray:
    """Pixels of a small picture, whole 255ths, with black, white and grey among them: float64 [h, w, 3]."""
    found = random(4).integers(0, 256, (h, w, 3))
    found[0, 0], found[0, 1], found[0, 2] = 0, 255, 77
    return found / 255


def test_noise_has_the_published_strength() -> None:
    grey = np.full((200, 200, 3), 0.5)
    assert noise.gaussian_noise(grey, LARGE["gaussian_noise"][0], random()).std() == pytest.approx(0.08, rel=0.02)
    assert noise.shot_noise(grey, LARGE["shot_noise"][4], random()).var() == pytest.approx(0.5 / 3, rel=0.03)
    assert noise.speckle_noise(grey, SMALL["speckle_noise"][4], random()).std() == pytest.approx(0.1, rel=0.02)
    struck = noise.impulse_noise(grey, LARGE["impulse_noise"][4], random())
    assert [np.mean(struck == value) for value in (0, 1)] == pytest.approx([0.135, 0.135], rel=0.05)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_colours_by_the_library_of_python(severity: int) -> None:
    pixels = values()
    (factor, term), added = SMALL["saturate"][severity - 1], SMALL["brightness"][severity - 1]
    saturated, brighter = np.empty_like(pixels), np.empty_like(pixels)
    for place in np.ndindex(pixels.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixels[place])
        saturated[place] = colorsys.hsv_to_rgb(hue, min(saturation * factor + term, 1), value)
        brighter[place] = colorsys.hsv_to_rgb(hue, saturation, min(value + added, 1))
    assert np.allclose(digital.saturate(pixels, (factor, term), random()), saturated, atol=1e-12)
    assert np.allclose(digital.brightness(pixels, added, random()), brighter, atol=1e-12)


@pytest.mark.parametrize(("reach", "rounds"), [(1, 1), (1, 3), (2, 2), (4, 2)])
def test_glass_goes_pixel_by_pixel_from_the_last_to_the_first(reach: int, rounds: int) -> None:
    h, w = 17, 14
    sharp = values(h, w)
    expected = ndimage.gaussian_filter(sharp, (0.7, 0.7, 0), mode="nearest")
    steps = random(3).integers(-reach, reach, size=(rounds, h - 2 * reach, w - 2 * reach, 2))
    for step in steps:
        for row in range(h - reach, reach, -1):
            for column in range(w - reach, reach, -1):
                down, right = step[row - reach - 1, column - reach - 1]
                expected[row, column] = expected[row + down, column + right]
    expected = ndimage.gaussian_filter(expected, (0.7, 0.7, 0), mode="nearest")
    assert np.allclose(blur.glass_blur(sharp, (0.7, reach, rounds), random(3)), expected, atol=1e-12)


def test_motion_blur_is_a_half_gaussian_along_the_angle() -> None:
    pixels, radius, sigma = values(), 3, 1.5
    angle = math.radians(random(8).uniform(-45, 45))
    weights = [math.exp(-i * i / (2 * sigma**2)) for i in range(2 * radius + 1)]
    h, w, _ = pixels.shape
    expected = np.zeros_like(pixels)
    for row, column in np.ndindex(h, w):
        for i, weight in enumerate(weights):
            down, right = math.ceil(i * math.sin(angle) - 0.5), math.ceil(i * math.cos(angle) - 0.5)
            there = pixels[min(max(row + down, 0), h - 1), min(max(column + right, 0), w - 1)]
            expected[row, column] += weight / sum(weights) * there
    assert np.allclose(blur.motion_blur(pixels, (radius, sigma), random(8)), expected, atol=1e-12)


@pytest.mark.parametrize("factor", [1, 1.01, 1.13, 1.3, 4.5])
def test_enlarging_is_scipy_s_zoom_of_the_middle(factor: float) -> None:
    pixels = values(31, 31)
    part = math.ceil(31 / factor)
    start = (31 - part) // 2
    zoomed = ndimage.zoom(pixels[start : start + part, start : start + part], (factor, factor, 1), order=1)
    trim = (len(zoomed) - 31) // 2
    assert np.allclose(blur.enlarge(pixels, factor), zoomed[trim : trim + 31, trim : trim + 31], atol=1e-12)


@pytest.mark.parametrize(("radius", "sigma"), [*SMALL["defocus_blur"], *LARGE["defocus_blur"]])
def test_a_disc_is_round_and_its_light_is_one(radius: float, sigma: float) -> None:
    disc = blur.disc(radius, sigma)
    # A soft rim that meets the border of its grid is mirrored there, so that some light is counted twice.
    assert disc.sum() == pytest.approx(1, abs=0.014 if radius in (8, 10) else 1e-12)
    assert np.allclose(disc, disc.T) and np.allclose(disc, disc[::-1])
    across = np.count_nonzero(disc[len(disc) // 2] > 0.5 * disc.max())
    assert across == 2 * math.floor(radius) + 1


def test_plasma_fills_its_range_and_goes_on_beyond_its_borders() -> None:
    height = weather.plasma(64, 3, random())
    assert (height.shape, height.min(), height.max()) == ((64, 64), 0, 1)
    inside = np.abs(np.diff(height, axis=0)).max()
    assert np.abs(height[0] - height[-1]).max() <= inside
    assert (
        np.abs(np.diff(weather.plasma(64, 1.5, random()), axis=0)).mean() > 2 * np.abs(np.diff(height, axis=0)).mean()
    )


def test_fog_keeps_the_brightest_value() -> None:
    pixels, thickness = values(16, 16), 1.5
    foggy = weather.fog(np.ones((16, 16, 3)), (thickness, 1.75), random(2))
    assert foggy.max() == pytest.approx(1) and foggy.min() == pytest.approx(1 / (1 + thickness))
    cover = foggy * (1 + thickness) - 1
    assert np.allclose(weather.fog(pixels, (thickness, 1.75), random(2)), (pixels + cover) / (1 + thickness))
    assert not weather.fog(np.zeros((4, 4, 3)), (thickness, 2), random()).any()


def test_frost_is_the_picture_and_ice() -> None:
    pixels = values(20, 30)
    ice = frost_texture(20, 30, random(5))
    assert np.allclose(weather.frost(pixels, (0.6, 0.75, 1), random(5)), 0.6 * pixels + 0.75 * ice)
    fifth = frost_texture(100, 150, random(1))[2::5, 2::5]
    assert np.allclose(weather.frost(np.zeros((20, 30, 3)), (1, 1, 5), random(1)), fifth)


# What the published code (imagenet_c and make_cifar_c.py of Hendrycks & Dietterich) does, in steps of 1/255, at
# severities 1 to 5. Frost: over all windows of its first five photographs, as imagecorruptions 1.1.2 has them, the mean
# absolute Laplacian of the ice, and the mean change of a grey of 64 and of one of 192. Spatter: the mean change of a
# grey of 128 and its mean absolute Laplacian, by OpenCV 5.0 with the normal numbers of the generators below.
FROST = {
    32: (58.68, (32.43, 48.65, 58.46, 55.26, 56.98), (32.43, 47.93, 44.42, 36.73, 29.26)),
    224: (30.96, (64.70, 84.25, 94.03, 90.82, 95.71), (55.63, 49.44, 47.68, 44.25, 44.03)),
}
SPATTER = {
    32: ((1.157, 5.965), (2.988, 13.849), (7.628, 22.710), (2.988, 11.271), (4.946, 20.918)),
    224: ((0.852, 1.249), (4.656, 6.809), (8.377, 14.259), (9.080, 18.334), (15.301, 25.953)),
}


def changed(name: str, side: int, severity: int, grey: int, generator: np.random.Generator) -> np.ndarray:
    """What a corruption adds to a grey picture, in steps of 1/255: float64 [side, side, 3]."""
    constants = (SMALL if side == 32 else LARGE)[name][severity - 1]
    done = getattr(weather, name)(np.full((side, side, 3), grey / 255), constants, generator)
    return np.rint(255 * done.clip(0, 1)) - grey


def laplacian(pixels: np.ndarray) -> float:
    """Mean absolute difference of four times a pixel and its four neighbours."""
    across = pixels[1:-1, :-2] + pixels[1:-1, 2:]
    return float(np.abs(4 * pixels[1:-1, 1:-1] - across - pixels[:-2, 1:-1] - pixels[2:, 1:-1]).mean())


@pytest.mark.parametrize(("side", "step", "times"), [(32, 5, 16), (224, 1, 6)])
def test_frost_is_as_strong_and_as_fine_as_the_published_one(side: int, step: int, times: int) -> None:
    """Each photograph equally often: it is the first that a generator draws."""
    by_photograph: dict[int, list[int]] = {}
    for seed in range(40 * times):
        by_photograph.setdefault(int(random(seed).integers(5)), []).append(seed)
    seeds = [seed for found in by_photograph.values() for seed in found[:times]]
    assert len(seeds) == 5 * times
    ice = [
        frost_texture(side * step, side * step, random(seed))[step // 2 :: step, step // 2 :: step] for seed in seeds
    ]
    detail, *changes = FROST[side]
    assert np.mean([laplacian(255 * one) for one in ice]) == pytest.approx(detail, rel=0.05)
    for grey, expected in zip((64, 192), changes, strict=True):
        for (seen, frozen, _), change in zip((SMALL if side == 32 else LARGE)["frost"], expected, strict=True):
            found = np.mean([np.abs((seen * grey / 255 + frozen * one).clip(0, 1) - grey / 255).mean() for one in ice])
            assert 255 * found == pytest.approx(change, rel=0.05), (grey, seen, frozen)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(("side", "times"), [(32, 100), (224, 12)])
def test_spatter_is_the_published_one(side: int, times: int, severity: int) -> None:
    layers = [changed("spatter", side, severity, 128, np.random.default_rng([i, severity])) for i in range(times)]
    found = np.mean([np.abs(layer).mean() for layer in layers]), np.mean([laplacian(layer) for layer in layers])
    assert found == pytest.approx(SPATTER[side][severity - 1], rel=0.02)


def test_edges_are_where_a_level_changes_most() -> None:
    levels = np.zeros((9, 12), dtype=np.uint8)
    levels[:, 5:] = 100
    expected = np.zeros((9, 12), dtype=bool)
    expected[:, 4] = True  # of two equal gradients the first
    assert np.array_equal(edges(levels), expected) and np.array_equal(edges(levels.T), expected.T)
    levels[:, 5:] = 30  # a gradient of 120: too weak to begin an edge
    assert not edges(levels).any()
    levels[:, 5:] = 40 - 4 * np.arange(9)[:, None]  # one of 160 begins it, and it ends where less than 50 is left
    assert edges(levels)[:, 5].tolist() == [True] * 8 + [False]
    diagonal = np.where(np.add.outer(np.arange(9), np.arange(9)) > 8, 200, 0)
    assert set(np.argwhere(edges(diagonal)[1:-1, 1:-1]).sum(axis=1) + 2) == {8, 9}  # both sides of the step


def test_distances_are_those_of_straight_diagonal_and_knight_s_steps() -> None:
    edge = np.zeros((7, 7), dtype=bool)
    edge[0, 0] = True
    away = distance(edge)
    assert away[:3, :4] == pytest.approx(
        np.array([[0, 1, 2, 3], [1, 1.4, 2.1969, 3.1969], [2, 2.1969, 2.8, 3.5969]]), abs=1e-12
    )
    edge[6, 6] = True
    assert distance(edge)[6, 5] == 1 and np.isinf(distance(np.zeros((2, 2), dtype=bool))).all()


def test_snow_lightens_and_falls_down() -> None:
    pixels = np.full((120, 120, 3), 0.2)
    snowed = weather.snow(pixels, LARGE["snow"][0], random())
    assert (snowed >= pixels).all() and snowed.max() > 0.8
    layer = snowed[..., 0] - snowed.min()
    evaluate_line, across = (np.abs(np.diff(layer, axis=axis)).mean() for axis in (0, 1))
    assert evaluate_line < across  # traces are longer than wide


def test_water_lightens_and_mud_covers() -> None:
    pixels = np.full((224, 224, 3), 0.5)
    water = weather.spatter(pixels, LARGE["spatter"][2], random())
    assert (water > pixels - 1e-12).all() and (water - pixels).max() == pytest.approx(0.5 * 238 / 255)
    mud = weather.spatter(pixels, LARGE["spatter"][4], random())
    covered = (mud != pixels).any(axis=2)
    assert 0.03 < covered.mean() < 0.5
    share = (0.5 - mud[covered]) / (0.5 - np.array([63, 42, 20]) / 255)
    assert share.min() >= 0.8 and share.max() <= 1 + 1e-12 and np.allclose(share, share[:, :1])
    assert np.array_equal(weather.spatter(pixels, (0.1, 0.01, 1, 0.69, 0.6, 0), random()), pixels)  # no drop at all


def test_an_elastic_sheet_without_moves_is_affine() -> None:
    """On a picture whose values are its coordinates, linear interpolation shows where every pixel came from."""
    h, w, pull = 40, 50, 2.0
    rows, columns = np.mgrid[:h, :w]
    pixels = np.stack([rows / 100, columns / 100, rows * 0 + 0.5], axis=2)
    done = digital.elastic_transform(pixels, (0, 0, pull), random(6))
    corners = np.array([[20 + 13, 25 + 13], [20 + 13, 25 - 13], [20 - 13, 25 - 13]])
    pulled = corners + random(6).uniform(-pull, pull, (3, 2))
    sides = np.stack([pulled[0] - pulled[1], pulled[2] - pulled[1]], axis=1)
    inner = np.stack([rows, columns], axis=2)[8:-8, 8:-8].reshape(-1, 2)
    shares = np.linalg.solve(sides, (inner - pulled[1]).T)  # of both sides from the middle corner
    there = corners[1] + shares[0][:, None] * (corners[0] - corners[1]) + shares[1][:, None] * (corners[2] - corners[1])
    assert np.allclose(done[8:-8, 8:-8, :2].reshape(-1, 2) * 100, there, atol=1e-9)


def test_an_elastic_sheet_moves_points_with_their_neighbours() -> None:
    rows, columns = np.mgrid[:60, :60]
    pixels = np.stack([rows / 100, columns / 100, rows * 0], axis=2)
    done = digital.elastic_transform(pixels, (20.0, 3.0, 0.0), random(6))
    generator = random(6)
    generator.uniform(size=(3, 2))
    right, down = (ndimage.gaussian_filter(generator.uniform(-1, 1, (60, 60)), 3, truncate=3) for _ in range(2))
    moved = 100 * (done - pixels)[10:-10, 10:-10]
    assert np.allclose(moved[..., 0], 20 * down[10:-10, 10:-10], atol=1e-9)
    assert np.allclose(moved[..., 1], 20 * right[10:-10, 10:-10], atol=1e-9)
