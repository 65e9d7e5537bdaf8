"""Estimates of accuracy without labels, against plain formulas by somebody who had seen only the definitions."""

from itertools import product

import numpy as np
import pytest
import torch
from msgspec import UNSET

from ftcli.config.details.estimates import STANDARD
from ftcli.log import Log
from ftcli.measures.calibration import fit_temperature, softmax
from ftcli.measures.estimates import nuclear
from ftcli.measures.estimates.agreeing import Predicted, estimates_by_agreement
from ftcli.measures.estimates.agreement_line import agreement_line, generalization_disagreement
from ftcli.measures.estimates.by_set import warn_of_high
from ftcli.measures.estimates.calibrated import calibrated
from ftcli.measures.estimates.confidence import negative_entropy, sureness, thresholded_confidence
from ftcli.measures.estimates.dis2 import _gaps, _losses, bound, dis2_bound
from ftcli.measures.estimates.estimate import CorruptedSet, estimates_of
from ftcli.measures.estimates.types import Estimate
from tests.helpers.plain_shift import estimates as plain

EXACT = {"abs": 1e-10, "rel": 0}


def world(
    k: int, n: int, m: int, seed: int, noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logits [n, K] and labels of V, and those of U, where the logits say less of the labels."""
    rng = np.random.default_rng(seed)
    y, z = rng.integers(k, size=n), rng.integers(k, size=m)
    v = 2 * np.eye(k)[y] + rng.normal(size=(n, k))
    u = 2 * np.eye(k)[z] + (1 + noise) * rng.normal(size=(m, k))
    return [v, y, u, z]


def plain_estimate(name: str, v: np.ndarray, y: np.ndarray, u: np.ndarray, tau: float) -> float:
    """By the plain formulas. tau: the temperature."""
    p_v, p_u, k = plain.softmax(v, tau), plain.softmax(u, tau), v.shape[1]
    right = [int(np.argmax(z)) == int(label) for z, label in zip(v, y, strict=True)]
    shares = plain.shares(y, k)
    match name:
        case "atc":
            return plain.atc(plain.margins(v, tau), right, plain.margins(u, tau))
        case "atc_entropy":
            return plain.atc(plain.negentropies(p_v), right, plain.negentropies(p_u))
        case "average_confidence":
            return plain.average_confidence(p_u)
        case "doc":
            confidences = plain.average_confidence(p_v), plain.average_confidence(p_u)
            return plain.difference_of_confidence(sum(right) / len(right), *confidences)
        case "cot":
            return plain.cot(p_u, shares)
    costs = [plain.transport_costs(p, plain.transport_plan(p, shares)) for p in (p_v, p_u)]
    return plain.cott(costs[0], right, costs[1])


@pytest.mark.parametrize(("k", "n", "m"), [(2, 30, 25), (3, 40, 60), (6, 90, 50)])
@pytest.mark.parametrize("seed", range(3))
def test_the_standard_estimates(k: int, n: int, m: int, seed: int) -> None:
    v, y, u, _ = world(k, n, m, seed)
    found = estimates_of(calibrated(v, y), u, STANDARD)
    tau = fit_temperature(v, y)
    assert tau != 1
    for name in STANDARD:
        assert found[name].accuracy == pytest.approx(plain_estimate(name, v, y, u, tau), **EXACT), name


def test_ties_no_error_and_nothing_right() -> None:
    """Scores 1 1 2 2 with one error: a threshold of 1, of whose two examples of V half counts."""
    v, u = np.array([1.0, 1, 2, 2]), np.array([0.0, 1, 1, 1, 2])
    right = np.array([False, True, True, True])
    assert thresholded_confidence(v, right, u) == pytest.approx((1 + 3 / 2) / 5)
    assert thresholded_confidence(v, right, v) == pytest.approx(0.75)
    for correct, scores in product(product([False, True], repeat=4), (v, np.zeros(4), np.arange(4.0))):
        share = thresholded_confidence(scores, np.array(correct), scores)
        assert share == pytest.approx(sum(correct) / 4)  # on V it is the accuracy
        assert thresholded_confidence(scores, np.array(correct), u) == pytest.approx(
            plain.atc(scores, correct, u), **EXACT
        )


def test_the_score_of_atc_does_not_saturate() -> None:
    logits = np.array([[0.0, 60, 0], [0, 80, 0], [0, 100, 0]])
    assert len(set(softmax(logits).max(axis=1))) == 1 and (np.diff(sureness(logits)) > 0).all()
    rng = np.random.default_rng(0)
    some = rng.normal(size=(50, 5))
    assert np.array_equal(np.argsort(sureness(some)), np.argsort(softmax(some).max(axis=1)))
    np.testing.assert_allclose(sureness(some), plain.margins(some), atol=1e-12)
    np.testing.assert_allclose(negative_entropy(some), plain.negentropies(softmax(some)), atol=1e-12)


def test_one_class_in_play_is_certain() -> None:
    v, y, u, _ = world(3, 30, 20, 0)
    found = estimates_of(calibrated(v, y, [1]), u, (*STANDARD, "dis2"))
    assert {name: one.accuracy for name, one in found.items()} == dict.fromkeys(STANDARD, 1.0)
    assert calibrated(v, np.zeros(30, dtype=int), [1]) is None


def test_a_restricted_set_sees_only_its_classes_of_v() -> None:
    v, y, u, _ = world(5, 80, 60, 1)
    among = np.isin(y, [0, 3, 4])
    alone = estimates_of(
        calibrated(v[among][:, [0, 3, 4]], np.searchsorted([0, 3, 4], y[among])), u[:, [0, 3, 4]], STANDARD
    )
    assert estimates_of(calibrated(v, y, [4, 0, 3]), u, STANDARD) == alone
    assert alone != estimates_of(calibrated(v, y), u, STANDARD)


def test_the_order_of_examples_and_classes_changes_nothing() -> None:
    v, y, u, _ = world(4, 60, 50, 2)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(60), np.array([2, 0, 3, 1])
    other = calibrated(v[rows][:, columns], np.argsort(columns)[y[rows]])
    here, there = (
        estimates_of(calibrated(v, y), u, STANDARD),
        estimates_of(other, u[rng.permutation(50)][:, columns], STANDARD),
    )
    for name in STANDARD:
        assert here[name].accuracy == pytest.approx(there[name].accuracy, abs=1e-9)


def test_an_estimate_far_above_the_labelled_set_is_warned_of() -> None:
    """0.6 of 100: two standard errors are 0.098."""
    for value, warned in ((0.69, False), (0.70, True), (0.2, False)):
        log = Log()
        warn_of_high("far", {"cott": Estimate(accuracy=value), "cot": Estimate(accuracy=1.0)}, 0.6, 100, log)
        assert [one["code"] for one in log.warnings] == ["estimate-too-high"] * warned


def test_flipped_labels_are_seen_by_no_estimate() -> None:
    """The same images under other labels have the same outputs: every estimate stays where it was."""
    v, y, u, z = world(4, 300, 300, 3, noise=0)
    found = estimates_of(calibrated(v, y), u, STANDARD)
    flipped = float((u.argmax(1) == 3 - z).mean())
    assert all(abs(one.accuracy - (v.argmax(1) == y).mean()) < 0.1 for one in found.values()) and flipped < 0.2


def test_nuclear_norm() -> None:
    rng = np.random.default_rng(0)
    for m, k in ((1, 3), (5, 5), (40, 3), (3, 8)):
        p = softmax(rng.normal(size=(m, k)))
        assert nuclear.nuclear_score(p) == pytest.approx(plain.nuclear_norm(p), **EXACT)
        assert 0 < nuclear.nuclear_score(p) <= 1
    assert nuclear.nuclear_score(np.eye(4)) == pytest.approx(1)
    scores, accuracies = rng.uniform(0.2, 0.9, 12), rng.uniform(0.2, 0.9, 12)
    groups = np.repeat(["a", "b", "c", "d"], 3)
    known = [nuclear.KnownSet(*one, 10**9) for one in zip(groups, scores, accuracies, strict=True)]
    assert tuple(nuclear.fit_line(known)) == pytest.approx(plain.probit_line(scores, accuracies), **EXACT)
    left_out = plain.left_out_accuracies(scores, accuracies, groups)
    assert nuclear.error_of_line(known) == pytest.approx(np.abs(left_out - accuracies).mean(), **EXACT)
    assert nuclear.error_of_line(known[:3]) is None
    line = nuclear.fit_line(known)
    assert line.accuracy(0.4) == pytest.approx(plain.probit_accuracy(0.4, *line), **EXACT)


def test_the_corruption_of_the_set_itself_is_left_out() -> None:
    v, y, u, _ = world(4, 50, 70, 4)
    rng = np.random.default_rng(0)
    logits = {(name, s): v + s * rng.normal(size=v.shape) for name in ("fog", "snow", "frost") for s in (1, 2)}
    odd = logits | {("fog", 1): 9 * v[::-1]}

    def estimate(known: dict[tuple[str, int], np.ndarray], leave_out: str | None) -> Estimate:
        return estimates_of(calibrated(v, y), u, ["nuclear"], corrupted=CorruptedSet(y, known), leave_out=leave_out)[
            "nuclear"
        ]

    assert estimate(odd, "fog") == estimate(logits, "fog") != estimate(odd, None)


def test_agreement() -> None:
    rng = np.random.default_rng(0)
    y, z = rng.integers(5, size=400), rng.integers(5, size=300)

    def predicted(truth: np.ndarray, accuracy: float) -> np.ndarray:
        return np.where(rng.random(len(truth)) < accuracy, truth, rng.integers(5, size=len(truth)))

    strengths = [0.5, 0.6, 0.65, 0.7, 0.8, 0.9]
    v, u = [predicted(y, s) for s in strengths], [predicted(z, 0.7 * s) for s in strengths]
    accuracies = np.array([(one == y).mean() for one in v])
    line = agreement_line(v, accuracies, u)
    assert line is not None
    np.testing.assert_allclose(line.slope, plain.aline_s(accuracies, v, u), atol=1e-10)
    np.testing.assert_allclose(line.difference, plain.aline_d(accuracies, v, u), atol=1e-10)
    assert line.r2 == pytest.approx(plain.aline_line(plain.aline_pairs(v, u))[2], **EXACT)
    assert generalization_disagreement(u) == pytest.approx(plain.gde(u), **EXACT)
    assert agreement_line(v[:4], accuracies[:4], u[:4]) is None
    assert agreement_line([y] * 6, np.ones(6), u) is None  # pairs that agree everywhere do not count
    models = [Predicted(*one) for one in zip(v, u, accuracies, strict=True)]
    found = estimates_by_agreement(models, ("gde", "aline"))
    assert found["aline_slope"].accuracy == pytest.approx(line.slope.mean()) and found["gde"].models == 6
    assert estimates_by_agreement(models[:3], ("aline",)) == {}


def test_predictions_for_agreement_are_among_the_classes_in_play() -> None:
    v, y, u, _ = world(4, 30, 20, 5)
    one = Predicted.of(calibrated(v, y, [1, 3]), u)
    assert set(one.labelled) | set(one.unlabelled) <= {0, 1} and len(one.labelled) == np.isin(y, [1, 3]).sum()


def test_the_bound_of_given_critics() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        h_v, h_u, c_v, c_u = (rng.integers(3, size=n) for n in (40, 30, 40, 30))
        accuracy = float(rng.random())
        gap = float((h_v == c_v).mean() - (h_u == c_u).mean())
        assert gap == pytest.approx(plain.disagreement_gap(h_v, c_v, h_u, c_u), **EXACT)
        free = accuracy - gap - plain.dis2_epsilon(40, 30, 0.05)
        assert bound(accuracy, gap, 40, 30, 0.05) == pytest.approx(max(free, 0), **EXACT)


def test_the_loss_and_the_gap_of_the_critics() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4, 4), (3, 1, 4)))
    v, u = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (20, 15))
    losses, gaps = _losses(weight, bias, v, u), _gaps(weight, bias, v, u)
    for r in range(3):
        on_v, on_u = (x @ weight[r].T + bias[r] for x in (v, u))
        predicted = v.argmax(1).tolist(), u.argmax(1).tolist()
        expected = plain.critic_loss(on_v.numpy(), predicted[0], on_u.numpy(), predicted[1])
        assert losses[r].item() == pytest.approx(expected, **EXACT)
        gap = plain.disagreement_gap(predicted[0], on_v.argmax(1).tolist(), predicted[1], on_u.argmax(1).tolist())
        assert gaps[r].item() == pytest.approx(gap, **EXACT)


def test_the_bound_holds_and_says_something_where_a_linear_critic_can_see_the_errors() -> None:
    """On U the model takes too much for class 0; a critic can take the excess away again."""
    v, y, u, z = world(4, 600, 600, 6, noise=0)
    u[:, 0] += 2.5
    lower, accuracy = dis2_bound(v, v.argmax(1) == y, u, seed=0), (u.argmax(1) == z).mean()
    assert 0.05 < lower < accuracy < (v.argmax(1) == y).mean() - 0.1
    assert lower == dis2_bound(v, v.argmax(1) == y, u, seed=0) != dis2_bound(v, v.argmax(1) == y, u, seed=1)
    found = estimates_of(calibrated(v, y), u, ["dis2"])["dis2"]
    assert found.accuracy is UNSET and found.value == found.lower_bound
