"""Module criticality (Chatterji et al. 2020): how far back and how roughly a block can be moved at no cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import product
from math import fsum

from torch import Tensor, nn

from ftcli.data.cuts.stratified import limit, strata
from ftcli.data.loader import Loader
from ftcli.engine.resume.saved_counts import SavedCounts
from ftcli.engine.run_inputs import RunInputs
from ftcli.explain.criticality.options import Criticality
from ftcli.explain.criticality.perturbation import Perturbed
from ftcli.explain.criticality.suffix import mistake_counter
from ftcli.explain.criticality.types import CriticalBlock
from ftcli.explain.criticality.types import Criticality as CriticalityPart
from ftcli.log import Log
from ftcli.model.blocks import blocks_of
from ftcli.seeds import derive_seed
from ftcli.workload import CELL, Loop, SearchWork

ROUNDING = 1e-9  # of a fraction of images: a cell exactly at the limit is within it


@dataclass(frozen=True)
class Cell:
    """The cell of the grid that gives μ."""

    mu: float
    alpha: float
    sigma: float


def smallest_mu(
    errors: Sequence[Sequence[float]],
    alphas: Sequence[float],
    sigmas: Sequence[float],
    distance: float,
    max_error: float,
) -> Cell | None:
    """μ = min α² d² / σ² over the cells whose error is at most `most` (Neyshabur et al. 2020, section 3.4).

    errors [alphas][sigmas], fractions; σ above 0; `distance` d = ‖θᶠ - θ⁰‖. Of cells with the same μ the one with the
    most noise. None where no cell will do.
    """
    cells = [
        Cell((alpha * distance / sigma) ** 2, alpha, sigma)
        for alpha, row in zip(alphas, errors, strict=True)
        for sigma, error in zip(sigmas, row, strict=True)
        if error <= max_error + ROUNDING
    ]
    return min(cells, key=lambda cell: (cell.mu, -cell.sigma), default=None)


def measure_criticality(
    model: nn.Module, start: Mapping[str, Tensor], loader: Loader, inputs: RunInputs, config: Criticality, log: Log
) -> CriticalityPart:
    """The report's `criticality`: μ, the errors of the grid and the plain rewind of every block of the body; their sum.

    `model`: θᶠ, on the machine of `inputs`; afterwards its weights are what they were, to the bit. `start`: θ⁰, every
    parameter of the body by name. `loader`: the images on which the error is taken, as evaluation sees them. Every
    other block stays at θᶠ, and so do BatchNorm's statistics. Errors are fractions.
    """
    body, _ = blocks_of(model)
    counts = SavedCounts(inputs.checkpointer, "criticality")
    cells = len(config.alphas) * len(config.sigmas) * config.draws
    shares = [1 - i / len(body) for i in range(len(body))]  # of the network that runs again in every cell
    log.plan(
        {block.name: SearchWork(1, 1, {CELL: Loop(cells, share)}) for block, share in zip(body, shares, strict=True)},
        noun="block",
    )
    count_of_body = partial(mistake_counter, model, body[0].tensors, loader, inputs, log)
    own = counts.count("own", lambda: count_of_body()(finite=True)) / loader.n
    blocks: dict[str, CriticalBlock] = {}
    for block in body:
        # Made only where a count is missing.
        counter = cache(partial(mistake_counter, model, block.tensors, loader, inputs, log))
        with Perturbed(model, block.tensors, start) as moved:
            moved_block = MovedBlock(block.name, moved, counter, counts, config.seed)
            known, all_counts = counts.known_of(block.name), cells + len({*config.alphas, 0.0})
            log.begin_search(block.name)
            log.begin_run(known, all_counts, unit="error count", resumed=known > 0, finished=known == all_counts)
            blocks[block.name] = measure_block(moved_block, loader.n, own, config, log)
    counts.close()
    without = [name for name, block in blocks.items() if block.mu is None]
    if without:
        log.warn(
            "criticality-open",
            f"no cell of the grid keeps the error of {', '.join(without)} within {100 * (own + config.epsilon):.1f} %: "
            "no μ, and no sum over the blocks; smaller --sigmas may show one",
        )
    return CriticalityPart(
        epsilon=config.epsilon,
        error=own,
        images=loader.n,
        alphas=list(config.alphas),
        sigmas=list(config.sigmas),
        draws=config.draws,
        blocks=blocks,
        sum=None if without else fsum(block.mu or 0.0 for block in blocks.values()),
    )


class MovedBlock:
    """A block of a model, and the mistakes that the model makes with the block moved; each is counted once."""

    def __init__(
        self,
        name: str,
        moved: Perturbed,
        make_counter: Callable[[], Callable[..., int]],
        counts: SavedCounts,
        seed: int,
    ) -> None:
        self.name, self.moved, self.make_counter, self.counts = name, moved, make_counter, counts
        self.noise = lru_cache(maxsize=1)(partial(moved.noise, seed, name))  # of a draw

    def mistakes(self, alpha: float, sigma: float = 0.0, draw: int | None = None) -> int:
        """With the block at (1 - α) θ⁰ + α θᶠ + σ z, z that draw."""

        def count_with_block_moved() -> int:
            mistakes = self.make_counter()  # made before anything moves, the first time
            self.moved.move_to(alpha, sigma, () if draw is None else self.noise(draw))
            return mistakes()

        return self.counts.count(f"{self.name} {alpha} {sigma} {draw}", count_with_block_moved)


def measure_block(block: MovedBlock, n: int, own: float, config: Criticality, log: Log) -> CriticalBlock:
    """The entry of one block of a model that errs on `own` of n images.

    A draw z is the same in every cell, u = σ z: cells differ by α and σ alone.
    """
    alphas, sigmas, draws = config.alphas, config.sigmas, config.draws
    plain = [block.mistakes(alpha) / n for alpha in alphas]
    rewind = block.mistakes(0.0) / n - own
    wrong = [[0] * len(sigmas) for _ in alphas]
    cells = list(product(range(len(alphas)), range(len(sigmas))))
    for draw in range(draws):
        for a, s in log.track(cells, f"{block.name}, draw {draw + 1} of {draws}", len(cells), CELL):
            wrong[a][s] += block.mistakes(alphas[a], sigmas[s], draw)
    grid = [[count / (n * draws) for count in row] for row in wrong]
    cell = smallest_mu(grid, alphas, sigmas, block.moved.distance, own + config.epsilon)
    return CriticalBlock(
        mu=cell.mu if cell else None,
        rewind=rewind,
        distance=block.moved.distance,
        plain=plain,
        grid=grid,
        alpha=cell.alpha if cell else None,
        sigma=cell.sigma if cell else None,
    )


def images_for(inputs: RunInputs, max_error: int, seed: int) -> Loader:
    """At most so many training images as evaluation sees them, stratified, the same for every pair of models."""
    whole = inputs.plain
    assert whole is not None
    labels = whole.data.labels
    select = limit(strata(labels, inputs.task.classes), max_error, derive_seed("criticality", seed))
    return Loader(whole.data.select(select), whole.transform, batch_size=whole.batch_size, device=whole.device)
