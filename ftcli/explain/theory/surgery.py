"""Which layer corrects which shift (Lee et al. 2022, section 4): two propositions and a theorem as simulations.

Source networks are f(x) = vᵀφ(Wx). Every error is a fraction of the mean squared target label: 0 is perfect, 1 is as
good as answering 0.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from ftcli.explain.theory.problems import (
    Array,
    ProblemFamily,
    end_to_end_weights,
    orthogonal_complement,
    random_orthogonal,
    random_problems,
)
from ftcli.explain.theory.training import gradient_flow, residual
from ftcli.explain.theory.trajectory import ood_loss, record
from ftcli.explain.theory.types import Extremes, Surgery

INPUTS, HIDDEN, EXAMPLES = 6, 8, 200  # of a ReLU network and its data: enough examples to pin every weight down
FLIP, SCALE = -1.0, 2.0  # the changes t of the labels
SHIFT = 0.5  # of a rotation added to the identity to change the inputs; below 1, so that the sum has an inverse
NETWORKS = 20  # ReLU networks in which the propositions are simulated
ITERATIONS = 200  # of L-BFGS at most


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def relative_error(W: Array, v: Array, x: Array, y: Array) -> float:
    """Mean squared error of vᵀrelu(Wx) over that of answering 0. W [h, d], v [h], x [N, d], y [N]."""
    return float(((relu(x @ W.T) @ v - y) ** 2).mean() / (y**2).mean())


def best_last_layer(W: Array, x: Array, y: Array) -> float:
    """The least error of any last layer over the first layer W: a linear least squares, so exact."""
    features = relu(x @ W.T)  # [N, h]
    return relative_error(W, np.linalg.lstsq(features, y, rcond=None)[0], x, y)


def tune_first_layer(W: Array, v: Array, x: Array, y: Array) -> float:
    """The error after tuning the first layer by L-BFGS from W. Not convex: there may be a lower one."""
    scale = 1 / (len(y) * (y**2).mean())

    def objective(flat: Array) -> tuple[float, Array]:
        hidden = x @ flat.reshape(W.shape).T  # [N, h]
        r = relu(hidden) @ v - y
        by_W = 2 * scale * ((r[:, None] * v * (hidden > 0)).T @ x)  # [h, d]
        return float(scale * (r @ r)), by_W.ravel()

    result = minimize(objective, W.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-15})
    return relative_error(result.x.reshape(W.shape), v, x, y)


def input_shift(rng: np.random.Generator) -> dict[str, float]:
    """Proposition 1: the inputs become x' = Ax. The first layer WA⁻¹ answers exactly; no last layer does."""
    W, v, x, y = source_network(rng)
    A = np.eye(INPUTS) + SHIFT * random_orthogonal(1, INPUTS, rng)[0]
    shifted = x @ A.T
    exact = np.linalg.solve(A.T, W.T).T  # WA⁻¹
    return {
        "untuned": relative_error(W, v, shifted, y),
        "first_exact": relative_error(exact, v, shifted, y),
        "first_tuned": tune_first_layer(W, v, shifted, y),
        "last_best": best_last_layer(W, shifted, y),
    }


def output_shift(rng: np.random.Generator) -> dict[str, float]:
    """Proposition 2: the labels become y' = ty. The last layer tv answers exactly; the first does for t > 0 only.

    With v ≥ 0 the network never goes below 0, so that for t < 0 every first layer has an error of 1 or more.
    """
    W, v, x, y = source_network(rng)
    v = np.abs(v)
    y = relu(x @ W.T) @ v
    return {
        "untuned": relative_error(W, v, x, FLIP * y),
        "last_exact": relative_error(W, FLIP * v, x, FLIP * y),
        "first_flipped": tune_first_layer(W, v, x, FLIP * y),
        "first_scaled": relative_error(SCALE * W, v, x, SCALE * y),
    }


def source_network(rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """A ReLU network and the data that it answers exactly: W [h, d], v [h], x [N, d], y [N]."""
    W = rng.standard_normal((HIDDEN, INPUTS)) / np.sqrt(INPUTS)
    v, x = rng.standard_normal(HIDDEN), rng.standard_normal((EXAMPLES, INPUTS))
    return W, v, x, relu(x @ W.T) @ v


def few_examples(count: int, family: ProblemFamily, until: float, rng: np.random.Generator) -> dict[str, Array]:
    """Theorem 1 in linear networks: n < d target examples, inputs shifted inside their own span S by x' = Ax.

    The right weights are A⁻ᵀw, w = B0ᵀv* the source's, and they differ from w in S alone. First-layer tuning keeps v,
    and so keeps Bᵀv outside S, where it is right; in S it fits. Full fine-tuning moves v, and with it Bᵀv outside S.
    Target losses ‖A⁻ᵀw - Bᵀv‖² [count] at the end of gradient flow, fractions of ‖A⁻ᵀw‖²; and their training losses.
    """
    n, d = family.n, family.d
    problems = random_problems(count, ProblemFamily(family.k, n, d, epsilon=0.0), rng)
    Z, B0, v = problems.X, problems.B0, problems.vstar
    Q = np.linalg.svd(Z, full_matrices=False)[2]  # rows: a basis of S, [P, n, d]
    A = np.eye(d) + SHIFT * Q.swapaxes(-1, -2) @ random_orthogonal(count, n, rng) @ Q  # the identity outside S
    w = end_to_end_weights(B0, v)
    target = np.linalg.solve(A.swapaxes(-1, -2), w[..., None])[..., 0]  # A⁻ᵀw
    X, Y = Z @ A.swapaxes(-1, -2), (Z @ w[..., None])[..., 0]
    F, target_norm, label_norm = orthogonal_complement(Z), (target**2).sum(axis=1), (Y**2).sum(axis=1)  # squared
    errors = {"untuned": ((target - w) ** 2).sum(axis=1) / target_norm}
    for name, train_head in (("first", False), ("full", True)):
        last = record(gradient_flow(X, Y, v, B0, until, train_head=train_head), X, Y, target, F).last
        errors[name] = ood_loss(target, last) / target_norm
        errors[f"{name}_training"] = (residual(X, Y, last.v, last.B) ** 2).sum(axis=1) / label_norm
    return errors


def simulate_shifts(
    count: int, family: ProblemFamily, until: float, random_numbers: Callable[[str], np.random.Generator]
) -> Surgery:
    """The propositions in NETWORKS ReLU networks, the theorem in `count` linear problems with the sizes of a family,
    flows ending at time `until`. `random_numbers`: a generator for the name of each simulation.
    """
    few = few_examples(count, family, until, random_numbers("few_examples"))
    return Surgery(
        input_shift=in_networks(input_shift, random_numbers("input_shift")),
        output_shift=in_networks(output_shift, random_numbers("output_shift")),
        few_examples={name: extremes(errors) for name, errors in few.items()},
    )


def in_networks(
    shift: Callable[[np.random.Generator], dict[str, float]], rng: np.random.Generator
) -> dict[str, Extremes]:
    """The errors that a shift gives in NETWORKS random networks, by name."""
    rows = [shift(rng) for _ in range(NETWORKS)]
    return {name: extremes(np.array([row[name] for row in rows])) for name in rows[0]}


def extremes(values: Array) -> Extremes:
    return Extremes(min=float(values.min()), median=float(np.median(values)), max=float(values.max()))
