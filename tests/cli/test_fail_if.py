"""`compare --fail-if`: which conditions hold, the exit code, and what cannot be checked is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftcli.config.fail_if import parse_conditions
from ftcli.errors import RequestError
from tests.cli.test_compare import N, edit_report, write_report
from tests.helpers.program import inside


def right(**counts: int) -> dict[str, np.ndarray]:
    """By set, that the first so many of N examples are right; one seed."""
    return {name: np.arange(N)[None] < count for name, count in counts.items()}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Of 40 examples: old has 36, 30 and 20 right on id_test, art and sketch, new 37, 32 and 16."""
    return [
        write_report(tmp_path / "old", "probe", right(id_test=36, art=30, sketch=20)),
        write_report(tmp_path / "new", "lpft", right(id_test=37, art=32, sketch=16)),
    ]


def judged(files: list[Path], *conditions: str, **options: Any) -> int:
    """The exit code of `compare` with these conditions."""
    words = [word for condition in conditions for word in ("--fail-if", condition)]
    return inside("compare", *files, *words, **options).returncode


@pytest.mark.parametrize(
    ("condition", "holds"),
    [  # new - old: id_test +2.5, art +5, sketch -10, ood_mean -2.5; new: 92.5, 80, 40, 60
        ("ood_mean<-2", True), ("ood_mean<-2.5", False), ("ood_mean<=-2.5", True), ("ood_mean < -3", False),
        ("id_test>2", True), ("id_test>2.5", False), ("id_test>=+2.5", True), ("art<-1", False),
        ("sketch.difference<-9.9", True), ("sketch.difference<-10", False),
        ("id_test.accuracy<92.6", True), ("id_test.accuracy<92.5", False), ("id_test.accuracy<=92.5", True),
        ("sketch.accuracy<45", True), ("art.accuracy>75", True), ("ood_mean.accuracy<60", False),
    ],
)  # fmt: skip
def test_a_condition_decides_the_exit_code(two: list[Path], condition: str, holds: bool) -> None:
    assert judged(two, condition) == (3 if holds else 0)


def test_differences_at_a_bound_do_not_depend_on_rounding(tmp_path: Path) -> None:
    """The difference is the bound exactly, and never less than it, whatever floating point makes of it."""
    for number in range(4, 40):
        files = [
            write_report(tmp_path / str(number) / name, name, right(art=count))
            for name, count in (("probe", number), ("lpft", number - 4))
        ]
        assert judged(files, "art<-10") == 0 and judged(files, "art<=-10") == 3


def test_the_line_says_which_condition_which_report_and_the_value(two: list[Path]) -> None:
    done = inside("compare", *two, "--fail-if", "sketch<-2", "--fail-if", "art<0", "--fail-if", "art.accuracy<85")
    assert done.stderr.splitlines() == [
        "--fail-if sketch<-2 holds: lpft - probe is -10.0000 points",
        "--fail-if art.accuracy<85 holds: lpft has 80.0000 %",
    ]
    assert "--fail-if art<0 does not hold: lpft - probe is +5.0000 points" in done.stdout
    assert "lpft - probe" in done.stdout and "probe - lpft" not in done.stdout  # the differences judged are shown


def test_json_is_whole_and_alone(two: list[Path]) -> None:
    done = inside("compare", *two, "--json", "--fail-if", "ood_mean<-2", "--fail-if", "art.accuracy<80")
    assert done.returncode == 3
    assert json.loads(done.stdout)["conditions"] == [
        {"condition": "ood_mean<-2", "name": "lpft", "minus": "probe", "value": -2.5, "holds": True},
        {"condition": "art.accuracy<80", "name": "lpft", "minus": None, "value": 80.0, "holds": False},
    ]
    assert inside("compare", *two, "--json").report["conditions"] == []


def test_the_process_ends_with_3(two: list[Path], ftcli: Any) -> None:
    done = ftcli("compare", *two, "--fail-if", "ood_mean<-2", "--quiet")
    assert done.returncode == 3 and "ood_mean<-2 holds" in done.stderr and "Traceback" not in done.stderr
    assert ftcli("compare", *two, "--fail-if", "ood_mean<-9").returncode == 0


def test_every_report_but_the_reference_is_checked(two: list[Path], tmp_path: Path) -> None:
    third = write_report(tmp_path / "third", "finetune", right(id_test=30, art=30, sketch=20))
    assert judged([*two, third], "id_test<-14") == 3 and judged([*two], "id_test<-14") == 0
    words = ["--fail-if", "sketch<-2", "--against", "lpft"]
    assert inside("compare", *two, third, *words).returncode == 0  # against lpft, both others are better there
    assert judged([*two, third], "id_test.accuracy<80") == 3
    assert judged([third, *two], "id_test.accuracy<80") == 0  # the reference's own accuracy is not judged
    assert judged([third], "id_test.accuracy<80") == 3


def test_a_single_report_has_no_difference(two: list[Path]) -> None:
    done = inside("compare", two[0], "--fail-if", "art<0")
    assert done.returncode == 2 and "only one report" in done.stderr and done.stdout == ""


def test_a_missing_figure_is_refused_and_does_not_pass(two: list[Path], tmp_path: Path) -> None:
    fewer = write_report(tmp_path / "fewer", "finetune", right(id_test=30, art=30))
    for files in ([fewer, two[1]], [two[1], fewer]):
        for condition in ("sketch<0", "sketch>0"):
            done = inside("compare", *files, "--fail-if", condition)
            assert done.returncode == 2 and 'finetune has no accuracy on "sketch"' in done.stderr
    assert judged(two, "art<0 and sketch<0") == 2
    done = inside("compare", *two, "--fail-if", "ood_maen<-2")
    assert done.returncode == 2 and 'did you mean "ood_mean"?' in done.stderr
    done = inside("compare", fewer, two[1], "--fail-if", "ood_mean<-2")
    assert done.returncode == 2 and "different OOD sets" in done.stderr


def test_accuracies_on_different_examples_or_classes_do_not_compare(two: list[Path], tmp_path: Path) -> None:
    other = write_report(
        tmp_path / "other", "finetune", right(id_test=37, art=32, sketch=16), fingerprints={"art": "others"}
    )
    for condition in ("art<-2", "ood_mean<-2"):
        done = inside("compare", two[0], other, "--fail-if", condition)
        assert done.returncode == 2 and 'different examples of "art"' in done.stderr
    assert judged([two[0], other], "sketch<-2") == 3 and judged([two[0], other], "art.accuracy<80.5") == 3
    edit_report(two[1], lambda report: report["data"].update(classes=["cat", "cow", "dog"]))
    done = inside("compare", *two, "--fail-if", "art<-2")
    assert done.returncode == 2 and 'different classes of "art"' in done.stderr


@pytest.mark.parametrize(
    "condition",
    [
        "", "ood_mean", "ood_mean<", "<-2", "ood_mean=-2", "ood_mean==2", "ood_mean!=2", "ood_mean<two", "ood_mean<nan",
        "ood_mean<1e3", "ood_mean<-2%", "ood_mean<--2", "ood_mean<.5", "ood_mean<5.",
        "art<\N{ARABIC-INDIC DIGIT TWO}", "art<9999999999",
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_before_any_report_is_read(condition: str) -> None:
    done = inside("compare", "missing", f"--fail-if={condition}")
    assert done.returncode == 2 and "is no condition" in done.stderr
    assert "'ood_mean<-2', 'id_test.accuracy<90'" in done.stderr


@pytest.mark.parametrize(
    "condition", ["id_test.accuracy<0.9", "id_test.accuracy<101", "id_test.accuracy<-1", "art<200"]
)
def test_a_bound_that_nothing_could_meet(condition: str) -> None:
    done = inside("compare", "missing", f"--fail-if={condition}")
    assert done.returncode == 2 and "missing" not in done.stderr


def test_names_that_look_like_conditions() -> None:
    found = parse_conditions(["a<b<-2", "x.accuracy.difference>1", "x.accuracy<90", " far off <= 3 ", "a<b<-2"])
    assert [(one.set, one.absolute, one.sign, one.bound) for one in found] == [
        ("a<b", False, "<", -2.0), ("x.accuracy", False, ">", 1.0), ("x", True, "<", 90.0),
        ("far off", False, "<=", 3.0),
    ]  # fmt: skip
    with pytest.raises(RequestError):
        parse_conditions(["fine<1", "not"])
