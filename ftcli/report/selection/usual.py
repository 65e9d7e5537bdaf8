"""The usual pick beside one by the one-standard-error rule."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ftcli.averages.types import Picked
from ftcli.engine.grid import Trained
from ftcli.measures.results import Results


def usual_pick(trained: Trained, measure_picks: Callable[[Trained], Sequence[Results]]) -> Picked | None:
    """What the usual rule picks where another has picked, on every set; None where it has picked itself.

    measure_picks: gives the results of all picks of what was trained.
    """
    for stage in (*trained.earlier_stages.values(), trained):
        if usual := stage.best.usual:
            return Picked(usual.selected(), measure_picks(replace(stage, picks=[usual]))[0].figures)
    return None
