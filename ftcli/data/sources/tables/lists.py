"""List files: a line `path label` per image, as DomainNet and many older sets have them."""

from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from ftcli.arrow import number_array, text_array
from ftcli.data.rows import Features, ImageFeature, Rows, label_feature
from ftcli.data.sources.tables.text_file import DAMAGED, text_lines
from ftcli.errors import RequestError
from ftcli.limits import MAX_CLASSES, MAX_TEXT_ROWS
from ftcli.safe_text import quoted, shortened

ENDING = ".txt"


def read_list(path: str, *, labelled: bool) -> Rows:
    """The rows of a list: the last word of a line is the label, all before it the path, which may hold spaces.

    Labels that are all whole numbers are class numbers. Where all files of a number lie in folders of one name, and no
    two numbers share it, the names of these folders are the classes, in the order of the numbers.

    Args:
        labelled: False allows lines without a label, where no line has one.

    Raises:
        RequestError: a line is none of this; it is named.
    """
    paths, labels, numbers = list[str](), list[str](), list[int]()
    for number, line in text_lines(path):
        words = line.strip().rsplit(None, 1)
        if not words:
            continue
        if len(words) == 1 and labelled:
            raise _no_label(path, number, words[0])
        paths.append(words[0])
        labels.append(words[1] if len(words) == 2 else "")
        numbers.append(number)
        if len(numbers) > MAX_TEXT_ROWS:
            raise RequestError(f"{quoted(path)} has more than {MAX_TEXT_ROWS:,} lines", "divide it")
    if not paths:
        raise RequestError(f"{quoted(path)} has no rows: every line is empty", DAMAGED)
    columns: dict[str, pa.Array] = {"image": text_array(paths)}
    features: Features = {"image": ImageFeature()}
    if all(labels):
        columns["label"], of_label = _classes(paths, labels)
        features |= of_label
    elif any(labels):
        wrong = labels.index("")
        raise _no_label(path, numbers[wrong], paths[wrong])
    lines = np.array(numbers, dtype=np.int64)
    return Rows(pa.table(columns), features, paths, (), unit="file", lines=lines)


def _no_label(path: str, number: int, word: str) -> RequestError:
    comma = "," in word
    return RequestError(
        f"line {number:,} of {quoted(path)} has no label: {quoted(shortened(word, 80))}",
        "a line of a list is a path, a space and a label"
        + ("; a table with commas has a line of names, as image,label, and is named .csv" if comma else ""),
    )


def _classes(paths: list[str], labels: list[str]) -> tuple[pa.Array, Features]:
    """The column of labels, and what it means."""
    if not all(label.isascii() and label.removeprefix("-").isdigit() and len(label) < 10 for label in set(labels)):
        return text_array(labels), {}
    values = np.array([int(label) for label in labels], dtype=np.int64)
    known = np.unique(values)
    if known[0] < 0 or known[-1] >= MAX_CLASSES:
        return number_array(values), {}
    folders = [PurePosixPath(path).parent.name for path in paths]
    pairs = set(zip(values.tolist(), folders, strict=True))
    of_number = dict(pairs)
    if not len(pairs) == len(known) == len(set(of_number.values())) or not all(of_number.values()):
        return number_array(values), {}
    return number_array(np.searchsorted(known, values)), label_feature([of_number[i] for i in known.tolist()])
