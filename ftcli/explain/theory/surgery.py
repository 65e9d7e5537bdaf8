"""Which layer answers which shift (Lee et al. 2022, section 4): two propositions and a theorem as simulations.

Source networks are f(x) = vᵀφ(Wx). Every error is a fraction of the mean squared target label: 0 is perfect, 1 is as
good as answering 0.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from ftcli.explain.theory.linear import flow, residual
from ftcli.explain.theory.observed import ood_loss, watch
from ftcli.explain.theory.worlds import Array, Shape, orthogonal, random_worlds, through, unseen

INPUTS, HIDDEN, EXAMPLES = 6, 8, 200  # of a ReLU network and its data: enough examples to pin every weight down
FLIP, SCALE = -1.0, 2.0  # the changes t of the labels
SHIFT = 0.5  # of a rotation added to the identity to change the inputs; below 1, so that the sum has an inverse
NETWORKS = 20  # ReLU networks in which the propositions are simulated
ITERATIONS = 200  # of L-BFGS at most


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def error(W: Array, v: Array, x: Array, y: Array) -> float:
    """Mean squared error of vᵀrelu(Wx) over that of answering 0. W [h, d], v [h], x [N, d], y [N]."""
    return float(((relu(x @ W.T) @ v - y) ** 2).mean() / (y**2).mean())


def best_last(W: Array, x: Array, y: Array) -> float:
    """The least error of any last layer over the first layer W: a linear least squares, so exact."""
    features = relu(x @ W.T)  # [N, h]
    return error(W, np.linalg.lstsq(features, y, rcond=None)[0], x, y)


def tuned_first(W: Array, v: Array, x: Array, y: Array) -> float:
    """The error where L-BFGS ends that starts at W and moves the first layer alone.

    Not convex: there may be a lower one, but none below what is proven.
    """
    scale = 1 / (len(y) * (y**2).mean())

    def objective(flat: Array) -> tuple[float, Array]:
        hidden = x @ flat.reshape(W.shape).T  # [N, h]
        r = relu(hidden) @ v - y
        slope = 2 * scale * ((r[:, None] * v * (hidden > 0)).T @ x)  # [h, d]
        return float(scale * (r @ r)), slope.ravel()

    found = minimize(objective, W.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-15})
    return error(found.x.reshape(W.shape), v, x, y)


def input_shift(rng: np.random.Generator) -> dict[str, float]:
    """Proposition 1: the inputs become x' = Ax. The first layer WA⁻¹ answers exactly; no last layer does."""
    W, v, x, y = source(rng)
    A = np.eye(INPUTS) + SHIFT * orthogonal(1, INPUTS, rng)[0]
    shifted = x @ A.T
    exact = np.linalg.solve(A.T, W.T).T  # WA⁻¹
    return {
        "untuned": error(W, v, shifted, y),
        "first_exact": error(exact, v, shifted, y),
        "first_tuned": tuned_first(W, v, shifted, y),
        "last_best": best_last(W, shifted, y),
    }


def output_shift(rng: np.random.Generator) -> dict[str, float]:
    """Proposition 2: the labels become y' = ty. The last layer tv answers exactly; the first does for t > 0 only.

    With v ≥ 0 the network never goes below 0, so that for t < 0 every first layer has an error of 1 or more.
    """
    W, v, x, y = source(rng)
    v = np.abs(v)
    y = relu(x @ W.T) @ v
    return {
        "untuned": error(W, v, x, FLIP * y),
        "last_exact": error(W, FLIP * v, x, FLIP * y),
        "first_flipped": tuned_first(W, v, x, FLIP * y),
        "first_scaled": error(SCALE * W, v, x, SCALE * y),
    }


def source(rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """A ReLU network and the data that it answers exactly: W [h, d], v [h], x [N, d], y [N]."""
    W = rng.standard_normal((HIDDEN, INPUTS)) / np.sqrt(INPUTS)
    v, x = rng.standard_normal(HIDDEN), rng.standard_normal((EXAMPLES, INPUTS))
    return W, v, x, relu(x @ W.T) @ v


def few_examples(count: int, shape: Shape, until: float, rng: np.random.Generator) -> dict[str, Array]:
    """Theorem 1 in a linear world: n < d target examples, inputs shifted inside their own span S by x' = Ax.

    The right weights are A⁻ᵀw, w = B0ᵀv* the source's, and they differ from w in S alone. First-layer tuning keeps v,
    and so keeps Bᵀv outside S, where it is right; in S it fits. Full fine-tuning moves v, and with it Bᵀv outside S.
    Target losses ‖A⁻ᵀw - Bᵀv‖² [count] at the end of gradient flow, fractions of ‖A⁻ᵀw‖²; and their training losses.
    """
    n, d = shape.n, shape.d
    worlds = random_worlds(count, Shape(shape.k, n, d, epsilon=0.0), rng)
    Z, B0, v = worlds.X, worlds.B0, worlds.vstar
    Q = np.linalg.svd(Z, full_matrices=False)[2]  # rows: a basis of S, [W, n, d]
    A = np.eye(d) + SHIFT * Q.swapaxes(-1, -2) @ orthogonal(count, n, rng) @ Q  # the identity outside S
    w = through(B0, v)
    right = np.linalg.solve(A.swapaxes(-1, -2), w[..., None])[..., 0]  # A⁻ᵀw
    X, Y = Z @ A.swapaxes(-1, -2), (Z @ w[..., None])[..., 0]
    F, size, target = unseen(Z), (right**2).sum(axis=1), (Y**2).sum(axis=1)
    found = {"untuned": ((right - w) ** 2).sum(axis=1) / size}
    for name, head in (("first", False), ("full", True)):
        seen = watch(flow(X, Y, v, B0, until, head=head), X, Y, right, F)
        found[name] = ood_loss(right, seen.last) / size
        found[f"{name}_training"] = (residual(X, Y, seen.last.v, seen.last.B) ** 2).sum(axis=1) / target
    return found


def simulate(
    count: int, shape: Shape, until: float, stream: Callable[[str], np.random.Generator]
) -> dict[str, dict[str, dict[str, float]]]:
    """The smallest, the median and the largest of every error: the propositions in NETWORKS ReLU networks, the theorem
    in `count` linear worlds of a shape, flows ending at time `until`. `stream`: a generator for each name.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, make in (("input_shift", input_shift), ("output_shift", output_shift)):
        rng = stream(name)
        rows = [make(rng) for _ in range(NETWORKS)]
        found[name] = {key: extent(np.array([row[key] for row in rows])) for key in rows[0]}
    few = few_examples(count, shape, until, stream("few_examples"))
    return found | {"few_examples": {key: extent(values) for key, values in few.items()}}


def extent(values: Array) -> dict[str, float]:
    """The smallest, the median and the largest."""
    return {"min": float(values.min()), "median": float(np.median(values)), "max": float(values.max())}
