"""The probe's path on features that do not fit into memory: seconds, peak memory, and whether the result is right.

    python -m tests.benchmarks.memory [--rows 1000000 --width 2048 --folder DIR --threads 2]

Writes a file of features into the folder, block by block, and removes it in the end. Ten classes, a few strong
directions and noise, one label in five drawn anew: neither separable nor pure noise. The path is solved as `probe`
does, for a pick on 2000 more examples; the solutions checked are the pick and its neighbours.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.probe import logistic_loss as multinomial
from ftcli.engine.probe.regularization_path import DEFAULT_CS, path

K, RANK, BLOCK = 10, 64, 5000


def write(file: Path, rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Write float32 [rows, width] to `file` and return the labels [rows]."""
    random = np.random.default_rng(seed)
    centres = 0.35 * random.normal(size=(K, RANK))
    mixing = (random.normal(size=(RANK, width)) / np.sqrt(1 + np.arange(RANK))[:, None]).astype(np.float32)
    labels = random.integers(0, K, rows)
    seen = np.where(random.random(rows) < 0.2, random.integers(0, K, rows), labels)
    with file.open("wb") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(out, header)
        for begin in range(0, rows, BLOCK):
            part = labels[begin : begin + BLOCK]
            hidden = (centres[part] + random.normal(size=(len(part), RANK))).astype(np.float32)
            noise = random.standard_normal((len(part), width), dtype=np.float32)
            np.maximum(hidden @ mixing + noise + 0.5, 0).tofile(out)  # as after a ReLU
    return seen


def scaled(file: Path) -> FeatureMatrix:
    matrix = FeatureMatrix.open(file)
    return matrix.scaled(*matrix.moments())


def small_file_check(folder: Path, width: int) -> None:
    """Streamed and in memory are the same on 20,000 rows, as they are and without the rotated copy."""
    file, Cs = folder / "small.npy", [1e-6, 1e-3, 1.0]
    labels = torch.from_numpy(write(file, 20_000, width, seed=1))
    matrix = scaled(file)
    inside = FeatureMatrix.of(torch.cat([block.clone() for _, block in matrix.blocks()]))
    streamed, held = path(matrix, labels, K, Cs), path(inside, labels, K, Cs)
    print(f"20,000 rows: weights streamed = in memory to the bit: {torch.equal(streamed.weights, held.weights)}")
    limit, multinomial.ROTATED_BYTES = multinomial.ROTATED_BYTES, 0
    streamed = path(matrix, labels, K, Cs)
    multinomial.ROTATED_BYTES = limit
    apart = (streamed.weights - held.weights).flatten(1).norm(dim=1) / held.weights.flatten(1).norm(dim=1)
    print(f"  without the rotated copy: relative distance {[f'{value:.0e}' for value in apart.tolist()]} at C = {Cs}")
    file.unlink()


def excess(
    matrix: FeatureMatrix, labels: np.ndarray, W: np.ndarray, b: np.ndarray, C: float
) -> tuple[float, float, float]:
    """At W [K, D], b [K]: objective F = Σ CE + ‖W‖²/(2C); ‖∂F/∂W‖² C/(2F), the gap at the best bias; largest |∂F/∂b|/N.

    Everything in float64, by the plain formulas.
    """
    loss, gradient = 0.0, np.zeros((K, W.shape[1] + 1))
    for part, block in matrix.blocks():
        X = np.hstack([block.double().numpy(), np.ones((len(block), 1))])  # [n, D + 1]
        scores = X @ np.hstack([W, b[:, None]]).T
        scores -= scores.max(axis=1, keepdims=True)
        totals, y = np.exp(scores).sum(axis=1), labels[part]
        loss += float((np.log(totals) - scores[np.arange(len(y)), y]).sum())
        gradient += (np.exp(scores) / totals[:, None] - np.eye(K)[y]).T @ X
    objective = loss + float((W**2).sum()) / (2 * C)
    by_W = gradient[:, :-1] + W / C
    gap = float((by_W**2).sum()) * C / 2 / objective
    return objective, gap, float(np.abs(gradient[:, -1]).max()) / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        file = Path(folder) / "features.npy"
        labels = write(file, asked.rows, asked.width)
        print(f"{asked.rows} x {asked.width}: a file of {file.stat().st_size / 2**30:.2f} GiB", flush=True)
        val_file = Path(folder) / "id_val.npy"
        val_labels = torch.from_numpy(write(val_file, 2000, asked.width))  # other examples of the same classes
        started = time.perf_counter()
        plain = FeatureMatrix.open(file)
        mean, std = plain.moments()
        matrix, val = plain.scaled(mean, std), FeatureMatrix.open(val_file).scaled(mean, std)
        val_features = torch.cat([block for _, block in val.blocks()])
        found = path(matrix, torch.from_numpy(labels), K, id_val=(val_features, val_labels))
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"path of {len(DEFAULT_CS)} values of C: {seconds:.0f} s, peak memory of the process {peak:.2f} GiB",
            flush=True,
        )
        for i in found.fine:
            W, b = found.weights[i].double().numpy(), found.bias[i].double().numpy()
            objective, gap, by_bias = excess(matrix, labels, W, b, DEFAULT_CS[i])
            print(
                f"C = {DEFAULT_CS[i]:8.2e}: F = {objective:.6e}, gap {gap:.1e} of it, |dF/db|/N {by_bias:.0e}",
                flush=True,
            )
        file.unlink()
        small_file_check(Path(folder), asked.width)


if __name__ == "__main__":
    main()
