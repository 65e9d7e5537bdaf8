"""Linear CKA against the textbook formula in NumPy, whole, streamed, and by the unbiased estimator; never NaN."""

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np
import pytest
import torch

from ftcli.explain.distortion.measure import Extras, ModelSums, PairSums, similarity
from ftcli.explain.distortion.moments import FixedBatches, Products
from ftcli.explain.distortion.similarity import HSIC_BATCH, UnbiasedCKA, linear_cka, unbiased_hsic

SHAPES = [(30, 50, 50), (300, 20, 20), (25, 40, 7), (200, 5, 60), (64, 64, 64)]  # N, C, C'


def related(n: int, x: int, y: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two feature matrices that share some of what they show, columns of unlike size and mean."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 4))
    return tuple(
        (common @ rng.normal(size=(4, width)) + rng.normal(size=(n, width))) * rng.uniform(0.1, 3, width)
        + rng.normal(size=width)
        for width in (x, y)
    )  # type: ignore[return-value]


def textbook(X: np.ndarray, Y: np.ndarray) -> float:
    """‖YcᵀXc‖²_F / (‖XcᵀXc‖_F ‖YcᵀYc‖_F) by way of the [N, N] Gram matrices, in which it is <K, L> / (‖K‖ ‖L‖)."""
    X, Y = X - X.mean(0), Y - Y.mean(0)
    K, L = X @ X.T, Y @ Y.T
    return float((K * L).sum() / np.sqrt((K**2).sum() * (L**2).sum()))


def uneven(n: int, seed: int = 0) -> Iterator[slice]:
    """Batches of sizes 1, 2, 3 … 17, in any order."""
    rng, start = np.random.default_rng(seed), 0
    while start < n:
        size = int(rng.integers(1, 18))
        yield slice(start, min(start + size, n))
        start += size


def products(X: np.ndarray, Y: np.ndarray, batches: list[slice]) -> Products:
    sums = Products()
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    for batch in batches:
        sums.add(x[batch], y[batch])
    return sums


def streamed(X: np.ndarray, Y: np.ndarray, batches: list[slice] | None = None) -> float | None:
    batches = list(uneven(len(X))) if batches is None else batches
    return linear_cka(*(products(a, b, batches).centred() for a, b in ((X, Y), (X, X), (Y, Y))))


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_cka_is_the_textbooks(shape: tuple[int, int, int]) -> None:
    X, Y = related(*shape)
    whole = streamed(X, Y, [slice(None)])
    assert whole == pytest.approx(textbook(X, Y), abs=1e-9) and 0.1 < textbook(X, Y) < 0.95


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", [lambda n: list(uneven(n)), lambda n: [slice(i, i + 1) for i in range(n)]])
def test_streamed_is_whole(shape: tuple[int, int, int], cut: Callable[[int], list[slice]]) -> None:
    X, Y = related(*shape)
    assert streamed(X, Y, cut(len(X))) == pytest.approx(streamed(X, Y, [slice(None)]), abs=1e-12)


@pytest.mark.parametrize("n", [40, 400])
def test_sums_are_those_of_centred_columns(n: int) -> None:
    X, Y = related(n, 12, 9)
    sums = products(X, Y, list(uneven(n)))
    np.testing.assert_allclose(sums.centred(), (X - X.mean(0)).T @ (Y - Y.mean(0)), rtol=0, atol=1e-9)
    assert sums.n == n


@pytest.mark.parametrize("shape", SHAPES)
def test_turning_and_scaling_change_nothing_and_stretching_does(shape: tuple[int, int, int]) -> None:
    X, Y = related(*shape)
    rng = np.random.default_rng(7)
    turn, _ = np.linalg.qr(rng.normal(size=(X.shape[1],) * 2))
    plain = textbook(X, Y)
    assert streamed(X @ turn * 3.7, Y * -0.02) == pytest.approx(plain, abs=1e-9)
    assert streamed(X + rng.normal(size=X.shape[1]), Y) == pytest.approx(plain, abs=1e-9)
    assert abs(streamed(X * np.geomspace(1, 100, X.shape[1]), Y) - plain) > 1e-3  # type: ignore[operator]


def test_its_own_is_one_and_unrelated_is_little() -> None:
    X, _ = related(5000, 6, 6)
    other = np.random.default_rng(5).normal(size=(5000, 6))
    assert streamed(X, X) == pytest.approx(1, abs=1e-12) and streamed(X, X) <= 1  # type: ignore[operator]
    assert streamed(X, other) < 0.01  # type: ignore[operator]


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_a_large_mean_costs_no_digits(mean: float) -> None:
    """Features as a network gives them, float32, far from 0 and of unit spread."""
    X, Y = (part.astype(np.float32).astype(np.float64) for part in related(500, 20, 30))
    expected = textbook(X, Y)
    assert streamed(X + mean, Y - mean) == pytest.approx(expected, abs=1e-9)


def test_a_first_batch_unlike_the_others_costs_no_digits() -> None:
    X, Y = related(500, 10, 10)
    X[:8] += 1e5
    assert streamed(X, Y, [slice(0, 8), slice(8, 500)]) == pytest.approx(textbook(X, Y), abs=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["both vary", "one is constant", "both are constant", "zeros"])
def test_never_nan(n: int, kind: str) -> None:
    X, Y = related(n, 6, 4)
    if kind != "both vary":
        Y[:] = np.float32([0.1, -7.3, 1e4, 0.0])  # float32, as every feature is
    if kind == "both are constant":
        X[:] = np.float32(3.3)
    if kind == "zeros":
        X[:], Y[:] = 0, 0
    found = streamed(X, Y, [slice(i, i + 2) for i in range(0, n, 2)])
    assert found is None if n == 1 or kind != "both vary" else 0 <= found <= 1  # type: ignore[operator]
    cka = UnbiasedCKA()
    cka.add(torch.from_numpy(X), torch.from_numpy(Y))
    assert cka.value is None if n < 4 or kind != "both vary" else np.isfinite(cka.value or 0.0)


# ---- the unbiased estimator


def hsic(K: np.ndarray, L: np.ndarray) -> float:
    """The formula as it is printed."""
    n, one = len(K), np.ones(len(K))
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    sums = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return float((np.trace(K @ L) + sums - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3)))


def grams(*parts: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(part @ part.T) for part in parts]


@pytest.mark.parametrize("n", [4, 5, 9, 30])
def test_unbiased_hsic_is_its_formula(n: int) -> None:
    X, Y = related(n, 8, 5)
    assert unbiased_hsic(*grams(X, Y)).item() == pytest.approx(hsic(X @ X.T, Y @ Y.T), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_unbiased_hsic_is_the_mean_over_four_different_examples(n: int) -> None:
    """What makes it unbiased: HSIC is an expectation over independent draws, and no example is drawn twice."""
    X, Y = related(n, 3, 4)
    K, L = X @ X.T, Y @ Y.T
    terms = [K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in permutations(range(n), 4)]
    assert unbiased_hsic(*grams(X, Y)).item() == pytest.approx(np.mean(terms), rel=1e-9, abs=1e-9)


def unbiased(X: np.ndarray, Y: np.ndarray, size: int) -> float | None:
    cka = UnbiasedCKA()
    for start in range(0, len(X), size):
        cka.add(*(torch.from_numpy(part[start : start + size]) for part in (X, Y)))
    return cka.value


def test_it_is_the_ratio_of_batch_means() -> None:
    X, Y = related(43, 9, 6)
    parts = [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 40, 10)]  # the last three make no batch
    xy, xx, yy = (
        np.mean([hsic(a @ a.T, b @ b.T) for a, b in pairs])
        for pairs in (parts, [(x, x) for x, _ in parts], [(y, y) for _, y in parts])
    )
    assert unbiased(X, Y, 10) == pytest.approx(xy / np.sqrt(xx * yy), rel=1e-9)
    assert unbiased(X[:44], Y[:44], 10) == unbiased(X[:40], Y[:40], 10)


def test_batches_of_256_give_what_the_whole_set_gives() -> None:
    X, Y = related(2560, 40, 30, seed=3)
    assert HSIC_BATCH == 256
    whole = unbiased(X, Y, len(X))
    assert unbiased(X, Y, HSIC_BATCH) == pytest.approx(whole, rel=0.01)
    by_batches = np.mean([textbook(X[i : i + 256], Y[i : i + 256]) for i in range(0, 2560, 256)])
    assert abs(by_batches - whole) > abs(unbiased(X, Y, HSIC_BATCH) - whole)  # type: ignore[operator]


def test_unrelated_features_are_about_zero_where_the_biased_one_is_not() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(1024, 100)), rng.normal(size=(1024, 100))
    assert abs(unbiased(X, Y, 256)) < 0.02  # type: ignore[operator, arg-type]
    assert textbook(X[:256], Y[:256]) > 0.2


@pytest.mark.parametrize("mean", [1e2, 1e4])
def test_a_large_mean_costs_the_unbiased_one_no_digits(mean: float) -> None:
    """No mean changes HSIC, so none may change the figure."""
    X, Y = (part.astype(np.float32).astype(np.float64) for part in related(512, 20, 30))
    assert unbiased(X + mean, Y - mean, 256) == pytest.approx(unbiased(X, Y, 256), abs=1e-6)


@pytest.mark.parametrize("n", [4, 7, 50, 256])
def test_constant_features_have_no_unbiased_cka(n: int) -> None:
    X, _ = related(n, 6, 6)
    for value in (0.1, 3.3, 1e4, -77.7):
        constant = np.full((n, 16), np.float32(value), dtype=np.float64)
        assert unbiased(X, constant, n) is None and unbiased(constant, constant, n) is None


@pytest.mark.parametrize("seed, level", [(0, 0.1), (1, 3.3), (2, 1e4), (3, -7e-8)])
def test_features_that_vary_by_rounding_have_no_similarity(seed: int, level: float) -> None:
    """Batches of other sizes go other ways through a network, and a block that is constant then differs in the last
    bits of a float32.
    """
    X, _ = related(40, 6, 6)
    rng = np.random.default_rng(seed)
    constant = np.full((40, 6), np.float32(level))
    constant = (constant + rng.integers(-2, 3, constant.shape) * np.spacing(constant)).astype(np.float64)
    assert constant.std(axis=0).min() > 0
    for x, y in ((X, constant), (constant, X), (constant, constant)):
        outputs = [{"block": torch.from_numpy(one)} for one in (x, y)]
        pair, owns = PairSums(Extras(unbiased=True)), [ModelSums(), ModelSums()]
        pair.add(*outputs)
        pair.end()
        for own, one in zip(owns, outputs, strict=True):
            own.add(one)
        found = similarity(pair, *(own.scatter() for own in owns))
        assert found == {"block": None, "unbiased": {"block": None}}


def test_features_that_vary_little_on_a_large_mean_keep_their_similarity() -> None:
    """Just above what a float32 can tell apart."""
    X, _ = related(500, 6, 6)
    own = ModelSums()
    own.add({"block": torch.from_numpy(1e-4 * X + 7.0)})
    assert own.scatter()["block"].trace() == pytest.approx(1e-8 * ((X - X.mean(0)) ** 2).sum(), rel=1e-6)


# ---- what is kept


def test_sums_do_not_grow() -> None:
    X, Y = related(3000, 5, 7)
    few, many = (products(X[:n], Y[:n], list(uneven(n))) for n in (20, 3000))
    for sums in (few, many):
        assert sums.products is not None and sums.sums is not None and sums.shifts is not None
        assert sums.products.shape == (5, 7)
        assert [len(part) for part in (*sums.sums, *sums.shifts)] == [5, 7, 5, 7]
    cka = UnbiasedCKA()
    cka.add(torch.from_numpy(X[:300]), torch.from_numpy(Y[:300]))
    assert [value.numel() for value in vars(cka).values()] == [3]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_waiting_rows_come_in_whole_batches_and_in_order(size: int) -> None:
    X, Y = (torch.from_numpy(part) for part in related(150, 3, 2))
    batches, given, most = FixedBatches(size), [], 0
    for batch in uneven(150):
        given += batches.add(X[batch], Y[batch])
        most = max(most, sum(len(row[0]) for row in batches.waiting))
    assert most < size or size == 1 == most + 1
    assert [len(x) for x, _ in given] == [size] * (150 // size)
    rest = batches.rest()
    assert (rest is None) == (150 % size == 0)
    given += [] if rest is None else [rest]
    assert torch.equal(torch.cat([x for x, _ in given]), X) and torch.equal(torch.cat([y for _, y in given]), Y)
