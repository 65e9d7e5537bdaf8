"""The estimate of a command's time, as JSON objects with types. Nothing heavy is imported."""

from msgspec import UNSET, UnsetType

from ftcli.records import Count, Record


class TimedPart(Record, kw_only=True):
    """One part of the estimate: `count` units of `seconds_each`. choice: of which choice of blocks, where there are."""

    name: str
    choice: str | UnsetType = UNSET
    count: Count
    unit: str
    seconds_each: float
    seconds: float


class TimeEstimate(Record, kw_only=True):
    """Seconds that the command will take.

    low, high: the range in which the time lies on a machine as busy as during the measurement. runs, epochs: of each
    run, and steps: of each epoch; 0 where nothing is trained by steps. models: that are evaluated on every set.
    epochs_in_all: the fewest and the most epochs of all runs together, where `--budget` eliminates rates.
    left_out: what will take time and is not in `seconds`. images: that the measurement used.
    """

    seconds: float
    low: float
    high: float
    runs: Count
    epochs: Count
    steps: Count
    models: Count
    epochs_in_all: list[Count] | UnsetType = UNSET
    images: Count
    parts: list[TimedPart]
    left_out: list[str]
