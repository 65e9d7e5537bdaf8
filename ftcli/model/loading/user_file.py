"""The modules that a user's file brought in, of which nobody has a version: only their content says what they do."""

import os
import sys
import sysconfig
from pathlib import Path

_before: dict[str, frozenset[str]] = {}  # by the file's module, the names of the modules that were there before it
VERSIONED = ("stdlib", "platstdlib", "purelib", "platlib")  # of Python's folders: what is installed has a version


def note_modules(name: str) -> None:
    """The module `name` is about to be imported from a user's file."""
    _before[name] = frozenset(sys.modules)


def imported_files(file: Path) -> dict[str, Path]:
    """The file and every module that it has brought in so far from outside Python and its packages, by module name."""
    installed = tuple(os.path.realpath(sysconfig.get_path(name)) + os.sep for name in VERSIONED)
    before, found = _before.get(file.stem, frozenset(sys.modules)), {file.stem: file}
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__dict__", {}).get("__file__")
        if name in before or name.partition(".")[0] in ("ftcli", file.stem) or not isinstance(place, str):
            continue
        path = Path(os.path.realpath(place))
        if path.is_file() and not str(path).startswith(installed) and "dist-packages" not in path.parts:
            found[name] = path
    return dict(sorted(found.items()))
