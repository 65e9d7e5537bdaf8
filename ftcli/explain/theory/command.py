"""The command `theory`: LP, FT and LP-FT in random worlds of two-layer linear networks, and what the papers claim.

A shape gives worlds; in each a probe, two flows and a descent are watched; their figures make a point. Sweeps are many
points; claims are held against all of them.
"""

import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ftcli.config import Theory
from ftcli.console.answer import Answer, report_answer
from ftcli.console.progress import ConsoleLog
from ftcli.errors import RunError
from ftcli.explain.theory.claims import checked, every_point
from ftcli.explain.theory.points import describe, describe_descent, describe_perfect, flow_trajectories, run_point
from ftcli.explain.theory.surgery import simulate
from ftcli.explain.theory.sweeps import grid, slope, varied
from ftcli.explain.theory.tables import theory_panels
from ftcli.explain.theory.worlds import Shape
from ftcli.figures.plots import check_plot, save_panels
from ftcli.log import Log
from ftcli.report.build import report_of, time_since
from ftcli.run_folder.folder import claim, made, write_run
from ftcli.seeds import derive_seed
from ftcli.text import counted


def theory(config: Theory) -> Answer:
    """Simulate, write the report, and the figure where one is asked for. Raises RunError where a training diverges."""
    started = time.perf_counter()
    check_plot(config.plot)
    with ConsoleLog(config.quiet) as log:
        folder = claim(config.out, "theory", config.overwrite)
        found = simulated(config, log)
        report = report_of("theory", config, {"theory": found}, time_since(started), log)
        folder = made(folder, config.out)
        write_run(folder, report, [], None, None)
        if config.plot:
            save_panels(config.plot, theory_panels(found))
    return report_answer(report, folder)


def simulated(config: Theory, log: Log) -> dict[str, Any]:
    """The report's `theory`."""
    try:
        # Matrices this small are slower on several threads than on one.
        with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
            return studied(config, log)
    except FloatingPointError as error:
        raise RunError(f"a training diverged: {error}.", "a smaller --rate, --norm or --head-std") from None


def studied(config: Theory, log: Log) -> dict[str, Any]:
    """The point asked for, perfect features, the sweeps and the shifts; then every claim."""
    shape = Shape(config.k, config.n, config.d, config.epsilon, config.angle, config.norm, config.head_std)
    grids = {axis: grid(axis, shape, config.points) for axis in config.axes}
    jobs = [(axis, value) for axis, values in grids.items() for value in values]
    point = run_point(shape, config.worlds, config.until, stream(config, "point"))
    descent, descended = describe_descent(point, config.rate, config.until)
    perfect = run_point(varied(shape, "epsilon", 0.0), config.worlds, config.until, stream(config, "perfect"))
    found: dict[str, Any] = {
        "point": describe(point),
        "trajectories": {"flow": flow_trajectories(point), "descent": descended},
        "descent": descent,
        "perfect": describe_perfect(perfect),
        "sweeps": {axis: {"points": []} for axis in grids},
    }
    for axis, value in log.track(jobs, "sweeps", len(jobs)):
        rng = stream(config, axis, f"{value:g}")
        swept = run_point(varied(shape, axis, value), config.worlds, config.until, rng)
        found["sweeps"][axis]["points"].append({"value": value, **describe(swept)})
    if "epsilon" in grids:
        found["sweeps"]["epsilon"]["slope"] = slope(found["sweeps"]["epsilon"]["points"])
    found["surgery"] = simulate(config.worlds, shape, config.until, lambda name: stream(config, name))
    found["claims"] = checked(found)
    warn_unsettled(found, config, log)
    return found


def stream(config: Theory, *words: str) -> np.random.Generator:
    """The random numbers of one part of the study: its own, so that no part changes another's worlds."""
    return np.random.default_rng(derive_seed("theory", config.seed, *words))


def warn_unsettled(found: dict[str, Any], config: Theory, log: Log) -> None:
    """Say in how many worlds the training loss was not yet 0 when the time was over."""
    flows, descents = sum(point["unsettled"] for point in every_point(found)), found["descent"]["unsettled"]
    for count, what in ((flows, "flow"), (descents, "descent")):
        if count:
            log.warn(
                "unsettled",
                f"gradient {what} had not ended at time {config.until:g} in {counted(count, 'world', 'worlds')}:"
                " L_ood is that of then; a longer --until lets it end",
            )
