"""The selection among rows that differ by the values of --set, by hand."""

import math

import pytest

from ftcli.studies.selection.among_values import Rival, Rule, picked_rows, without_values

N = 100


def picks(accuracies: dict[str, float], rule: Rule) -> tuple[str, str]:
    rivals = [Rival(f"lpft {words}", "lpft", accuracy, 1.0 - accuracy, N) for words, accuracy in accuracies.items()]
    (found,) = picked_rows(rivals, rule).values()
    return found[0].removeprefix("lpft "), found[1].removeprefix("lpft ")


def test_the_strongest_within_one_standard_error() -> None:
    """Of 0.90 on 100 images the standard error is 0.03, so 0.87 is within it, and 0.86 is not."""
    assert math.sqrt(0.9 * 0.1 / N) == pytest.approx(0.03)
    accuracies = {"--ldifs=0.1": 0.9, "--ldifs=1": 0.88, "--ldifs=10": 0.87, "--ldifs=100": 0.86}
    assert picks(accuracies, "se") == ("--ldifs=10", "--ldifs=0.1")
    assert picks(accuracies, "best") == ("--ldifs=0.1", "--ldifs=0.1")


def test_values_are_numbers_not_words() -> None:
    assert picks({"--l2-sp=1e-3": 0.9, "--l2-sp=0.01": 0.89, "--l2-sp=9e-4": 0.9}, "se")[0] == "--l2-sp=0.01"


def test_projections_of_one_rule_are_compared() -> None:
    """Without a projection is the weakest of any; spd and ftp have strengths that do not compare."""
    accuracies = {"--project=none": 0.9, "--project=spd:0.5": 0.89, "--project=spd": 0.88}
    assert picks(accuracies, "se") == ("--project=spd", "--project=none")
    assert picks(accuracies | {"--project=ftp:1": 0.875}, "se")[0] == "--project=spd"
    assert picks(accuracies | {"--project=ftp:1": 0.885}, "se")[0] == "--project=ftp:1"
    usual = {"--project=spd:0.5": 0.91, "--project=spd:2": 0.9, "--project=ftp:1": 0.9, "--project=none": 0.9}
    assert picks(usual, "se")[0] == "--project=spd:2"


def test_another_option_is_as_the_usual_pick_has_it() -> None:
    accuracies = {"--ldifs=1 --batch-size=8": 0.9, "--ldifs=10 --batch-size=8": 0.8, "--ldifs=10 --batch-size=16": 0.9}
    assert picks(accuracies | {"--ldifs=5 --batch-size=8": 0.89}, "se")[0] == "--ldifs=5 --batch-size=8"
    assert picks({"--batch-size=8": 0.9, "--batch-size=16": 0.9}, "se")[0] == "--batch-size=8"


def test_rows_with_other_words_are_no_rivals() -> None:
    rivals = [
        Rival("lpft --ma --ldifs=1", "lpft", 0.9, 0.1, N),
        Rival("lpft --ldifs=10", "lpft", 0.9, 0.1, N),
        Rival("finetune --ldifs=10", "finetune", 0.9, 0.1, N),
    ]
    assert without_values("lpft --ma --ldifs=1") == "lpft --ma"
    assert {found[0] for found in picked_rows(rivals, "se").values()} == {one.method for one in rivals}
