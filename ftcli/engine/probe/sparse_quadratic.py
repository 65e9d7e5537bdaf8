"""The minimum of a quadratic with an L1 penalty, exact in finitely many steps.

1. Primal-dual active sets (Hintermüller et al. 2002). Which weights are not 0, and their signs, are those after a step
   down the gradient, all at once: a Newton method for the conditions of the minimum. Near it the signs settle after a
   few rounds, and the point is the minimum; farther away they may go in circles.
2. Alternating directions (Boyd et al. 2011, section 6.4), from the best of these points where they do. They come near
   from anywhere, and never quite arrive: now and then the minimum with the signs that they have is tried.
3. Feature-sign search (Lee et al. 2007), where not even these signs settle. Weights that are not 0 keep their signs, so
   that the penalty is linear and the minimum that of a linear system. Where a sign would change on the way there, the
   best of the points at which one does is taken, and that weight is 0. Every round comes nearer.
"""

import torch
from torch import Tensor

GUESSES = 15  # rounds of the first method
TRIES, ITERATIONS = 6, 100  # of the second: how often the signs are tried, and iterations between
PENALTY, RELAXATION = 0.1, 1.6  # of the second: ρ as a share of the mean curvature, and its over-relaxation
ROUNDS = 500  # of the third
TOLERANCE = 1e-10  # of the penalty's slope, which is 1
ROUNDING = 1e-12  # of the objective


def minimise_quadratic(H: Tensor, c: Tensor, start: Tensor) -> Tensor:
    """argmin over v of ½ v·Hv + c·v + ‖v‖₁. H: [a, a], positive definite; c, start: [a]."""
    found, point = _active_sets(H, c, start)
    if not found:
        found, point = _alternating_directions(H, c, point)
    return point if found else feature_sign_search(H, c, point)


def _active_sets(H: Tensor, c: Tensor, start: Tensor) -> tuple[bool, Tensor]:
    """Whether the signs settled, and the minimum, else the best point."""
    v, rate, before = start, 1 / H.diagonal(), None
    points = [start]
    for _ in range(GUESSES):
        ahead = v - rate * (H @ v + c)
        signs = torch.where(ahead.abs() > rate, ahead.sign(), 0.0)
        if before is not None and signs.equal(before):
            return True, v
        v, before = _target(H, c, signs, torch.zeros_like(signs, dtype=torch.bool)), signs
        points.append(v)
    return False, points[int(_value(H, c, torch.stack(points)).argmin())]


def _alternating_directions(H: Tensor, c: Tensor, start: Tensor) -> tuple[bool, Tensor]:
    """Whether the minimum was found, and it, else a point near it."""
    rho = PENALTY * H.diagonal().mean()
    factor, failed = torch.linalg.cholesky_ex(H + rho * torch.eye(len(c), dtype=H.dtype))
    if failed:
        return False, start
    inverse = torch.cholesky_inverse(factor)
    z, u = start, torch.zeros_like(start)
    for _ in range(TRIES):
        for _ in range(ITERATIONS):
            ahead = RELAXATION * (inverse @ (rho * (z - u) - c)) + (1 - RELAXATION) * z + u
            z = ahead.sign() * (ahead.abs() - 1 / rho).clamp_min(0)
            u = ahead - z
        target = _target(H, c, z.sign(), torch.zeros_like(z, dtype=torch.bool))
        if _is_minimum(H, c, target):
            return True, target
    return False, z


def _is_minimum(H: Tensor, c: Tensor, v: Tensor) -> bool:
    gradient, zero = H @ v + c, v == 0
    away = torch.where(zero, gradient.abs() - 1, (gradient + v.sign()).abs())
    return bool((away <= TOLERANCE).all())


def feature_sign_search(H: Tensor, c: Tensor, start: Tensor) -> Tensor:
    """The minimum from any point: every round comes nearer, or makes a weight 0 that rounding had left."""
    v, single = start.clone(), False
    value = _value(H, c, v[None])[0]
    for _ in range(ROUNDS):
        if _is_minimum(H, c, v):
            return v
        gradient, zero = H @ v + c, v == 0
        new = zero & (gradient.abs() > 1 + TOLERANCE)
        if single:  # the one of the steepest descent never has the wrong sign
            settled = not bool(((gradient + v.sign()).abs() > TOLERANCE)[~zero].any())
            new = torch.zeros_like(new)
            new[torch.where(zero, gradient.abs(), 0.0).argmax()] = settled
        target = _target(H, c, torch.where(new, -gradient.sign(), v.sign()), new)
        points = _turning_points(v, target)
        values = _value(H, c, points)
        best = int(values.argmin())
        if values[best] < value:
            v, value, single = points[best], values[best], False
        elif not single:
            single = True
        elif len(points) > 1 and values[0] <= value + ROUNDING * value.abs():
            v, value = points[0], values[0]
        else:
            return v  # rounding hides what is left
    return v


def _target(H: Tensor, c: Tensor, signs: Tensor, new: Tensor) -> Tensor:
    """The minimum where the weights keep these signs, those of sign 0 being 0; new ones that would not are left out."""
    while True:
        active = signs.nonzero()[:, 0]
        target = torch.zeros_like(c)
        if len(active):
            target[active] = _solve(H[active][:, active], -c[active] - signs[active])
        wrong = new & (target * signs < 0)
        if not bool(wrong.any()):
            return target
        signs = torch.where(wrong, 0.0, signs)


def _solve(H: Tensor, right: Tensor) -> Tensor:
    """H⁻¹ · right; H: positive definite, but for rounding."""
    factor, failed = torch.linalg.cholesky_ex(H)
    return torch.linalg.solve(H, right) if failed else torch.cholesky_solve(right[:, None], factor)[:, 0]


def _turning_points(v: Tensor, target: Tensor) -> Tensor:
    """The points on the way from v to the target at which a weight becomes 0, in order, and the target: [n, a]."""
    turning = (v * target < 0).nonzero()[:, 0]
    shares = v[turning] / (v[turning] - target[turning])
    order = shares.argsort()
    turning, shares = turning[order], shares[order, None]
    points = v + shares * (target - v)
    points[torch.arange(len(turning)), turning] = 0.0
    return torch.cat([points, target[None]])


def _value(H: Tensor, c: Tensor, points: Tensor) -> Tensor:
    """The objective at points [n, a]: [n]."""
    return ((points @ H) * points).sum(dim=1) / 2 + points @ c + points.abs().sum(dim=1)
