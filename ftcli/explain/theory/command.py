"""The command `theory`: LP, FT and LP-FT on random problems of two-layer linear networks, and the papers' claims."""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from ftcli.console.answer import Answer
from ftcli.context import open_context
from ftcli.engine.types import Timing
from ftcli.errors import RunError
from ftcli.explain.theory.claims import check_claims
from ftcli.explain.theory.options import Theory
from ftcli.explain.theory.problems import ProblemFamily
from ftcli.explain.theory.simulation import flow_curves, perfect_features_of, point_of, simulate, simulate_descent
from ftcli.explain.theory.surgery import simulate_shifts
from ftcli.explain.theory.sweeps import axis_values, ratio_slope, with_value
from ftcli.explain.theory.tables import panels
from ftcli.explain.theory.types import Sweep, TheoryResults, Trajectories
from ftcli.figures.plots import check_plot, save_panels
from ftcli.log import Log
from ftcli.report.build import report_of
from ftcli.report.tables import report_answer
from ftcli.safe_text import counted
from ftcli.seeds import derive_seed


def theory(config: Theory) -> Answer:
    """Simulate, and write the report and the requested figure. Raises RunError where a training diverges."""
    check_plot(config.plot)
    with open_context(config) as context:
        try:
            # Matrices this small are slower on several threads than on one.
            with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
                results = simulate_theory(config, context.log)
        except FloatingPointError as error:
            raise RunError(f"a training diverged: {error}.", "a smaller --rate, --norm or --head-std") from None
        timing = Timing(round(time.perf_counter() - context.started, 3))
        report = report_of(config, {"theory": results}, timing, context.log)
        context.write(report)
        context.write_page(report)
        if config.plot:
            save_panels(config.plot, panels(report))
        return report_answer(report, context.folder)


def simulate_theory(config: Theory, log: Log) -> TheoryResults:
    """The requested point, perfect features, the sweeps and the shifts; then every claim.

    Raises FloatingPointError where a training diverges.
    """
    family = ProblemFamily(config.k, config.n, config.d, config.epsilon, config.angle, config.norm, config.head_std)
    simulation = simulate(family, config.worlds, config.until, random_numbers(config, "point"))
    descent, descent_curves = simulate_descent(simulation, config.rate, config.until)
    perfect = simulate(
        with_value(family, "epsilon", 0.0), config.worlds, config.until, random_numbers(config, "perfect")
    )
    sweeps = simulate_sweeps(config, family, log)
    results = TheoryResults(
        point=point_of(simulation),
        trajectories=Trajectories(flow=flow_curves(simulation), descent=descent_curves),
        descent=descent,
        perfect=perfect_features_of(perfect),
        sweeps=sweeps,
        surgery=simulate_shifts(config.worlds, family, config.until, lambda name: random_numbers(config, name)),
        claims=[],
    )
    results.claims = check_claims(results)
    warn_unsettled(results, config, log)
    return results


def simulate_sweeps(config: Theory, family: ProblemFamily, log: Log) -> dict[str, Sweep]:
    """The points of every sweep, by axis."""
    jobs = [(axis, value) for axis in config.axes for value in axis_values(axis, family, config.points)]
    sweeps = {axis: Sweep([]) for axis in config.axes}
    for axis, value in log.track(jobs, "sweeps", len(jobs)):
        rng = random_numbers(config, axis, f"{value:g}")
        swept = simulate(with_value(family, axis, value), config.worlds, config.until, rng)
        sweeps[axis].points.append(point_of(swept, value))
    if "epsilon" in sweeps:
        sweeps["epsilon"].slope = ratio_slope(sweeps["epsilon"].points)
    return sweeps


def random_numbers(config: Theory, *words: str) -> np.random.Generator:
    """The random numbers of one simulation: its own, so that none changes the problems of another."""
    return np.random.default_rng(derive_seed("theory", config.seed, *words))


def warn_unsettled(results: TheoryResults, config: Theory, log: Log) -> None:
    """Warn of problems whose training loss was not yet 0 when the time was over."""
    flows, descents = sum(point.unsettled for point in results.points()), results.descent.unsettled
    for count, training in ((flows, "flow"), (descents, "descent")):
        if count:
            log.warn(
                "unsettled",
                f"gradient {training} had not converged at time {config.until:g} in"
                f" {counted(count, 'problem', 'problems')}: L_ood is the value at that time; increase --until",
            )
