"""One file and one row make a method, one folder and one row a measure: the documented examples, as printed."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftcli import commands, explain, methods
from ftcli.commands import COMMANDS, python_names
from tests.helpers.program import Work, inside, work

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
BLOCK = re.compile(r"^```(?:python)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^(?:## 1\. The file `ftcli/methods/|`)(\w+\.py)`", re.MULTILINE)


def files_of(page: str) -> dict[str, str]:
    """The files of a page, by name: each code block belongs to the last file that is named before it."""
    text = (HOWTO / page).read_text(encoding="utf-8").partition("## 2.")[0]
    return {FILE.findall(text[: block.start()])[-1]: block[1] for block in BLOCK.finditer(text)}


def row_of(page: str) -> dict[str, commands.Command]:
    """The row of a page, under its command's name."""
    text = (HOWTO / page).read_text(encoding="utf-8").partition("## 2.")[2]
    return eval("{" + BLOCK.findall(text)[0] + "}", vars(commands))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file of the method and the folder of the measure where imports find them, and their rows: nothing else."""
    (tmp_path / "explain" / "confidence").mkdir(parents=True)
    (tmp_path / "methods").mkdir()
    for name, text in files_of("add-a-measure.md").items():
        (tmp_path / "explain" / "confidence" / name).write_text(text, encoding="utf-8")
    for name, text in files_of("add-a-method.md").items():
        (tmp_path / "methods" / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(explain, "__path__", [*explain.__path__, str(tmp_path / "explain")])
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "methods")])
    for name, row in (row_of("add-a-method.md") | row_of("add-a-measure.md")).items():
        monkeypatch.setitem(COMMANDS, name, row)
    yield
    for name in [name for name in sys.modules if "confidence" in name or name == "ftcli.methods.bitfit"]:
        del sys.modules[name]


def test_the_pages_have_one_file_and_one_folder() -> None:
    assert list(files_of("add-a-method.md")) == ["bitfit.py"]
    assert sorted(files_of("add-a-measure.md")) == ["command.py", "measure.py", "options.py", "tables.py", "types.py"]


def test_a_method_is_one_file_and_one_row(added: None, tiny: Work, tmp_path: Path) -> None:
    words = [*tiny.words, "--epochs", 1, "--lr", 1e-3, "--bias-rate", 0.5, "--out", tmp_path / "o", "--json"]
    report = inside("bitfit", *words).report
    assert report["command"] == "bitfit" and 0 < report["model"]["trainable"] < report["model"]["parameters"]
    assert "BitFit" in inside("report", tmp_path / "o").stdout


def test_a_measure_is_one_folder_and_one_row(added: None, tiny: Work, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    assert inside("finetune", *tiny.words, "--epochs", 1, "--lr", 1e-3, "--out", trained).returncode == 0
    words = [trained, trained, "--id-test", tiny.train, "--image-size", 32, "--above", 0.0, "--out", tmp_path / "o"]
    report = inside("confidence", *words, "--json").report
    for sets in report["confidence"].values():
        assert 1 / 3 < sets["id_test"]["mean"] <= 1 and sets["id_test"]["certain"] == 1
    shown = inside("report", tmp_path / "o").stdout
    assert "Models" in shown and "Confidence in per cent" in shown
    next(iter(report["confidence"].values()))["id_test"]["mean"] = 2
    (tmp_path / "spoiled.json").write_text(json.dumps(report), encoding="utf-8")
    refused = inside("report", tmp_path / "spoiled.json")
    assert refused.returncode == 2 and "confidence/" in refused.stderr and "id_test/mean" in refused.stderr


def test_every_list_knows_both(added: None) -> None:
    shown = inside("--help").stdout
    assert "confidence" in shown and "bitfit" in shown
    assert "--above" in inside("confidence", "--help").stdout
    schema = json.loads(inside("schema").stdout)
    assert {"confidence", "bitfit"} <= set(schema["properties"]["command"]["enum"]) and "confidence" in schema[
        "properties"
    ]
    assert {"confidence", "bitfit"} <= set(python_names())
    completed = inside(_FTCLI_COMPLETE="complete_bash", COMP_WORDS="ftcli confid", COMP_CWORD="1").stdout
    assert completed.split() == ["confidence"]
