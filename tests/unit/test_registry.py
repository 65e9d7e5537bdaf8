"""One folder and one row make a measure: the program, the help, Python, the schema and the pages know it from there."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftcli.commands import COMMANDS, Command, python_names
from tests.helpers.program import SMALL, Work, inside, work

FOLDER = {
    "__init__.py": "",
    "options.py": '''
from dataclasses import dataclass
from typing import Annotated
from ftcli.config.declare import MEASURE, option
from ftcli.config.measuring import Measuring

@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Weightgap(Measuring):
    """Options of `ftcli weightgap`."""

    power: Annotated[int, option("Power of each difference.", panel=MEASURE, min=1, metavar="POWER")] = 1
''',
    "types.py": """
from ftcli.records import Record

class Gap(Record):
    power: int
    sum: float

PARTS = {"weightgap": Gap}
""",
    "command.py": """
from ftcli.console.answer import Answer
from ftcli.explain.models import compared_models
from weightgap.types import Gap

def weightgap(config) -> Answer:
    with compared_models(config, labelled=False) as compared:
        pairs = zip(*(model.parameters() for model in compared.models))
        total = sum(float((b.detach().double() - a.detach().double()).abs().pow(config.power).sum()) for a, b in pairs)
        return compared.answer({"weightgap": Gap(power=config.power, sum=total)})
""",
    "tables.py": """
from ftcli.console.cells import new_table

def tables(report, width):
    table = new_table(f"Sum of differences: {report.weightgap.sum:.3f}")
    return [table]
""",
}
ROW = Command(
    "Explain", "The sum of all differences of the weights.", "weightgap.options:Weightgap",
    "weightgap.command:weightgap", parts="weightgap.types:PARTS", tables="weightgap.tables:tables",
)  # fmt: skip


METHOD = '''
from dataclasses import dataclass, replace
from ftcli.config.training import Tuning

@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Headless(Tuning):
    """Options of `ftcli headless`."""

def headless(loaded, experiment, config, log):
    from ftcli.engine.grid import search
    from ftcli.engine.plan import always
    from ftcli.methods.start import fresh_start
    from ftcli.model.blocks import blocks_of
    body, _ = blocks_of(loaded.model)
    plan = always([name for block in body for name in block.tensors])
    return search(lambda seed: fresh_start(loaded.model, experiment, seed), plan, config, experiment, log)
'''
METHOD_ROW = Command(
    "Train", "Train the body under a fresh head that stays.", "headless:Headless", "ftcli.run:train", "headless",
    method="headless:headless",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder and a file where imports find them, and a row of the registry for each: nothing else."""
    (tmp_path / "weightgap").mkdir()
    for name, text in FOLDER.items():
        (tmp_path / "weightgap" / name).write_text(text, encoding="utf-8")
    (tmp_path / "headless.py").write_text(METHOD, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "weightgap", ROW)
    monkeypatch.setitem(COMMANDS, "headless", METHOD_ROW)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("weightgap", "headless")]:
        del sys.modules[name]


def test_a_method_is_one_file_and_one_row(added: None, tiny: Work, tmp_path: Path) -> None:
    report = inside("headless", *tiny.words, "--epochs", 1, "--lr", 1e-3, "--out", tmp_path / "o", "--json").report
    assert report["command"] == "headless" and 0 < report["model"]["trainable"] < report["model"]["parameters"]
    assert "headless" in inside("report", tmp_path / "o").stdout


def test_a_measure_is_one_folder_and_one_row(added: None, tiny: Work, tmp_path: Path) -> None:
    models = [str(tiny.checkpoint), str(tiny.checkpoint)]
    words = [*models, "--id-test", tiny.train, *SMALL, "--power", 2, "--out", tmp_path / "gap"]
    done = inside("weightgap", *words, "--json")
    report: dict[str, Any] = done.report
    assert report["weightgap"] == {"power": 2, "sum": 0.0}
    assert report["command"] == "weightgap" and [model["label"] for model in report["models"]]
    shown = inside("report", tmp_path / "gap").stdout
    assert "Models" in shown and f"Sum of differences: {report['weightgap']['sum']:.3f}" in shown
    again = inside(
        "weightgap", "--config", tmp_path / "gap" / "report.json", *models, "--out", tmp_path / "o", "--json"
    )
    assert again.report["weightgap"] == report["weightgap"]
    spoiled = {**report, "weightgap": {"power": 2, "sum": "much"}}
    (tmp_path / "spoiled.json").write_text(json.dumps(spoiled), encoding="utf-8")
    refused = inside("report", tmp_path / "spoiled.json")
    assert refused.returncode == 2 and "weightgap" in refused.stderr


def test_every_list_knows_the_measure(added: None) -> None:
    assert "weightgap" in inside("--help").stdout
    assert "--power POWER" in " ".join(inside("weightgap", "--help").stdout.split())
    schema = json.loads(inside("schema").stdout)
    assert "weightgap" in schema["properties"]["command"]["enum"] and "weightgap" in schema["properties"]
    assert python_names()["weightgap"] == "weightgap"
    assert inside(COLUMNS="100", _FTCLI_COMPLETE="complete_bash", COMP_WORDS="ftcli weightg", COMP_CWORD="1").stdout
