"""The event files that TensorBoard reads, read back by TensorBoard's own reader."""

from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Points = dict[str, list[tuple[int, float]]]


def events_in(folder: Path) -> dict[str, Points]:
    """By run: every scalar by its tag, as (step, value)."""
    runs = {}
    for path in sorted((folder / "trackers" / "tensorboard").iterdir()):
        read = EventAccumulator(str(path)).Reload()
        runs[path.name] = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    return runs


def expected_points(lines: list[dict[str, Any]]) -> dict[str, Points]:
    """What lines of history.jsonl lead to, but for the rate; values as float32, in which event files have them."""
    runs: dict[str, Points] = {}
    for line in lines:
        rate = f"lr {line['lr']:g} " if "lr" in line else ""
        points = runs.setdefault(f"{line.get('choice', '')} {rate}seed {line['seed']}".strip(), {})
        figures = {"loss": line["loss"], "seconds": line["seconds"]}
        sets = {"id_val": line["id_val"], **{f"ood/{name}": score for name, score in line.get("ood", {}).items()}}
        figures |= {f"{name}/{key}": value for name, score in sets.items() for key, value in score.items()}
        for tag, value in figures.items():
            if value is not None:
                points.setdefault(tag, []).append((line["epoch"], float(np.float32(value))))
    return runs
