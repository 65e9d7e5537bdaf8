"""What a report says of module criticality. Errors are fractions of the images."""

from ftcli.records import Count, Fraction, Record


class CriticalBlock(Record):
    """One block between its start θ⁰ and its end θᶠ.

    mu: the least α²‖θᶠ - θ⁰‖²/σ² over the grid's cells whose error is small enough, at `alpha` and `sigma`; None where
    no cell is. rewind: the error gained with the block at θ⁰. distance: ‖θᶠ - θ⁰‖. plain [alphas]: the error without
    noise. grid [alphas][sigmas]: the mean error over the draws of the noise.
    """

    mu: float | None
    rewind: float
    distance: float
    plain: list[Fraction]
    grid: list[list[Fraction]]
    alpha: float | None
    sigma: float | None


class Criticality(Record):
    """epsilon: the error that a cell of the grid may gain; error: that of B; sum: of every block's mu, None where one
    has none.
    """

    epsilon: float
    error: Fraction
    images: Count
    alphas: list[float]
    sigmas: list[float]
    draws: Count
    blocks: dict[str, CriticalBlock]
    sum: float | None


PARTS = {"criticality": Criticality}
