"""The averages that a command makes of its own runs, each measured on every set; and the one that is saved."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite

from msgspec import UNSET, structs
from torch import nn

from ftcli.averages.evaluator import WeightEvaluator
from ftcli.averages.members import WITHIN, initial_weights, members_of, reestimates
from ftcli.averages.rules import BY_RULE, AveragedWeights, Sources, lines, shares_by_block
from ftcli.averages.types import Average, Averages, Picked, Statistics
from ftcli.config.averages.options import Averaged
from ftcli.config.training import Training
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate
from ftcli.engine.types import Score, Selected
from ftcli.log import Log
from ftcli.measures.results import Results, measure
from ftcli.model.loading.load import Loaded
from ftcli.safe_text import counted


@dataclass(frozen=True)
class SavedAverage:
    """An average that is saved in place of the pick: its model, its results, and the report's `selected`."""

    model: nn.Module
    results: Results
    selected: Selected


def measure_averages(
    trained: Trained, results: Sequence[Results], loaded: Loaded, inputs: RunInputs, config: Training, log: Log
) -> tuple[Averages | None, SavedAverage | None]:
    """The report's `averages`, and the one that --save names; None where none is asked for.

    results: of the pick of each seed. An average of several runs that has fewer than two members is None, with a
    warning.
    """
    if not isinstance(config, Averaged) or not config.average_names():
        return None, None
    sources = sources_of(trained, loaded, inputs, config, log)
    averages: dict[str, AveragedWeights | None] = {}
    for rule in config.average or ():
        averages |= BY_RULE[rule](sources)
    if config.lines:
        averages |= lines(sources, config.lines)
    warn_of_members(sources, averages, log)
    of_pick = next(of for of, pick in zip(results, trained.picks, strict=True) if pick is trained.best)
    measured: dict[AveragedWeights, Results] = {}
    for name, average in averages.items():
        if average is not None and average not in measured:
            known = is_pick(average, sources, trained.best)
            measured[average] = of_pick if known else measured_anew(average, name, sources, of_pick)
    part = Averages(
        pick=Picked(trained.best.selected(trained.choice), of_pick.figures),
        members=[one.member for one in sources.members],
        statistics=sources.evaluator.statistics[0],
        paths=sources.paths,
        by_name={
            name: None if average is None else describe(average, finite(measured[average], name, log), sources)
            for name, average in averages.items()
        },
    )
    return part, saved_average(config, averages, measured, part, sources, log)


def sources_of(trained: Trained, loaded: Loaded, inputs: RunInputs, config: Averaged, log: Log) -> Sources:
    """What the averages of a command are made of."""
    seed = config.seed_list()[0]
    start = initial_weights(trained, loaded, inputs, seed, log)
    members = members_of(trained, start, loaded, inputs) if config.keeps_weights else []
    network = inputs.machine.place(deepcopy(loaded.model))
    statistics: Statistics = "reestimated" if reestimates(config, network) else "raw"
    evaluator = WeightEvaluator(network, inputs, (statistics,), False, seed, log)
    return Sources(start, trained.best.state, members, evaluator, trained.own_heads)


def warn_of_members(sources: Sources, averages: Mapping[str, AveragedWeights | None], log: Log) -> None:
    """Warn of averages that have fewer than two members, and of those that have a new head."""
    if lacking := [name for name, average in averages.items() if average is None]:
        there = counted(len(sources.members), "run", "runs")
        log.warn(
            "few-members",
            f"--average {','.join(lacking)}: needs two runs or more that came to their end within"
            f" {100 * WITHIN:g} points of the pick on ID-val, and there is {there}",
        )
    if probed := [name for name, average in averages.items() if average and not average.own_head]:
        log.warn(
            "new-head",
            f"{', '.join(probed)}: each seed began with a head of its own, so bodies are averaged, under a new probe",
        )


def is_pick(average: AveragedWeights, sources: Sources, pick: Candidate) -> bool:
    """Whether an average is the pick itself, to the bit."""
    if sources.evaluator.statistics[0] != "raw":
        return False
    of = [sources.members[i].member for i in average.members]
    return average.strength == 1 or [(member.seed, member.lr) for member in of] == [(pick.seed, pick.lr)]


def measured_anew(average: AveragedWeights, name: str, sources: Sources, of_pick: Results) -> Results:
    """An average on every set, with what the pick's sets have besides their figures."""
    sources.load(average, name)
    evaluator = sources.evaluator
    return measure(evaluator.model, evaluator.inputs, of_pick.seed, evaluator.log, details=of_pick.details.from_logits)


def describe(average: AveragedWeights, results: Results | None, sources: Sources) -> Average | None:
    """One entry of the report's `averages`."""
    if results is None:
        return None
    return Average(
        rule=average.rule,
        strength=UNSET if average.strength is None else average.strength,
        picked=average.picked or UNSET,
        members=list(average.members) or UNSET,
        new_head=not average.own_head,
        shares=shares_by_block(sources) if average.rule == "stock" else UNSET,
        results=results.figures,
        temperature=results.temperature,
    )


def finite(results: Results, name: str, log: Log) -> Results | None:
    """The results; None, with a warning, where outputs are not all finite numbers."""
    sets = results.figures.by_set()
    if lost := [name for name, figures in sets.items() if not isfinite(figures.loss)]:
        log.warn("not-finite", f"{name}: the outputs on {', '.join(lost)} are not all finite")
        return None
    return results


def saved_average(
    config: Averaged, averages: Mapping[str, AveragedWeights | None], measured: Mapping[AveragedWeights, Results],
    part: Averages, sources: Sources, log: Log,
) -> SavedAverage | None:  # fmt: skip
    """The average that --save names, its weights in the network; None, with a warning, where it could not be made."""
    name = config.saved_average
    if name is None:
        return None
    average = averages[name]
    if average is None or part.by_name[name] is None:
        log.warn("no-average", f"--save {config.save}: that average could not be made, so the pick is saved")
        return None
    sources.load(average, name)
    results = measured[average]
    id_val = results.figures.by_set()["id_val"]
    selected = structs.replace(part.pick.selected, average=name, id_val=Score(id_val.accuracy, id_val.loss))
    return SavedAverage(sources.evaluator.model, results, selected)
