"""Files that are splits by their names: train-…, validation-…, test-…"""

import os
import re
from collections.abc import Sequence

from ftcli.data.rows import SPLIT_ROLES
from ftcli.errors import RequestError
from ftcli.safe_text import listed, quoted


def files_by_split(files: Sequence[str]) -> dict[str, list[str]]:
    """The paths of each split, in their order. Files none of which is named after a split are all one, "train", and so
    is a single file.

    Raises:
        RequestError: some are named after a split and others are not.
    """
    named: dict[str, list[str]] = {}
    for file in files:
        name = re.match(r"([a-z]+)(?=[-_.])", os.path.basename(file).lower())
        split = name[1] if name and name[1] in SPLIT_ROLES else ""
        named.setdefault(split, []).append(file)
    if len(files) == 1 or list(named) == [""]:
        return {"train": list(files)}
    if "" in named:
        raise RequestError(
            f"some files in {quoted(os.path.dirname(files[0]) or '.')} are named after a split and others are not: "
            + listed([os.path.basename(file) for file in named[""]]),
            "name the one file that is meant",
        )
    return named
