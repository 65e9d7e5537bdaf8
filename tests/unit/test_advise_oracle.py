"""The formulas of `ftcli advise` against plain loops that were written without them, to 1e-10."""

import numpy as np
import pytest
import torch

from ftcli.explain.advise import label_shift as shift
from ftcli.explain.advise.divergence import channel_moments, divergence
from ftcli.explain.advise.drop import drop_between
from ftcli.explain.advise.gradients import relative_norm
from ftcli.explain.advise.two_samples import areas
from tests.helpers.plain_shift import label_shift as plain
from tests.helpers.plain_shift import two_samples as plain_tests

EXACT = {"rel": 1e-10, "abs": 1e-10}


@pytest.fixture(params=range(4))
def sets(request: pytest.FixtureRequest) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """K, predictions and labels of V, predictions of U, probabilities of U [m, K]."""
    rng = np.random.default_rng(request.param)
    K = (2, 3, 5, 8)[request.param]
    labels = rng.choice(K, size=160, p=rng.dirichlet(np.full(K, 5.0)))
    predicted = np.where(rng.random(160) < 0.75, labels, rng.integers(K, size=160))
    probabilities = rng.dirichlet(np.full(K, 0.4), size=90)
    return K, predicted, labels, probabilities.argmax(axis=1), probabilities


def test_class_shares(sets: tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    K, predicted, labels, of_target, probabilities = sets
    C, mu, p = shift.joint_confusion(predicted, labels, K), shift.shares_of(of_target, K), shift.shares_of(labels, K)
    assert np.abs(C - plain.joint_matrix(predicted, labels, K)).max() < 1e-10
    bbse = shift.bbse(C, mu)
    assert bbse is not None and bbse.q == pytest.approx(plain.bbse(predicted, labels, of_target, K), **EXACT)
    assert shift.em(probabilities, p).q == pytest.approx(plain.em(probabilities, p), **EXACT)
    assert shift.rlls_radius(len(labels), K) == pytest.approx(plain.rlls_rho(len(labels), K), **EXACT)
    weights = shift.rlls(C, mu, len(labels)).weights
    assert weights == pytest.approx(plain.rlls(predicted, labels, of_target, K), rel=1e-8, abs=1e-8)
    recall = plain.recalls(predicted, labels, K)
    assert shift.expected_accuracy(C, bbse.q) == pytest.approx(plain.expected_accuracy(bbse.q, recall), **EXACT)


def test_corrected_logits(sets: tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    K, _, labels, _, probabilities = sets
    q, p, logits = probabilities.mean(axis=0), shift.shares_of(labels, K), np.log(probabilities + 1e-9)
    assert logits + shift.correction(q, p, 90) == pytest.approx(plain.corrected_logits(logits, q, p), **EXACT)


def test_homogeneity(sets: tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Of counts large enough for the distribution of chi²."""
    K, predicted, _, of_target, _ = sets
    predicted, of_target = np.tile(predicted, 3), np.tile(of_target, 3)
    counts = [np.bincount(of, minlength=K) for of in (predicted, of_target)]
    statistic, _, p = plain.homogeneity(predicted, of_target, K)
    assert shift.homogeneity(counts[0], counts[1]) == (pytest.approx(statistic, **EXACT), pytest.approx(p, **EXACT))


@pytest.mark.parametrize(("right", "n", "right_target", "m"), [(270, 300, 240, 300), (57, 60, 80, 100), (9, 9, 8, 8)])
def test_the_loss(right: int, n: int, right_target: int, m: int) -> None:
    found = drop_between(right / n, n, right_target / m, m, 0.01)
    assert (found.z, found.p) == pytest.approx(plain_tests.two_proportions(right, n, right_target, m), **EXACT)
    if right < n:
        assert found.detectable == pytest.approx(plain_tests.smallest_drop(right / n, n, m), abs=1e-9)


def test_areas() -> None:
    rng = np.random.default_rng(0)
    scores, members = rng.integers(6, size=(30, 4)).astype(float), rng.random((30, 4)) < 0.5
    for i, area in enumerate(areas(scores, members)[0]):
        of_source, of_target = scores[~members[:, i], i], scores[members[:, i], i]
        assert area == pytest.approx(plain_tests.auc(of_source, of_target), **EXACT)


def test_divergences() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=(n, 7)) * 2 + shift for n, shift in ((50, 0.0), (40, 0.5)))
    pooled = [channel_moments(np.concatenate([one, np.zeros_like(one)], axis=1)) for one in (first, second)]
    assert divergence(pooled[0], pooled[1]) == pytest.approx(plain_tests.moment_divergence(first, second), **EXACT)


def test_relative_norms() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, gradients = ({name: torch.randn(4, 3, generator=generator) for name in "ab"} for _ in range(2))
    parameters = {name: torch.nn.Parameter(value) for name, value in weights.items()}
    found = relative_norm(gradients, parameters, ("a", "b"))
    numbers = [{name: value.double().numpy() for name, value in of.items()} for of in (gradients, weights)]
    plain_norms = plain_tests.relative_gradient_norms(numbers[0], numbers[1], {"a": "x", "b": "x"})
    assert found == pytest.approx(plain_norms["x"], **EXACT)


def test_an_image_of_none_of_the_classes_of_the_source_says_nothing_about_their_shares() -> None:
    """Its probability is 1 for a class that ID-val lacks."""
    probabilities = np.array([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.6, 0.4, 0.0], [0.0, 0.0, 1.0]])
    source = np.array([0.5, 0.5, 0.0])
    with_it, without = shift.em(probabilities, source).q, shift.em(probabilities[:3], source).q
    assert np.isfinite(with_it).all() and with_it == pytest.approx(without, abs=1e-4)
