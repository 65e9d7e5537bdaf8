"""The probe's path beside scikit-learn's as the number of classes grows: seconds, the pick, its objective, growth.

    python -m tests.benchmarks.c_path_classes FOLDER_OF_THE_DATA [--classes 20 50 …] [--per-class 12 60] [--threads N]
        [--pairs N] [--growth] [--large N K POINTS]

FOLDER holds tiny100/train.parquet (100 classes of 40 pictures at 64 px) and checkpoints/mobilenetv2-imagenet. Up to 100
classes and 36 examples of each, the features of these pictures are used, and 4 more of each class for ID-val. Beyond,
examples are drawn: means of the classes and examples around them are normal, with the covariances that the 100 classes
have. Both sides fit 100 values of C with a score of each on ID-val. Then, once and untimed, the whole path is solved
finely: does it give the same pick? --growth: exponents of our time in N, D and K, each doubled twice. --large: our path
alone.
"""

import argparse
import resource
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ftcli.engine.probe.regularization_path import DEFAULT_CS, path, values_of_C
from ftcli.engine.probe.regularization_path import Path as Solutions
from tests.benchmarks.c_path import features_of, objective

D, PER_CLASS, ID_VAL = 1280, 40, 4  # ID_VAL: examples of each class


@dataclass(frozen=True)
class Sample:
    """Scaled features [N, D] float32 and labels [N] for training, and the same of ID-val."""

    X: np.ndarray
    y: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray
    K: int


class Classes:
    """The 100 classes of real features, and more drawn with their covariances."""

    def __init__(self, data: Path) -> None:
        self.X, self.y = features_of(data, "tiny100/train.parquet", 64, 100, whole=True)
        X = self.X.astype(np.float64)
        means = np.stack([X[self.y == k].mean(axis=0) for k in range(100)])
        within = X - means[self.y]
        self.centre = means.mean(axis=0)
        scatter = within.T @ within / (len(X) - 100)
        between = np.cov(means.T) - scatter / PER_CLASS  # without the noise of means of 40 examples
        self.within, self.between = root(scatter), root(between)

    def sample(self, K: int, per_class: int, width: int = D, seed: int = 0) -> Sample:
        """per_class examples of each of K classes, or as near as there are; real ones where there are enough."""
        random = np.random.default_rng(seed)
        train, val = [], []
        if K <= 100 and per_class + ID_VAL <= PER_CLASS and width == D:
            for k in range(K):
                rows = random.permutation(np.flatnonzero(self.y == k))
                train += list(rows[:per_class])
                val += list(rows[per_class : per_class + ID_VAL])
            parts = self.X[train], self.y[train], self.X[val], self.y[val]
        else:
            means = self.centre[:width] + random.standard_normal((K, D)) @ self.between[:, :width]
            parts = (*self._drawn(random, means, per_class), *self._drawn(random, means, ID_VAL))
        X, y, X_val, y_val = parts
        mean, std = X.mean(), X.std()
        return Sample((X - mean) / std, y, (X_val - mean) / std, y_val, K)

    def _drawn(self, random: np.random.Generator, means: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.repeat(np.arange(len(means)), per_class)
        noise = random.standard_normal((len(y), D), dtype=np.float32) @ self.within[:, : means.shape[1]]
        return (means[y] + noise).astype(np.float32), y


def root(covariance: np.ndarray) -> np.ndarray:
    """A [D, D] float32 with standard normal rows times A having this covariance, negative eigenvalues left out."""
    w, V = np.linalg.eigh(covariance)
    return (np.sqrt(w.clip(0))[:, None] * V.T).astype(np.float32)


def score(sample: Sample, W: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """Correct examples of ID-val, negative, and their loss: smaller is better."""
    scores = sample.X_val.astype(np.float64) @ W.T + b
    scores -= scores.max(axis=1, keepdims=True)
    rows = np.arange(len(scores))
    loss = np.log(np.exp(scores).sum(axis=1)) - scores[rows, sample.y_val]
    return -int((scores.argmax(axis=1) == sample.y_val).sum()), float(loss.sum())


def pick_of(sample: Sample, solutions: Solutions) -> int:
    """The index of the C that is picked on ID-val, among those that are solved finely, as `probe` does."""
    heads = ((i, *(tensor.double().cpu().numpy() for tensor in solutions.head(i))) for i in solutions.fine)
    return min((*score(sample, W, b), i) for i, W, b in heads)[-1]


def ours(sample: Sample, count: int = 100) -> tuple[float, Solutions, int]:
    """Seconds, the path with the pick solved finely, and the index of the pick."""
    started = time.perf_counter()
    X, y, X_val, y_val = (torch.from_numpy(part) for part in (sample.X, sample.y, sample.X_val, sample.y_val))
    solutions = path(X, y, sample.K, values_of_C(count), (X_val, y_val))
    pick = pick_of(sample, solutions)
    return time.perf_counter() - started, solutions, pick


def scikit_learns(sample: Sample, threads: int) -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]:
    """Seconds of its warm-started path and its scores on ID-val; and the solutions."""
    started, solutions = time.perf_counter(), []
    model = LogisticRegression(tol=1e-4, max_iter=200, warm_start=True)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says at large C that 200 iterations were not enough
        for C in DEFAULT_CS:
            model.set_params(C=C).fit(sample.X, sample.y)
            solutions.append((model.coef_.astype(np.float64), model.intercept_.astype(np.float64)))
            score(sample, *solutions[-1])
    return time.perf_counter() - started, solutions


def compare(name: str, sample: Sample, pairs: int, threads: int, *, check: bool) -> None:
    """Print the ratio of the times, and what the pick is worth."""
    times, theirs = [], []
    for _ in range(pairs):
        seconds, solutions, pick = ours(sample)
        their_seconds, theirs = scikit_learns(sample, threads)
        times.append((seconds, their_seconds))
    X, C = sample.X.astype(np.float64), DEFAULT_CS[pick]
    W, b = (tensor.double().numpy() for tensor in solutions.head(pick))
    excess = objective(X, sample.y, W, b, C) / objective(X, sample.y, *theirs[pick], C) - 1
    same = ""
    if check:
        full = path(torch.from_numpy(sample.X), torch.from_numpy(sample.y), sample.K)
        same = f"; fully solved path: pick {pick_of(sample, full)}"
    print(
        f"{name}: N = {len(sample.y)}, {threads} threads; "
        + ", ".join(f"{a:.2f} and {b:.1f} s" for a, b in times)
        + f": {median(b / a for a, b in times):.1f} times; pick {pick}, gap {solutions.gaps[pick]:.0e},"
        f" objective over scikit-learn's - 1: {excess:.1e}{same}",
        flush=True,
    )


def growth(classes: Classes) -> None:
    """Print the exponents of our time in N, D and K: slopes of log time over log size, each doubled twice."""
    for name, sizes in (
        ("N", [(100, n, D) for n in (30, 60, 120)]),
        ("D", [(100, 60, width) for width in (320, 640, 1280)]),
        ("K", [(K, 6000 // K, D) for K in (50, 100, 200)]),
    ):
        seconds = []
        for K, per_class, width in sizes:
            sample = classes.sample(K, per_class, width, seed=1)
            seconds.append(min(ours(sample)[0] for _ in range(2)))
        slope = np.polyfit(np.log([1, 2, 4]), np.log(seconds), 1)[0]
        print(f"time as a power of {name}: {slope:.2f} (" + ", ".join(f"{s:.2f} s" for s in seconds) + ")", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=int, nargs="*", default=[20, 50, 100, 202, 345])
    parser.add_argument("--per-class", type=int, nargs="*", default=[12, 60])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--no-check", action="store_true", help="leave out the fully solved path")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--large", type=int, nargs=3, metavar=("N", "K", "POINTS"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    classes = Classes(asked.data)
    if asked.growth:
        growth(classes)
        return
    if asked.large:
        N, K, points = asked.large
        sample = classes.sample(K, N // K)
        seconds, solutions, pick = ours(sample, points)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"K = {K}, N = {len(sample.y)}, D = {D}, {points} points, {asked.threads} threads: {seconds:.0f} s,"
            f" peak memory {peak:.1f} GiB, pick {pick} with the gap {solutions.gaps[pick]:.0e}"
        )
        return
    for K in asked.classes:
        for per_class in asked.per_class:
            sample = classes.sample(K, per_class)
            name = f"K = {K}, {per_class} a class"
            compare(name, sample, asked.pairs, asked.threads, check=not asked.no_check)


if __name__ == "__main__":
    main()
