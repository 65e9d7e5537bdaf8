"""The types of a report against what the commands write, and against jsonschema."""

import copy
import json
import pickle
import random
from typing import Any

import jsonschema
import pytest

from ftcli.measures.types import FiguresBySet
from ftcli.records import Record
from ftcli.report.schema import report_from, report_schema
from ftcli.report.types import Report
from tests.helpers.mutations import REPORTS, reported
from tests.helpers.program import PAINT, read
from tests.helpers.reports import report_with

OTHERS: list[Any] = [None, "x", -1, 2.5, 10**30, [], {}, True, "removed"]
DRAWS = 60  # changed values of each report


def same(value: Any, plain: Any) -> None:
    """Attributes, keys and JSON say one thing, to the order of the keys."""
    if isinstance(value, Record):
        assert list(value) == list(plain)
        for key, inner in value.items():
            attribute = key.replace("-", "_") if key != "lambda" else "weight"
            assert getattr(value, attribute, inner) is inner is value[key] is value.get(key)
            same(inner, plain[key])
    elif isinstance(value, dict):
        assert list(value) == list(plain)
        for key, inner in value.items():
            same(inner, plain[key])
    elif isinstance(value, list | tuple):
        assert len(value) == len(plain)
        for inner, other in zip(value, plain, strict=True):
            same(inner, other)
    else:
        assert value == plain and (value is None) == (plain is None)


@pytest.mark.parametrize("command", REPORTS)
def test_what_a_command_writes_comes_back(command: str) -> None:
    content = read(reported(command))
    report = report_from(content)
    same(report, content)
    assert json.dumps(report.to_dict()) == json.dumps(content) and report == content
    assert copy.deepcopy(report) == pickle.loads(pickle.dumps(report)) == report
    jsonschema.Draft202012Validator(report_schema()).validate(content)


def places(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a report is, but for what is foreign."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = [above] if above else []
    for key, value in inside:
        found += [] if key in ("config", "input") else places(value, (*above, key))
    return found


@pytest.mark.parametrize("command", REPORTS)
def test_changed_values_are_judged_as_the_schema_judges_them(command: str) -> None:
    honest, draw = read(reported(command)), random.Random(command)
    oracle, found, refused = jsonschema.Draft202012Validator(report_schema()), places(honest), 0
    for _ in range(DRAWS):
        place, value = draw.choice(found), draw.choice(OTHERS)
        content = copy.deepcopy(honest)
        above = content
        for step in place[:-1]:
            above = above[step]
        if value == "removed":
            del above[place[-1]]
        else:
            above[place[-1]] = value
        problem = ""
        try:
            report_from(content)
        except ValueError as error:
            problem = str(error)
        assert (problem == "") == oracle.is_valid(content), (place, value, problem)
        refused += problem != ""
        where = "/".join(map(str, place[:-1]))
        assert not problem or problem.startswith((where, "the whole")), (place, value, problem)
    assert refused > DRAWS / 5


def test_the_schema_says_what_each_command_needs() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema).is_valid
    assert (schema["$id"], schema["title"]) == ("ftcli/report/1", "Report of ftcli")
    theory, probe = read(reported("theory")), read(reported("probe"))
    assert check(theory) and check(probe) and "model" not in theory
    for content, key in ((theory, "theory"), (probe, "model"), (probe, "results"), (probe, "timing")):
        less = {name: value for name, value in content.items() if name != key}
        assert not check(less)
        with pytest.raises(ValueError, match=f"the whole: '{key}' is a required property"):
            report_from(less)
    assert check({**probe, "later": 1}) and "later" not in report_from({**probe, "later": 1})


def test_a_notebook_shows_accuracies_and_escapes_names() -> None:
    report = report_from(read(reported("probe")))
    shown = report._repr_html_()
    accuracy = report.results.ood["far"].accuracy
    assert f"<td>far</td><td>{100 * accuracy:.1f}</td>" in shown and "<td>ood_mean</td>" in shown
    hostile = f"<script>{PAINT}"
    results = FiguresBySet(ood={hostile: report.results.ood["far"]}, ood_mean=None)
    warnings = [{"code": "x", "text": hostile}]
    shown = report_with("evaluate", results=results, warnings=warnings)._repr_html_()
    assert "<script" not in shown and "\x1b" not in shown and shown.count("&lt;script&gt;") == 2
    assert isinstance(report, Report) and "<td>" not in report_from(read(reported("theory")))._repr_html_()
