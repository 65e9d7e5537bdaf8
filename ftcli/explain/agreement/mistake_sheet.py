"""The mistakes that two models share, and those of one alone, as pictures on a contact sheet."""

from collections.abc import Iterator, Mapping

import numpy as np

from ftcli.console.cells import set_name
from ftcli.data.task import Task
from ftcli.explain.agreement.measure import Pair
from ftcli.figures.contact_sheet import MAX_ROWS, PER_ROW, Row


def mistake_rows(by_set: Mapping[str, Pair], task: Task, kind: str) -> Iterator[Row]:
    """Of a contact sheet of the mistakes of one kind: a row per set and true class, and below each picture what A and B
    take it for. Every set gets as many rows; where it has more classes, those with the most mistakes stay.
    """
    sets, most = task.sets(), max(1, MAX_ROWS // len(by_set))
    for name, pair in by_set.items():
        wrong = pair.mistakes(kind)
        counts = np.bincount(pair.labels[wrong], minlength=len(task.classes))
        shown = [k for k in np.argsort(-counts, kind="stable")[:most] if counts[k]]
        for k in sorted(shown):
            examples = np.flatnonzero(wrong & (pair.labels == k))[:PER_ROW].tolist()
            below = [[f"A: {task.classes[pair.first[i]]}", f"B: {task.classes[pair.second[i]]}"] for i in examples]
            yield Row([task.classes[k], f"({set_name(name)})"], sets[name], examples, below)
