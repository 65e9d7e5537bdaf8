"""The stubs of the Python functions: up to date, and strict about the names and types of options."""

import subprocess
import sys
from pathlib import Path

from tools.stubs import main

CALLS = """
import ftcli
report = ftcli.lpft(preset="digits", epochs=1, lr=[1e-3, 1e-2], ood={"a": "digits:photo"}, out="o")
accuracy: float = report.results.ood["photo"].accuracy
distance = ftcli.distortion("a", "b", id_test="x").distortion
claims = ftcli.theory().theory.claims
ftcli.lpft(ftcli.Lpft(preset="digits"))
"""
WRONG = ("ftcli.lpft(epochz=1)", 'ftcli.lpft(epochs="one")', 'ftcli.lpft(bn="off")', "ftcli.lptf()")


def test_the_stubs_are_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_a_type_checker_knows_every_option(tmp_path: Path) -> None:
    (tmp_path / "calls.py").write_text(CALLS, encoding="utf-8")
    (tmp_path / "wrong.py").write_text("import ftcli\n" + "\n".join(WRONG), encoding="utf-8")
    words = [sys.executable, "-m", "mypy", "--config-file", "", "--ignore-missing-imports", "calls.py", "wrong.py"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in errors if line.startswith("calls.py")] == []
    assert {int(line.split(":")[1]) for line in errors if line.startswith("wrong.py")} == {2, 3, 4, 5}, done.stdout
