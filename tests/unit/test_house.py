"""The house keeps its order: imports go down only, and what must start fast imports nothing heavy."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = [
    ("cli", "__main__", "api"),
    ("run", "look", "explain", "report", "console", "run_folder", "config"),
    ("comparison", "figures"),
    ("methods", "measures"),
    ("engine",),
    ("model", "data"),
    ("presets",),
    ("cache", "checksums"),
    ("records",),
    ("log", "errors", "seeds", "text", "files", "processes", "__init__"),
]
FLOOR = {part: height for height, floor in enumerate(reversed(FLOORS)) for part in floor}
FILES = sorted((ROOT / "ftcli").rglob("*.py"))


def part_of(module: str) -> str:
    """ "ftcli.engine.train" -> "engine"; "ftcli" itself -> "__init__"."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path) -> set[str]:
    """Modules of ftcli that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" if node.module == "ftcli" else node.module for alias in node.names]
        found |= {name for name in names if name.split(".")[0] == "ftcli"}
    return {("ftcli" if part_of(name) not in FLOOR else name) for name in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    inside = path.relative_to(ROOT / "ftcli")
    own = inside.parts[0].removesuffix(".py")
    for name in imports(path):
        assert FLOOR[part_of(name)] <= FLOOR[own], f"{inside} imports upward: {name}"


def test_every_part_has_a_floor() -> None:
    parts = {path.relative_to(ROOT / "ftcli").parts[0].removesuffix(".py") for path in FILES}
    assert parts == set(FLOOR)


def test_an_upward_import_is_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from ftcli.run import train\n    return train\n")
    assert imports(bad) == {"ftcli.run"}
    assert FLOOR["run"] > FLOOR["model"]


PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}  # whose name is not that of what is imported
OPTIONAL = {"matplotlib"}  # of an extra


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
