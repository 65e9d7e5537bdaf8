"""The probe's path beside scikit-learn's on real features: seconds, and how near both come to the optimum.

    python -m tests.benchmarks.c_path FOLDER_OF_THE_DATA [pacs] [cifar] [--pairs N] [--threads N]

FOLDER holds pacs/photo.parquet, cifar10/train.parquet and checkpoints/mobilenetv2-imagenet. Of the photos 10 % are cut
for ID-val and 10 % for ID-test, as `probe` cuts them; CIFAR-10's training set stays whole. One process, both sides with
as many threads; 100 values of C: our path with every one solved finely, our path as `probe` solves it for a pick, and
scikit-learn's path, in turn; and the median ratios of the times. Each 8th example is held out for the pick. At every C
the objective C Σ CE + ½‖W‖² of both solutions, in float64, by the plain formula below. At some C also the excess over a
reference optimum: SciPy's L-BFGS-B in float64, started from the better of the two solutions, to a proven gap.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ftcli.config.training import Probe
from ftcli.data.task import build_task
from ftcli.engine.device import machine_of
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.predict import predict
from ftcli.engine.probe.regularization_path import DEFAULT_CS, path
from ftcli.engine.run_inputs import run_inputs_of
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.loading.load import load_model


def features_of(data: Path, table: str, size: int, K: int, *, whole: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Scaled features [N, D] float32 and labels [N] of a table of pictures, `whole` or less the cuts of a run."""
    config = Probe(train=str(data / table), image_size=size)
    log, machine = Log(), machine_of(config)
    other = config.train if whole else None  # in the roles that would be cut; nothing looks at them here
    task = build_task(
        train=config.train, id_val=other, id_test=other, ood=[], split_seed=0, damaged="stop", log=log
    )  # fmt: skip
    checkpoint = open_checkpoint(str(data / "checkpoints/mobilenetv2-imagenet"), strip_prefix=None, log=log)
    loaded = load_model(name=None, checkpoint=checkpoint, num_classes=K, image_size=size, log=log)
    inputs = run_inputs_of(task, loaded.data_config, machine, config, log)
    assert inputs.plain is not None and task.train is not None
    features = predict(machine.place(loaded.model), inputs.plain, machine, log, "features").features
    assert isinstance(features, torch.Tensor)
    mean, std = FeatureMatrix.of(features).moments()
    return ((features - mean) / std).numpy(), task.train.labels


def objective(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, C: float) -> float:
    """C Σ CE(W x + b, y) + ½‖W‖², float64."""
    scores = X @ W.T + b  # [N, K]
    loss = (logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]).sum()
    return float(C * loss + 0.5 * (W**2).sum())


def scikit_path(X: np.ndarray, y: np.ndarray, K: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's solutions as K rows, small C to large, each from the one before."""
    model = LogisticRegression(tol=1e-4, max_iter=200, warm_start=True)
    solutions = []
    for C in DEFAULT_CS:
        # With two classes it fits one row w at C; two rows ±w/2 have that decision function, at half the C.
        model.set_params(C=C if K > 2 else 2 * C).fit(X, y)
        W, b = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        solutions.append((W, b) if K > 2 else (np.vstack([-W, W]) / 2, np.concatenate([-b, b]) / 2))
    return solutions


def reference(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, C: float) -> tuple[float, float]:
    """The optimum f* as near as float64 comes from here, and a proven bound on what is left, relative."""
    D, K = X.shape[1], len(b)
    Y = np.eye(K)[y]

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        V, c = flat[: K * D].reshape(K, D), flat[K * D :]
        residual = softmax(X @ V.T + c, axis=1) - Y  # [N, K]
        return objective(X, y, V, c, C), np.concatenate([(C * residual.T @ X + V).ravel(), C * residual.sum(0)])

    start = np.concatenate([W.ravel(), b])
    found = minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B",
        options={"maxiter": 3000, "maxfun": 4000, "ftol": 0, "gtol": 1e-9, "maxcor": 30},
    )  # fmt: skip
    gradient = value_and_gradient(found.x)[1][: K * D]
    return float(found.fun), float((gradient**2).sum() / 2 / found.fun)


def hold(name: str, X: np.ndarray, y: np.ndarray, K: int, pairs: int, references: Sequence[int]) -> None:
    """Print the times of both, one line of figures, and one line for each reference, given by its place on the path."""
    times = []
    held_out = np.arange(len(y)) % 8 == 7
    id_val = torch.from_numpy(X[held_out]), torch.from_numpy(y[held_out])
    X, y = X[~held_out], y[~held_out]
    features, labels = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(pairs):
        started = time.perf_counter()
        ours = path(features, labels, K)
        ours_s, started = time.perf_counter() - started, time.perf_counter()
        path(features, labels, K, id_val=id_val)
        pick_s, started = time.perf_counter() - started, time.perf_counter()
        theirs = scikit_path(X, y, K)
        times.append((ours_s, pick_s, time.perf_counter() - started))
    wide = X.astype(np.float64)
    mine = [(W.double().numpy(), b.double().numpy()) for W, b in zip(ours.weights, ours.bias, strict=True)]
    f = [objective(wide, y, W, b, C) for (W, b), C in zip(mine, DEFAULT_CS, strict=True)]
    g = [objective(wide, y, W, b, C) for (W, b), C in zip(theirs, DEFAULT_CS, strict=True)]
    excess = max(a / b - 1 for a, b in zip(f, g, strict=True))
    print(f"{name}: N = {len(y)}, D = {X.shape[1]}, K = {K}")
    print("  seconds of ours, every C finely / as probe / scikit-learn's: ", end="")
    print(", ".join(f"{a:.2f} / {b:.2f} / {c:.1f}" for a, b, c in times))
    finely, as_probe = (statistics.median(row[2] / row[i] for row in times) for i in (0, 1))
    print(f"  scikit-learn's time over ours, the medians: every C finely {finely:.1f}, as probe {as_probe:.1f}")
    print(f"  worst f(ours)/f(scikit-learn) - 1 over {len(f)} values of C: {excess:.1e} (allowed 1e-6)", flush=True)
    for i in references:
        C, nearest = DEFAULT_CS[i], mine[i] if f[i] <= g[i] else theirs[i]
        best, left = reference(wide, y, *nearest, C)
        excesses = f"(f - f*)/f* = {f[i] / best - 1:8.1e}, scikit-learn's {g[i] / best - 1:8.1e}"
        print(f"  C = {C:8.2e}: {excesses}; f* proven to {left:.0e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", default=["pacs"], choices=["pacs", "cifar"])
    parser.add_argument("--pairs", type=int, help="of runs: 5 for pacs and 1 for cifar if not given")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")  # scikit-learn says at large C that 200 iterations were not enough
    torch.set_num_threads(asked.threads)
    threadpool_limits(asked.threads)
    if "pacs" in asked.sets:
        X, y = features_of(asked.data, "pacs/photo.parquet", 112, 7)
        hold("PACS photo, 112 px", X, y, 7, asked.pairs or 5, range(4, 100, 10))
        two = np.flatnonzero(y < 2)
        hold("its first two classes", X[two], y[two], 2, asked.pairs or 5, range(4, 100, 10))
    if "cifar" in asked.sets:
        X, y = features_of(asked.data, "cifar10/train.parquet", 32, 10, whole=True)
        hold("CIFAR-10, 32 px", X, y, 10, asked.pairs or 1, (14, 44, 64))


if __name__ == "__main__":
    main()
