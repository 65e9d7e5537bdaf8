"""Figures, calibration and intervals against SciPy, scikit-learn, torchmetrics and plain float64 formulas."""

import json
import math

import numpy as np
import pytest
import torch
from msgspec import UNSET
from msgspec.structs import replace
from scipy import optimize, stats
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score, top_k_accuracy_score
from torchmetrics.classification import MulticlassCalibrationError, MulticlassRecall

from ftcli.errors import RunError
from ftcli.measures.accuracy import figures, predictions
from ftcli.measures.calibration import ece, fit_temperature
from ftcli.measures.intervals import NORMAL_95, paper_interval, student, wilson
from ftcli.measures.joining import over_seeds
from ftcli.measures.types import MeanAccuracy

torch.set_num_threads(1)


def draw(seed: int, n: int = 400, classes: int = 8, signal: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, K] float32 that are often right, and labels [N]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes)) * 2
    logits[np.arange(n), labels] += signal
    return logits.astype(np.float32), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_figures_against_other_libraries(seed: int) -> None:
    logits, labels = draw(seed)
    found, p = figures(logits, labels, temperature=1.7), softmax(logits)
    assert found["n"] == 400
    assert found["accuracy"] == np.mean(p.argmax(1) == labels)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, p.argmax(1)), abs=1e-12)
    recall = MulticlassRecall(8, average=None)(torch.tensor(logits), torch.tensor(labels))
    assert found["worst_class_recall"] == pytest.approx(recall.min().item(), abs=1e-6)
    assert found["top5"] == pytest.approx(top_k_accuracy_score(labels, p, k=5), abs=1e-12)
    assert found["loss"] == pytest.approx(log_loss(labels, p, labels=range(8)), abs=1e-9)
    calibration = MulticlassCalibrationError(8, n_bins=15, norm="l1")
    assert found["ece"] == pytest.approx(calibration(torch.tensor(p), torch.tensor(labels)).item(), abs=1e-6)
    warm = torch.tensor(softmax(logits / np.float32(1.7)))
    assert found["ece_calibrated"] == pytest.approx(calibration(warm, torch.tensor(labels)).item(), abs=1e-6)
    interval = stats.binomtest(round(found["accuracy"] * 400), 400).proportion_ci(0.95, "wilson")
    assert found["accuracy_ci95"] == pytest.approx([interval.low, interval.high], abs=1e-12)


def test_classes_without_examples_do_not_count() -> None:
    logits, labels = draw(5, classes=6)
    labels[labels == 3] = 2
    found = figures(logits, labels, temperature=1.0)
    recalls = recall_score(labels, logits.argmax(1), labels=[0, 1, 2, 4, 5], average=None)
    assert found["balanced_accuracy"] == pytest.approx(recalls.mean(), abs=1e-12)
    assert found["worst_class_recall"] == pytest.approx(recalls.min(), abs=1e-12) and recalls.min() > 0


def test_restriction_equals_a_model_with_those_classes_only() -> None:
    logits, labels = draw(1, classes=9)
    covered = [1, 2, 4, 5, 7, 8]
    keep = np.isin(labels, covered)
    logits, labels = logits[keep], labels[keep]
    found = figures(logits, labels, temperature=2.0, restrict=covered)
    found, everywhere = replace(found, accuracy_all_classes=UNSET), found.accuracy_all_classes
    assert found == figures(logits[:, covered], np.searchsorted(covered, labels), temperature=2.0)
    assert everywhere == np.mean(logits.argmax(1) == labels) < found["accuracy"]
    predicted, probability = predictions(logits, covered)
    assert predicted.dtype == np.int64 and probability.dtype == np.float32
    assert set(predicted) <= set(covered)
    assert np.mean(predicted == labels) == found["accuracy"]
    p = softmax(logits[:, covered])
    np.testing.assert_allclose(probability, p.max(axis=1), rtol=1e-6)


def test_keys_stand_only_where_they_mean_something() -> None:
    logits, labels = draw(2, classes=5)
    found = figures(logits, labels, temperature=None)
    assert not {"top5", "worst_group_accuracy", "accuracy_all_classes", "ece_calibrated"} & set(found)
    assert replace(found, ece_calibrated=found.ece) == figures(logits, labels, temperature=1.0)
    logits, labels = draw(2, classes=6)
    assert "top5" in figures(logits, labels, temperature=1.0)
    keep = labels < 5
    assert "top5" not in figures(logits[keep], labels[keep], temperature=1.0, restrict=range(5))


def test_worst_group() -> None:
    logits, labels = draw(3, n=60, classes=3)
    groups = np.array(["water", "land", "air"] * 20)
    correct = logits.argmax(1) == labels
    worst = min(correct[groups == name].mean() for name in set(groups))
    found = figures(logits, labels, temperature=1.0, groups=groups)
    assert found["worst_group_accuracy"] == worst
    assert [(group.name, group.n, group.accuracy) for group in found["groups"]] == [
        (name, 20, correct[groups == name].mean()) for name in ("air", "land", "water")
    ]


def test_groups_over_seeds_have_their_mean_accuracy() -> None:
    groups = np.array(["a", "a", "b", "b"])
    labels = np.array([0, 1, 0, 1])
    runs = [
        figures(np.eye(2)[predicted], labels, temperature=None, groups=groups)
        for predicted in ([0, 1, 1, 1], [0, 0, 1, 0], [0, 1, 0, 1])
    ]
    joined = over_seeds(runs)
    assert [(group.name, group.n, group.accuracy) for group in joined["groups"]] == [
        ("a", 2, pytest.approx(5 / 6)), ("b", 2, pytest.approx(0.5)),
    ]  # fmt: skip
    assert "groups" not in over_seeds([figures(np.eye(2), np.arange(2), temperature=None)] * 2)


def test_ties_go_to_the_lower_index_in_top1_and_top5() -> None:
    found = figures(np.zeros((7, 7)), np.arange(7), temperature=1.0)
    assert found["accuracy"] == 1 / 7
    assert found["top5"] == 5 / 7


def test_figures_are_plain_json_numbers_even_for_extreme_logits() -> None:
    logits = np.full((4, 3), -1e4, dtype=np.float32)
    logits[:, 0] = 3e38
    found = figures(logits, np.array([0, 1, 2, 0]), temperature=0.05)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["accuracy"] == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_a_failed_run(value: float) -> None:
    logits, labels = draw(0)
    logits[3, 1] = value
    with pytest.raises(RunError, match="finite"):
        figures(logits, labels, temperature=1.0)


def test_a_label_outside_the_classes_in_play_is_refused() -> None:
    logits, labels = draw(0)
    with pytest.raises(ValueError, match="classes in play"):
        figures(logits, labels, temperature=1.0, restrict=[0, 1])


def test_calibration_bins_are_open_below_and_closed_above() -> None:
    """A confidence on an edge belongs to the bin below it: 0.2 and 0.21 lie apart, 0.2 and 0.15 together."""
    assert ece(np.array([0.2, 0.15]), np.array([True, False])) == pytest.approx(abs(0.5 - 0.175))
    assert ece(np.array([0.2, 0.21]), np.array([True, False])) == pytest.approx((0.8 + 0.21) / 2)
    assert ece(np.array([1.0, 0.0]), np.array([True, False])) == 0.0


def loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    p = softmax(logits.astype(np.float64) / temperature)
    return float(-np.log(p[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0])
def test_temperature_minimises_the_loss(scale: float) -> None:
    logits, labels = draw(4)
    logits *= scale
    reference = optimize.minimize_scalar(
        lambda t: loss(logits, labels, t), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}
    )
    assert fit_temperature(logits, labels) == pytest.approx(reference.x, rel=1e-5)


def test_temperature_at_its_ends() -> None:
    logits, labels = draw(4)
    assert fit_temperature(logits * 1000, labels) == 20.0
    assert fit_temperature(logits / 1000, labels) == 0.05
    assert fit_temperature(-logits, labels) == 20.0  # worse than chance: the flattest is best
    assert fit_temperature(logits, logits.argmax(1)) == 1.0  # no error
    assert fit_temperature(np.zeros((6, 3)), np.array([0, 1, 2, 0, 1, 2])) == 1.0  # every T is as good


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 7), (481, 500), (1, 10_000)])
def test_wilson(k: int, n: int) -> None:
    oracle = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    low, high = wilson(k / n, n)
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert 0 <= low <= k / n <= high <= 1
    assert stats.norm.ppf(0.975) == NORMAL_95


@pytest.mark.parametrize("values", [[0.9, 0.92], [0.5, 0.55, 0.42], [0.1, 0.9, 0.3, 0.2, 0.7]])
def test_intervals_over_seeds(values: list[float]) -> None:
    oracle = stats.t.interval(0.90, len(values) - 1, np.mean(values), stats.sem(values))
    assert student(values) == pytest.approx(list(oracle), abs=1e-12)
    half = 1.645 * np.std(values, ddof=1) / math.sqrt(len(values))
    assert paper_interval(values) == pytest.approx([np.mean(values) - half, np.mean(values) + half], abs=1e-12)


def test_equal_values_give_an_interval_of_no_width() -> None:
    assert student([0.7, 0.7, 0.7]) == paper_interval([0.7, 0.7, 0.7]) == [0.7, 0.7]
    for interval in (student, paper_interval):
        with pytest.raises(ValueError, match="at least two"):
            interval([0.7])


def test_over_seeds() -> None:
    runs = [figures(*draw(seed), temperature=1.0) for seed in range(3)]
    joined = over_seeds(runs)
    for key in ("accuracy", "top5", "loss", "balanced_accuracy", "worst_class_recall", "ece", "ece_calibrated"):
        assert joined[key] == pytest.approx(np.mean([run[key] for run in runs]), abs=1e-12)
    accuracies = [run["accuracy"] for run in runs]
    assert joined["n"] == 400 and joined["n_seeds"] == 3
    assert joined["accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
    assert joined["ci90"] == student(accuracies) and joined["ci90_paper"] == paper_interval(accuracies)
    assert joined["accuracy_ci95"] == wilson(joined["accuracy"], 400)
    assert set(joined) == set(runs[0]) | {"accuracy_std", "ci90", "ci90_paper", "n_seeds"}
    json.dumps(joined.to_dict(), allow_nan=False)


def test_over_seeds_of_one_run_and_of_a_mean_over_sets() -> None:
    run = figures(*draw(0), temperature=1.0)
    assert over_seeds([run]) == run and "n_seeds" not in over_seeds([run])
    assert over_seeds([run, run, run])["loss"] == run["loss"]  # not moved by rounding
    joined = over_seeds([MeanAccuracy(0.5), MeanAccuracy(0.7)])
    assert joined["accuracy"] == pytest.approx(0.6) and "accuracy_ci95" not in joined and joined["n_seeds"] == 2
    with pytest.raises(ValueError, match="number of examples"):
        over_seeds([run, replace(run, n=3)])
