"""Class maps: many to one, all others, a class that is called "*"; by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from ftcli.data.classes.class_map import apply_map
from ftcli.data.classes.labels import Labels
from ftcli.errors import RequestError

CLASSES = ("bus", "cat", "dog", "van", "*", "\\*")
VALUES = np.array([0, 1, 2, 3, 4, 5, 3, 0])


def mapped(path: Path, content: object, classes: tuple[str, ...] = CLASSES) -> list[str | None]:
    """The class of each row after the map, None where it is dropped."""
    (path / "map.json").write_text(json.dumps(content), encoding="utf-8")
    values = VALUES[len(classes) > VALUES]
    found = apply_map(Labels(values, classes, named=True), str(path / "map.json"), "SET")
    assert len(set(found.classes)) == len(found.classes)
    return [None if value < 0 else found.classes[value] for value in found.values.tolist()]


def test_many_to_one_and_all_others(tmp_path: Path) -> None:
    four = CLASSES[:4]
    assert mapped(tmp_path, {"bus": "car", "van": "car"}, four) == ["car", "cat", "dog", "car", "car", "car"]
    car = [*["car", None, None, "car"], "car", "car"]
    assert mapped(tmp_path, {"bus": "car", "van": "car", "*": None}, four) == car
    other = ["other", "cat", "other", "other", "other", "other"]
    assert mapped(tmp_path, {"cat": "cat", "*": "other"}, four) == other
    assert mapped(tmp_path, {"*": "cat", "bus": None}, four) == [None, "cat", "cat", "cat", "cat", None]


def test_a_class_that_is_called_like_it_is_written_with_a_backslash(tmp_path: Path) -> None:
    star = mapped(tmp_path, {"\\*": "star", "*": None})
    assert star == [None, None, None, None, "star", None, None, None]
    both = mapped(tmp_path, {"\\*": "one", "\\\\*": "two", "*": "else"})
    assert both == ["else", "else", "else", "else", "one", "two", "else", "else"]


@pytest.mark.parametrize(
    "content", [{"*": None}, {"bus": None, "*": None}, dict.fromkeys(("bus", "cat", "dog", "van"))]
)
def test_a_map_that_leaves_nothing_is_refused(tmp_path: Path, content: dict[str, None]) -> None:
    with pytest.raises(RequestError) as caught:
        mapped(tmp_path, content, CLASSES[:4])
    assert "drops every class" in caught.value.problem and '"bus"' in caught.value.problem


def test_a_name_that_the_set_lacks_is_refused_beside_all_others(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        mapped(tmp_path, {"vans": "car", "*": None}, CLASSES[:4])
    assert 'did you mean "van"?' in caught.value.fix


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.json").write_text('{"bus": "car", "van": "car", "bus": null}')
    with pytest.raises(RequestError) as caught:
        apply_map(Labels(VALUES, CLASSES, named=True), str(tmp_path / "twice.json"), "SET")
    assert 'it names "bus" twice' in caught.value.problem
    for content in ({"bus": ""}, {"*": ""}):
        with pytest.raises(RequestError) as caught:
            mapped(tmp_path, content)
        assert "neither an object of class names" in caught.value.problem
