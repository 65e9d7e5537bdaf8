"""What the saved model answered on every set, read from predictions.parquet beside its report."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ftcli.arrow import as_numpy, number_array
from ftcli.errors import RequestError
from ftcli.report.types import Report
from ftcli.run_folder.names import PREDICTIONS
from ftcli.run_folder.predictions import read_table
from ftcli.safe_text import reason


@dataclass(frozen=True)
class Answers:
    """The answers on one set, in the order of the file. `examples`, `labels`, `predicted` [N]: names of examples and of
    classes; `probability` [N]: of the predicted class.
    """

    examples: list[str]
    labels: list[str]
    predicted: list[str]
    probability: np.ndarray

    def correct(self) -> np.ndarray:
        """Which answers are right: [N] boolean."""
        return np.array([a == b for a, b in zip(self.labels, self.predicted, strict=True)], dtype=bool)

    def mistakes(self) -> np.ndarray:
        """The wrong answers by their place, the most confident first; of equal ones the first."""
        wrong = np.flatnonzero(~self.correct())
        return wrong[np.argsort(-self.probability[wrong], kind="stable")]


def answers_of(report: Report, folder: Path) -> dict[str, Answers]:
    """The answers of the saved model by set with labels; with several seeds, those of the selected one. Empty where
    there is no predictions.parquet, or it says nothing of that seed.

    Raises RequestError for a file that holds no predictions.
    """
    path = folder / PREDICTIONS
    if not path.exists():
        return {}
    try:
        table = read_table(path, with_probability=True)
        seeds = as_numpy(table["seed"])
        selected = getattr(report.selected, "seed", None) if report.selected else None
        if selected is None or selected not in seeds:
            if len(np.unique(seeds)) != 1:
                return {}
            selected = seeds[0]
        table = table.take(number_array(np.flatnonzero(seeds == selected)))
        members = np.array(table["set"].to_pylist(), dtype=object)
        return {
            str(name): answers_in(table.take(number_array(np.flatnonzero(members == name))))
            for name in dict.fromkeys(members.tolist())
        }
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise RequestError(
            f"{path} cannot be read as predictions: {reason(error)}",
            "run the command again, or move the file away to draw the figure without them",
        ) from error


def answers_in(table: pa.Table) -> Answers:
    examples, labels, predicted = ([*map(str, table[key].to_pylist())] for key in ("example", "label", "predicted"))
    return Answers(examples, labels, predicted, as_numpy(table["probability"]).astype(np.float64))
