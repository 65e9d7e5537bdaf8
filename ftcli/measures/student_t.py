"""Student's t distribution: its p values and quantiles, without SciPy, which takes half a second to import."""

import math

TERMS = 10_000  # of the continued fraction, at most; some thirty are needed but where df is very large
TINY = 1e-300
ENOUGH = 1e-15
NORMAL_FROM = 1e7  # degrees of freedom; from here on, the logarithms below lose more digits than the normal differs


def two_sided_p(t: float, df: float) -> float:
    """P[|T| >= |t|] for T with `df` degrees of freedom, which need not be whole; a t of infinity has 0.

    Raises ValueError where `df` is not above 0 or t is not a number.
    """
    if not df > 0 or math.isnan(t):
        raise ValueError(f"a number and degrees of freedom above 0 are needed, got t = {t}, df = {df}")
    if math.isinf(t):
        return 0.0
    if df > NORMAL_FROM:
        return math.erfc(abs(t) / math.sqrt(2))
    return _incomplete_beta(df / 2, 0.5, df, t * t)


def two_sided_quantile(level: float, df: float) -> float:
    """The t >= 0 with P[|T| <= t] = `level`: 4.303 for 0.95 and 2 degrees of freedom.

    Raises ValueError where `level` is not in [0, 1) or `df` not above 0.
    """
    if not 0 <= level < 1:
        raise ValueError(f"a level in [0, 1) is needed, got {level}")
    # Newton from below: the tail is convex, so no step goes past the quantile but for rounding, where it ends.
    near = min(df, NORMAL_FROM)  # for the steps alone
    log_peak = math.lgamma((near + 1) / 2) - math.lgamma(near / 2) - math.log(math.pi * near) / 2
    t = 0.0
    while (missing := two_sided_p(t, df) - (1 - level)) > 0:
        density = math.exp(log_peak - (near + 1) / 2 * math.log1p(t * t / near))
        if t + missing / (2 * density) == t:
            break
        t += missing / (2 * density)
    return t


def _incomplete_beta(a: float, b: float, df: float, square: float) -> float:
    """The regularised incomplete beta function I_x(a, b) at x = df/(df + square)."""
    x, y = df / (df + square), square / (df + square)  # y = 1 - x, without the loss of digits near x = 1
    if y == 0:
        return 1.0
    if x == 0:
        return 0.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _fraction(a, b, x) / a
    return 1 - math.exp(log_front) * _fraction(b, a, y) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, from its front to its end (Lentz)."""
    c, d = 1.0, 1 / _away_from_0(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_0(1 + term * d)
            c = _away_from_0(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < ENOUGH:
            break
    return value


def _away_from_0(value: float) -> float:
    return value if abs(value) > TINY else TINY
