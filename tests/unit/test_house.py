"""The house keeps its order: imports go down only, and what must start fast imports nothing heavy."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from ftcli.commands import COMMANDS, import_named

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "ftcli").rglob("*.py"))
FLAT = 16  # files in one folder, at most
LINES = 330  # of a file, at most


def module_of(path: Path) -> str:
    """ROOT/ftcli/engine/train.py -> "ftcli.engine.train"; a package's __init__.py -> the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """Modules of ftcli that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in whole}
    return {name for name in names if name.split(".")[0] == "ftcli"}


def entries_of(folder: str, edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Which entry of a folder, file or subfolder, imports which other entries of it."""
    depth = folder.count(".") + 2
    graph: dict[str, set[str]] = {}
    for module, imported in edges.items():
        if module.startswith(f"{folder}."):
            entry = ".".join(module.split(".")[:depth])
            others = {".".join(name.split(".")[:depth]) for name in imported if name.startswith(f"{folder}.")}
            graph.setdefault(entry, set()).update(others - {entry})
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Entries that import each other in a circle; empty where there is none."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


FOLDERS = sorted({name.rpartition(".")[0] for name in MODULES if "." in name})


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_circle_of_imports(folder: str) -> None:
    """Imports go down only: at every level of the tree the files and folders can be put in an order."""
    edges = {name: imports(path) for name, path in MODULES.items()}
    assert circle_in(entries_of(folder, edges)) == []


def test_a_circle_is_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from ftcli.run import train\n    return train\n")
    assert imports(bad) == {"ftcli.run"}
    edges = {name: imports(path) for name, path in MODULES.items()}
    edges["ftcli.model.head"] = imports(bad)
    assert {"ftcli.model", "ftcli.run"} <= set(circle_in(entries_of("ftcli", edges)))
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})


def test_the_registry_names_what_there_is() -> None:
    for command, row in COMMANDS.items():
        for name in (row.options, row.function, row.method, row.tables, row.measure):
            assert not name or import_named(name), f"{command}: {name}"


def test_no_module_hides_a_function_of_the_python_interface() -> None:
    """Every module is imported; each function is then still the function."""
    code = (
        "import ftcli, pkgutil, importlib, json\n"
        "for module in pkgutil.walk_packages(ftcli.__path__, 'ftcli.'):\n"
        "    if module.name != 'ftcli.__main__': importlib.import_module(module.name)\n"
        "print([name for name in ftcli.__all__ if name[0] != '_' and not callable(getattr(ftcli, name))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_folders_are_small() -> None:
    counts = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert {str(folder): n for folder, n in counts.items() if n > FLAT} == {}


def test_files_are_short() -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: n for path, n in lengths.items() if n > LINES} == {}


PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}  # whose name is not that of what is imported
OPTIONAL = {"matplotlib", "mlflow", "wandb", "ray", "submitit", "peft"}  # of an extra, or of who uses it


def undeclared(paths: list[Path], dependencies: list[str]) -> set[str]:
    """Packages that files import, inside functions too, and that are no dependencies with a lower bound."""
    declared = {one.partition(">=")[0] for one in dependencies if ">=" in one}
    found = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        found |= {name.partition(".")[0] for name in names}
    outside = found - set(sys.stdlib_module_names) - {"ftcli"} - OPTIONAL
    return {PACKAGES.get(name, name) for name in outside} - declared


def test_what_is_imported_is_declared(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert undeclared(FILES, project["dependencies"]) == set()
    bad = tmp_path / "bad.py"
    bad.write_text("import os, yaml\nfrom pandas.api import types\ndef f():\n    import torch.nn\n")
    assert undeclared([bad], ["torch>=2", "pandas"]) == {"yaml", "pandas"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, ftcli.cli.main\n"
        "heavy = {'torch', 'timm', 'datasets', 'torchvision', 'numpy', 'scipy', 'sklearn', 'pyarrow', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
