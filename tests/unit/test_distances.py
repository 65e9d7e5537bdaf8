"""Distances of features, their means and standard errors, against plain NumPy."""

import numpy as np
import pytest
import torch

from ftcli.explain.distortion.distances import Distances
from ftcli.explain.distortion.moments import Mean

SIZES = (1, 7, 2, 30, 11, 3)  # of batches


def pairs(width: int = 17, mean: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(sum(SIZES), width)) + mean
    return A, A + rng.normal(size=A.shape) * rng.uniform(0.1, 2, (len(A), 1))


def streamed(A: np.ndarray, B: np.ndarray, sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
    distances, start = Distances(), 0
    for size in sizes:
        distances.add(*(torch.from_numpy(part[start : start + size]) for part in (A, B)))
        start += size
    return distances.means().to_dict()


def plain(A: np.ndarray, B: np.ndarray) -> dict[str, float]:
    """Every figure by its definition, one example after the other."""
    apart = [np.sqrt(((b - a) ** 2).sum()) for a, b in zip(A, B, strict=True)]
    relative = [d / np.sqrt((a**2).sum()) for d, a in zip(apart, A, strict=True) if a.any()]
    cosine = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(A, B, strict=True) if a.any() and b.any()]
    rms = [np.sqrt(((b - a) ** 2).mean()) for a, b in zip(A, B, strict=True)]
    return {
        "mean": np.mean(apart), "se": np.std(apart, ddof=1) / np.sqrt(len(apart)), "rms": np.mean(rms),
        "relative": np.mean(relative), "cosine": np.mean(cosine), "dropped": len(A) - len(relative),
    }  # fmt: skip


@pytest.mark.parametrize("width", [1, 17, 300])
def test_every_figure_by_its_definition(width: int) -> None:
    A, B = pairs(width)
    assert streamed(A, B) == pytest.approx(plain(A, B), rel=1e-10)


def test_batches_do_not_matter() -> None:
    A, B = pairs()
    n = len(A)
    assert streamed(A, B, (n,)) == pytest.approx(streamed(A, B, (1,) * n), rel=1e-12)


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_a_large_mean_costs_no_digits(mean: float) -> None:
    A, B = (part.astype(np.float32).astype(np.float64) for part in pairs(mean=mean))
    found, expected = streamed(A, B), plain(A, B)
    assert found == pytest.approx(expected, rel=1e-10)
    assert 1 - found["cosine"] == pytest.approx(1 - expected["cosine"], abs=1e-14)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e6])
def test_size_leaves_what_is_relative(size: float) -> None:
    A, B = pairs()
    found, expected = streamed(A * size, B * size), plain(A, B)
    for key in ("relative", "cosine", "dropped"):
        assert found[key] == pytest.approx(expected[key], rel=1e-10), key
    for key in ("mean", "se", "rms"):
        assert found[key] == pytest.approx(expected[key] * size, rel=1e-10), key


def test_features_of_norm_zero_are_dropped_and_counted() -> None:
    A, B = pairs()
    A[[0, 5, 20]] = 0
    B[[5, 30]] = 0
    found = streamed(A, B)
    assert found == pytest.approx(plain(A, B), rel=1e-10) and found["dropped"] == 3
    nothing = streamed(np.zeros_like(A), B)
    assert nothing["relative"] is None and nothing["cosine"] is None and nothing["dropped"] == len(A)
    assert nothing["mean"] == pytest.approx(np.linalg.norm(B, axis=1).mean())


def test_with_itself() -> None:
    A, _ = pairs(mean=3.0)
    found = streamed(A, A)
    assert [found[key] for key in ("mean", "se", "rms", "relative", "dropped")] == [0.0] * 5
    assert found["cosine"] == pytest.approx(1, abs=1e-14)


def test_one_example_has_no_standard_error() -> None:
    A, B = pairs()
    found = streamed(A, B, (1,))
    assert found["se"] is None and found["mean"] == pytest.approx(np.linalg.norm(B[0] - A[0]))
    assert streamed(A, B, (1, 1))["se"] is not None


@pytest.mark.parametrize("mean", [0.0, 1e8])
def test_mean_and_standard_error(mean: float) -> None:
    values = np.random.default_rng(0).normal(size=200) + mean
    sums = Mean()
    for part in torch.from_numpy(values).split([1, 50, 0, 149]):
        sums.add(part)
    assert sums.n == 200 and sums.dropped == 0
    assert sums.value == pytest.approx(values.mean(), rel=1e-14)
    assert sums.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(200), rel=1e-6)


def test_mean_counts_what_has_no_value() -> None:
    sums = Mean()
    assert sums.value is None and sums.standard_error is None
    sums.add(torch.tensor([float("nan"), float("nan")]))
    assert (sums.value, sums.dropped, sums.n) == (None, 2, 0)
    sums.add(torch.tensor([1.0, float("nan"), 4.0]))
    assert (sums.value, sums.dropped, sums.n) == (2.5, 3, 2)
    assert sums.standard_error == pytest.approx(1.5)


def test_nothing_is_kept_of_an_example() -> None:
    distances = Distances()
    for _ in range(3):
        distances.add(torch.randn(50, 8).double(), torch.randn(50, 8).double())
    kept = [value for part in (distances, distances.distance, distances.cosine) for value in vars(part).values()]
    assert not any(isinstance(value, torch.Tensor | list) for value in kept)
