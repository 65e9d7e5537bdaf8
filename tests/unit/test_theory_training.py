"""Training of two-layer linear networks, against formulas written plainly for one problem."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import null_space
from scipy.optimize import approx_fprime

from ftcli.explain.theory.problems import Array, ProblemFamily, Problems, orthogonal_complement, random_problems
from ftcli.explain.theory.training import (
    State,
    gradient,
    gradient_descent,
    gradient_flow,
    linear_probe,
    linear_probe_flow,
    stable_rate,
)
from ftcli.explain.theory.trajectory import CONVERGED, record

FAMILY = ProblemFamily(2, 5, 9, 0.3, head_std=0.5)
FAMILIES = [FAMILY, ProblemFamily(3, 15, 40, 0.01), ProblemFamily(6, 7, 10, 1.0, norm=3.0, head_std=1.0)]
LONG = 300.0


@pytest.fixture
def problems() -> Problems:
    return random_problems(3, FAMILY, np.random.default_rng(1))


def loss_of(problems: Problems, w: int, flat: Array) -> float:
    """‖XBᵀv - Y‖² of one problem, its head and features in one row."""
    v, B = flat[:2], flat[2:].reshape(2, 9)
    return float(np.sum((problems.X[w] @ B.T @ v - problems.X[w] @ problems.Bstar[w].T @ problems.vstar[w]) ** 2))


def plain_slope(problems: Problems, w: int, flat: Array) -> Array:
    """v' = -2BXᵀr and B' = -2v(Xᵀr)ᵀ of one problem."""
    v, B, X = flat[:2], flat[2:].reshape(2, 9), problems.X[w]
    r = X @ (B.T @ v) - X @ problems.Bstar[w].T @ problems.vstar[w]
    return np.concatenate([-2 * B @ X.T @ r, (-2 * np.outer(v, X.T @ r)).ravel()])


def plain_flow(problems: Problems, w: int, until: float) -> Array:
    start = np.concatenate([problems.v0[w], problems.B0[w].ravel()])
    found = solve_ivp(lambda _, y: plain_slope(problems, w, y), (0, until), start, "LSODA", rtol=1e-11, atol=1e-13)
    return found.y[:, -1]


def last_of(states) -> State:  # type: ignore[no-untyped-def]
    *_, last = states
    return last


def ends(problems: Problems, state: State) -> Array:
    return np.concatenate([state.v, state.B.reshape(len(state.v), -1)], axis=1)  # [W, k + kd]


def test_the_gradient_is_that_of_the_loss(problems: Problems) -> None:
    v, B = problems.v0, problems.B0 + 0.1 * np.random.default_rng(2).standard_normal(problems.B0.shape)
    dv, dB = gradient(problems.X, problems.Y, v, B)
    for w in range(3):
        flat = np.concatenate([v[w], B[w].ravel()])
        numeric = approx_fprime(flat, lambda y, w=w: loss_of(problems, w, y), 1e-7)
        np.testing.assert_allclose(np.concatenate([dv[w], dB[w].ravel()]), numeric, atol=1e-5)


def test_the_probe_is_least_squares(problems: Problems) -> None:
    found = linear_probe(problems.X, problems.Y, problems.B0)
    for w in range(3):
        expected = np.linalg.lstsq(problems.X[w] @ problems.B0[w].T, problems.Y[w], rcond=None)[0]
        np.testing.assert_allclose(found[w], expected, rtol=1e-10)


@pytest.mark.parametrize("until", [0.3, 5.0])
def test_the_flow_is_that_of_another_solver(problems: Problems, until: float) -> None:
    found = ends(problems, last_of(gradient_flow(problems.X, problems.Y, problems.v0, problems.B0, until)))
    for w in range(3):
        np.testing.assert_allclose(found[w], plain_flow(problems, w, until), atol=1e-9)


def test_a_flow_without_its_head_moves_the_features_alone(problems: Problems) -> None:
    last = last_of(gradient_flow(problems.X, problems.Y, problems.v0, problems.B0, LONG, train_head=False))
    assert (last.v == problems.v0).all()
    for w in range(3):  # v stays, so Bᵀv ends at the nearest weights to B0ᵀv that fit
        start = problems.B0[w].T @ problems.v0[w]
        fit = start + np.linalg.pinv(problems.X[w]) @ (problems.Y[w] - problems.X[w] @ start)
        np.testing.assert_allclose(last.B[w].T @ last.v[w], fit, atol=1e-8)


def test_probing_by_flow_is_the_flow_of_the_head_alone(problems: Problems) -> None:
    times = np.array([0.0, 0.2, 1.5, LONG])
    states = list(linear_probe_flow(problems.X, problems.Y, problems.v0, problems.B0, times))
    np.testing.assert_allclose(states[0].v, problems.v0, atol=1e-14)
    np.testing.assert_allclose(states[-1].v, linear_probe(problems.X, problems.Y, problems.B0), rtol=1e-8)
    for w in range(3):
        features = problems.X[w] @ problems.B0[w].T
        for state in states[1:3]:
            plain = solve_ivp(
                lambda _, v, Z=features, w=w: -2 * Z.T @ (Z @ v - problems.Y[w]),
                (0, state.time), problems.v0[w], "Radau", rtol=1e-10, atol=1e-12,
            )  # fmt: skip
            np.testing.assert_allclose(state.v[w], plain.y[:, -1], atol=1e-8)


def test_descent_comes_to_the_flow_as_its_steps_shrink(problems: Problems) -> None:
    """Euler's rule: half the step, half the error."""
    until = 2.0
    exact = np.stack([plain_flow(problems, w, until) for w in range(3)])
    errors = []
    for steps in (500, 1000, 2000):
        rate = np.full(3, until / steps)
        found = ends(problems, last_of(gradient_descent(problems.X, problems.Y, problems.v0, problems.B0, rate, steps)))
        errors.append(np.abs(found - exact).max())
    assert errors[2] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05) and errors[1] / errors[2] == pytest.approx(2, rel=0.05)


def test_descent_is_the_plain_rule_with_a_rate_for_each_problem(problems: Problems) -> None:
    rate = np.array([0.01, 0.02, 0.005])
    found = ends(problems, last_of(gradient_descent(problems.X, problems.Y, problems.v0, problems.B0, rate, 7)))
    for w in range(3):
        flat = np.concatenate([problems.v0[w], problems.B0[w].ravel()])
        for _ in range(7):
            flat = flat + rate[w] * plain_slope(problems, w, flat)
        np.testing.assert_allclose(found[w], flat, atol=1e-13)


def test_descent_without_its_body_is_linear_probing(problems: Problems) -> None:
    rate = stable_rate(problems.X, problems.v0, 1.0, 0.5)
    last = last_of(gradient_descent(problems.X, problems.Y, problems.v0, problems.B0, rate, 5000, train_features=False))
    assert (last.B == problems.B0).all()
    np.testing.assert_allclose(last.v, linear_probe(problems.X, problems.Y, problems.B0), rtol=1e-8)


@pytest.mark.parametrize(
    "family", [FAMILY, ProblemFamily(3, 15, 40, 0.01), ProblemFamily(6, 7, 10, 1.0, norm=3.0, head_std=1.0)]
)
def test_what_training_must_keep(family: ProblemFamily) -> None:
    """By problem: B(t)u = B0u for every u ⟂ rows of X; vvᵀ - BBᵀ constant under flow, and not under descent."""
    problems = random_problems(3, family, np.random.default_rng(4))
    rate = stable_rate(problems.X, problems.v0, family.norm, 0.2)
    flowed = list(gradient_flow(problems.X, problems.Y, problems.v0, problems.B0, 20.0))
    stepped = list(gradient_descent(problems.X, problems.Y, problems.v0, problems.B0, rate, 500))
    moved = 0.0
    for w in range(3):
        hidden, start = null_space(problems.X[w]), flowed[0]
        kept = np.outer(start.v[w], start.v[w]) - start.B[w] @ start.B[w].T
        for state in (*flowed, *stepped):
            np.testing.assert_allclose(state.B[w] @ hidden, problems.B0[w] @ hidden, atol=1e-12)
        for state in flowed:
            np.testing.assert_allclose(np.outer(state.v[w], state.v[w]) - state.B[w] @ state.B[w].T, kept, atol=1e-9)
        last = stepped[-1]
        moved = max(moved, np.abs(np.outer(last.v[w], last.v[w]) - last.B[w] @ last.B[w].T - kept).max())
        assert np.linalg.norm(last.B[w] - problems.B0[w]) > 1e-3  # something did train
    assert moved > 1e-4


def test_watching_sees_what_moves(problems: Problems) -> None:
    F = orthogonal_complement(problems.X)
    bent = State(1.0, problems.v0 + 0.25, problems.B0 + 0.5 * F[:, None, :, 0])  # every row along an unseen direction
    still = State(0.0, problems.v0, problems.B0)
    seen = record([still, bent], problems.X, problems.Y, problems.wstar, F)
    for w in range(3):
        hidden = (bent.B[w] - still.B[w]) @ F[w]
        assert seen.outside[w] == pytest.approx(np.abs(hidden).max()) == pytest.approx(0.5)
        before, after = (np.outer(s.v[w], s.v[w]) - s.B[w] @ s.B[w].T for s in (still, bent))
        assert seen.balance[w] == pytest.approx(np.abs(after - before).max())
        for t, state in enumerate((still, bent)):
            w_hat = state.B[w].T @ state.v[w]
            assert seen.loss[t, w] == pytest.approx(np.sum((problems.X[w] @ w_hat - problems.Y[w]) ** 2))
            assert seen.ood[t, w] == pytest.approx(np.sum((problems.Bstar[w].T @ problems.vstar[w] - w_hat) ** 2))
    assert not seen.converged.any()


def test_watching_ends_when_the_training_loss_has(problems: Problems) -> None:
    states = gradient_flow(problems.X, problems.Y, problems.v0, problems.B0, 1e6)
    seen = record(states, problems.X, problems.Y, problems.wstar, orthogonal_complement(problems.X))
    assert seen.converged.all() and seen.times[-1] < 1e3
    assert (seen.loss.min(axis=0) <= CONVERGED * (problems.Y**2).sum(axis=1)).all()
    assert (seen.loss[-2].max() > CONVERGED * (problems.Y**2).sum(axis=1)).any()


def test_descent_that_diverges_is_not_a_number_in_a_report(problems: Problems) -> None:
    states = gradient_descent(problems.X, problems.Y, problems.v0, problems.B0, np.full(3, 5.0), 1000)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="not finite"):
        record(states, problems.X, problems.Y, problems.wstar, orthogonal_complement(problems.X))


def test_the_steady_rate_keeps_below_the_curvature(problems: Problems) -> None:
    """The curvature of a perfect fit is that of JᵀJ: 2 over its largest eigenvalue is where descent would grow."""
    rates = stable_rate(problems.X, problems.v0, 1.0, 1.0)
    for w in range(3):
        X, v = problems.X[w], problems.v0[w]
        J = np.concatenate([X @ problems.B0[w].T, np.einsum("k,nd->nkd", v, X).reshape(5, -1)], axis=1)
        assert rates[w] <= 2 / np.linalg.eigvalsh(2 * J @ J.T)[-1]
        assert rates[w] >= 0.3 * 2 / np.linalg.eigvalsh(2 * J @ J.T)[-1]
