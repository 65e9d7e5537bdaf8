"""A user's Python file that registers architectures with timm, and the modules that it imports."""

import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

from ftcli.errors import RequestError, suggest

_loaded_before: dict[str, frozenset[str]] = {}  # {imported file's module: names of modules loaded before it}
VERSIONED = ("stdlib", "platstdlib", "purelib", "platlib")  # of Python's folders: installed modules have a version


def import_file(path: str) -> None:
    """Run a user's file that registers architectures with timm. Raises RequestError when it is missing or fails."""
    file = Path(path).resolve()  # once: Python keeps the whole path, and a second model is not to run it again
    if not file.is_file():
        others = [other.name for other in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise RequestError(f"no file {path} to import", suggest(file.name, others) or "check the path after --import")
    name = file.stem
    if getattr(sys.modules.get(name), "__file__", None) == str(file):
        return  # by an earlier command of this process: to run it again would register everything twice
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path} is not a Python file", "give a file that ends in .py")
    if (other := sys.modules.get(name)) is not None and getattr(other, "__file__", None) != str(file):
        raise RequestError(f"{path} has the name of a module already in use: {name}", "rename the file")
    module = importlib.util.module_from_spec(spec)
    _loaded_before[name] = frozenset(sys.modules)
    sys.modules[name] = module  # before it runs: timm finds a model's settings through its module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        del sys.modules[name]
        raise RequestError(
            f"{path} fails: {type(error).__name__}: {' '.join(str(error).split())}", "run it with python to see where"
        ) from error


def imported_files(file: Path) -> dict[str, Path]:
    """The file and every module that it has imported so far from outside Python and its packages, by module name.

    These have no version: only their content says what they do.
    """
    installed = tuple(os.path.realpath(sysconfig.get_path(name)) + os.sep for name in VERSIONED)
    before, files = _loaded_before.get(file.stem, frozenset(sys.modules)), {file.stem: file}
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__dict__", {}).get("__file__")
        if name in before or name.partition(".")[0] in ("ftcli", file.stem) or not isinstance(source, str):
            continue
        path = Path(os.path.realpath(source))
        if path.is_file() and not str(path).startswith(installed) and "dist-packages" not in path.parts:
            files[name] = path
    return dict(sorted(files.items()))
