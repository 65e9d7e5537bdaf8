"""What the figures mean: classes go by name, restriction, groups, and the probe, each against a computation by hand."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor

from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.worlds import coloured

CLASSES = ["class0", "class1", "class2"]
Rows = list[tuple[bytes, str]]  # an encoded picture and the name of its class


def rows_of(folder: Path) -> Rows:
    return [(path.read_bytes(), path.parent.name) for path in sorted(folder.rglob("*.png"))]


def parquet(path: Path, rows: Rows, names: Sequence[str] | None, **columns: list[Any]) -> Path:
    """The rows as a table: labels numbered after `names`, or as text where there are none."""
    label: Any = datasets.ClassLabel(names=list(names)) if names else datasets.Value("string")
    more = {name: datasets.Value("string") for name in columns}
    features = datasets.Features({"image": datasets.Image(), "label": label, **more})
    content = {
        "image": [{"bytes": picture, "path": None} for picture, _ in rows],
        "label": [names.index(name) if names else name for _, name in rows],
    }
    datasets.Dataset.from_dict({**content, **columns}, features=features).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a training set, a validation and a test set, and a shifted set, all of other pictures."""
    root = tmp_path_factory.mktemp("place")
    checkpoint(root / "checkpoint")
    for i, name in enumerate(("train", "val", "test", "far")):
        coloured(root / name, each=16, seed=i, noise=300)
    return root


@pytest.fixture(scope="module")
def out(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One probe, judged on the shifted set under many disguises."""
    root = tmp_path_factory.mktemp("sets")
    far = rows_of(place / "far")
    two = [row for row in far if row[1] != "class1"]
    extra = [(rows_of(place / "val")[i][0], "elephant") for i in range(5)]
    shore = ["sea" if i % 3 else "land" for i in range(len(far))]
    sets = {
        "folder": place / "far",
        "ordered": parquet(root / "ordered.parquet", far, CLASSES),
        "permuted": parquet(root / "permuted.parquet", far, ["class2", "class0", "class1"]),
        "text": parquet(root / "text.parquet", far, None),
        "extra": parquet(root / "extra.parquet", [*extra, *far], ["elephant", *reversed(CLASSES)]),
        "two": parquet(root / "two.parquet", two, ["class2", "class0"]),
        "groups": f"{parquet(root / 'groups.parquet', far, CLASSES, shore=shore)}?group=shore",
    }
    words = [word for name, source in sets.items() for word in ("--ood", f"{name}={source}")]
    given = ["--train", place / "train", "--id-val", place / "val", "--id-test", place / "test"]
    done = inside("probe", "--checkpoint", place / "checkpoint", *given, *words, *SMALL, "--out", root / "o")
    assert done.returncode == 0, done.stderr
    return root / "o"


def logits_of(out: Path, rows: Rows) -> np.ndarray:
    """Logits [N, K] of the saved model by timm alone."""
    return forward(timm.create_model(f"local-dir:{out}", pretrained=True), rows)


@torch.inference_mode()
def forward(model: torch.nn.Module, rows: Rows, features: bool = False) -> np.ndarray:
    """Logits [N, K] or features [N, D] of a timm model in its own transform, float64."""
    model.eval()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    images = torch.stack([transform(Image.open(io.BytesIO(picture)).convert("RGB")) for picture, _ in rows])
    found: Tensor = model.forward_head(model.forward_features(images), pre_logits=True) if features else model(images)
    return found.double().numpy()


def labels(rows: Rows) -> np.ndarray:
    return np.array([CLASSES.index(name) for _, name in rows])


def predicted(out: Path, name: str) -> list[tuple[str, str, float]]:
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    return [(row["label"], row["predicted"], row["probability"]) for row in rows if row["set"] == name]


def test_numbers_of_classes_change_nothing(out: Path) -> None:
    report = read(out)
    results, data = report["results"]["ood"], report["data"]["ood"]
    assert 0.4 < results["folder"]["accuracy"] < 0.95  # a mistake in the classes would show
    for name in ("ordered", "permuted", "text"):
        assert results[name] == results["folder"], name
        assert predicted(out, name) == predicted(out, "folder"), name
        assert data[name]["fingerprint"] == data["folder"]["fingerprint"], name
        assert data[name]["restricted_to"] is None and data[name]["dropped"] == 0


def test_an_extra_class_is_dropped_and_counted(out: Path) -> None:
    report = read(out)
    assert report["results"]["ood"]["extra"] == report["results"]["ood"]["folder"]
    assert (report["data"]["ood"]["extra"]["n"], report["data"]["ood"]["extra"]["dropped"]) == (48, 5)
    warning = next(one for one in report["warnings"] if one["code"] == "classes-dropped")
    assert "5 of 53" in warning["text"] and "elephant" in warning["text"]


def test_a_missing_class_restricts_the_prediction(out: Path, place: Path) -> None:
    report, rows = read(out), [row for row in rows_of(place / "far") if row[1] != "class1"]
    logits, truth = logits_of(out, rows), labels(rows)
    kept = logits[:, [0, 2]]  # [N, 2]
    right = np.array([0, 2])[kept.argmax(1)] == truth
    entry = report["results"]["ood"]["two"]
    assert entry["accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert entry["accuracy_all_classes"] == pytest.approx((logits.argmax(1) == truth).mean(), abs=1e-12)
    assert entry["accuracy"] != entry["accuracy_all_classes"]  # or this tells nothing
    shares = np.exp(kept - kept.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    assert entry["loss"] == pytest.approx(-np.log(shares[np.arange(len(rows)), truth // 2]).mean(), rel=1e-5)
    np.testing.assert_allclose([p for *_, p in predicted(out, "two")], shares.max(1), rtol=1e-4)
    assert report["data"]["ood"]["two"]["restricted_to"] == [0, 2]


def test_the_worst_group_by_hand(out: Path) -> None:
    entry = read(out)["results"]["ood"]["groups"]
    right = np.array([label == guess for label, guess, _ in predicted(out, "groups")])
    land = np.arange(len(right)) % 3 == 0
    rates = right[land].mean(), right[~land].mean()
    assert entry["worst_group_accuracy"] == pytest.approx(min(rates), abs=1e-12) and rates[0] != rates[1]
    assert entry["accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert "worst_group_accuracy" not in read(out)["results"]["ood"]["folder"]


def test_the_mean_over_ood_sets(out: Path) -> None:
    results = read(out)["results"]
    accuracies = [entry["accuracy"] for entry in results["ood"].values()]
    assert results["ood_mean"]["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-12)


@pytest.mark.parametrize("K", [2, 3])
def test_the_probe_is_scikit_learns(place: Path, tmp_path: Path, K: int) -> None:
    """Features by timm alone, the fit by scikit-learn, at the C that was picked; then logits and accuracies."""
    sets = {name: [row for row in rows_of(place / name) if row[1] in CLASSES[:K]] for name in ("train", "val", "far")}
    files = {name: parquet(tmp_path / f"{name}.parquet", rows, CLASSES[:K]) for name, rows in sets.items()}
    given = ["--train", files["train"], "--id-val", files["val"], "--ood", f"far={files['far']}"]
    words = ["--checkpoint", place / "checkpoint", *given, "--id-test", files["val"], *SMALL]
    report = inside("probe", *words, "--json", "--out", tmp_path / "o").report
    body = timm.create_model(f"local-dir:{place / 'checkpoint'}", pretrained=True)
    body.pretrained_cfg["input_size"] = (3, 32, 32)
    features = {name: forward(body, rows, features=True) for name, rows in sets.items()}
    mean, std = features["train"].mean(), features["train"].std()  # one number each, for the whole matrix
    C = report["selected"]["C"]
    fit = LogisticRegression(C=2 * C if K == 2 else C, tol=1e-9, max_iter=20_000)
    fit.fit((features["train"] - mean) / std, labels(sets["train"]))
    if K == 2:
        # Under the strongest penalties scikit-learn stops with a bias that is off by as much as the logits are long;
        # at given weights the best one makes the probabilities of the training set sum to its number of examples.
        slopes, ones = (features["train"] - mean) / std @ fit.coef_[0], labels(sets["train"]).sum()
        fit.intercept_ = np.array([brentq(lambda b: expit(slopes + b).sum() - ones, -40, 40, xtol=1e-14)])
    for name, entry in (("val", report["results"]["id_val"]), ("far", report["results"]["ood"]["far"])):
        scaled, mine = (features[name] - mean) / std, logits_of(tmp_path / "o", sets[name])
        theirs = fit.decision_function(scaled)  # [N, K], or [N] when K is 2
        mine = mine[:, 1] - mine[:, 0] if K == 2 else mine - mine.mean(1, keepdims=True)
        theirs = theirs if K == 2 else theirs - theirs.mean(1, keepdims=True)
        # Terms near 1 are summed in float32: an example nearer to the border than that may fall on either side.
        apart = 1e-2 * np.abs(theirs).max() + np.finfo(np.float32).eps
        assert np.abs(mine - theirs).max() < apart
        unsure = (np.abs(theirs) < apart).mean() if K == 2 else 0.0
        assert abs(entry["accuracy"] - fit.score(scaled, labels(sets[name]))) <= unsure + 1e-12
