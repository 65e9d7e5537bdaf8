"""Typed JSON objects: attributes and keys are one, absent is not null, what does not fit is named with its place."""

import copy
import pickle
from typing import Literal

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from ftcli.records import Count, Fraction, Interval, Record, decoded, problem_with


class Point(Record):
    weight: Fraction = msgspec.field(name="lambda")
    kind: Literal["a", "b"] | UnsetType = UNSET


class BySet(Record, kw_only=True):
    """Keyed by names from data, beside one fixed key."""

    sets: dict[str, dict[str, Point]] = msgspec.field(name="*")
    ratio: float | UnsetType | None = UNSET


class Whole(Record, kw_only=True):
    first: str | UnsetType = UNSET
    n: Count
    bounds: Interval | None
    points: list[Point]
    mixed: dict[str, BySet] | UnsetType = UNSET


JSON = {
    "n": 3, "bounds": None, "points": [{"lambda": 0.5}, {"lambda": 1.0, "kind": "b"}],
    "mixed": {"x": {"far": {"stem": {"lambda": 0.0}}, "near": {}, "ratio": None}},
}  # fmt: skip


def test_json_comes_back_in_the_order_of_the_fields() -> None:
    whole = decoded(JSON, Whole)
    assert whole.to_dict() == JSON and list(whole.to_dict()) == list(JSON)
    assert list(whole.to_dict()["mixed"]["x"]) == ["far", "near", "ratio"]
    assert decoded(whole.to_dict(), Whole) == whole == JSON
    assert copy.deepcopy(whole) == pickle.loads(pickle.dumps(whole)) == whole


def test_attributes_are_keys() -> None:
    whole = decoded(JSON, Whole)
    assert whole.points[1].weight == whole["points"][1]["lambda"] == 1.0
    assert list(whole) == whole.keys() == ["n", "bounds", "points", "mixed"] and len(whole) == 4
    assert dict(whole.items()) == {**whole}
    assert isinstance(whole.mixed, dict)
    mixed = whole.mixed["x"]
    assert mixed["far"] is mixed.sets["far"] and mixed.sets["far"]["stem"] == {"lambda": 0.0}
    assert "far" in mixed and "*" not in mixed and mixed.get("*") is None and mixed.get("elsewhere", 1) == 1


def test_what_is_absent_is_no_key_and_null_is_one() -> None:
    whole = decoded({"n": 0, "bounds": None, "points": []}, Whole)
    assert whole.first is UNSET and "first" not in whole and whole.get("first", "x") == "x"
    assert "bounds" in whole and whole["bounds"] is None and whole.get("bounds", "x") is None
    with pytest.raises(KeyError, match="first"):
        whole["first"]
    with pytest.raises(KeyError, match="elsewhere"):
        whole["elsewhere"]


def test_keys_that_no_type_knows_are_left_out() -> None:
    whole = decoded({**JSON, "more": [1], "points": [{"lambda": 0.5, "more": {}}]}, Whole)
    assert "more" not in whole and whole["points"] == [{"lambda": 0.5}]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"n": -1}, "n: Expected int >= 0, got -1"),
        ({"n": True}, "n: Expected int, got bool"),
        ({"n": "3"}, "n: Expected int, got str"),
        ({"points": [{"lambda": 0.5}, {"lambda": 1.5}]}, "points/1/lambda: Expected float <= 1.0, got 1.5"),
        ({"points": [{}]}, "points/0: 'lambda' is a required property"),
        ({"points": [{"lambda": 1.0, "kind": "c"}]}, "points/0/kind: Invalid enum value 'c'"),
        ({"bounds": [1.0]}, "bounds: Expected array of length >= 2, got [1.0]"),
        ({"mixed": {"x": {"far": {"stem": {"lambda": 0.0}, "last": 3}}}}, "mixed/x/far/last: Expected object, got int"),
        ({"mixed": {f"set {i}": {"far": {"stem": {"lambda": i}}} for i in range(99)}}, "mixed/set 2/far/stem/lambda"),
        ({"mixed": {"x": {"ratio": {}}}}, "mixed/x/ratio: Expected float | null, got object"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], problem: str) -> None:
    assert problem in problem_with({**JSON, **change}, Whole)


def test_what_is_no_object_or_lacks_a_key() -> None:
    assert problem_with([], Whole) == "the whole: Expected object, got array"
    assert problem_with({"n": 1, "points": []}, Whole) == "the whole: 'bounds' is a required property"
    assert problem_with(JSON, Whole) == ""
