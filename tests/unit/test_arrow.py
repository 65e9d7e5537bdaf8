"""Conversions between NumPy, Python and Arrow against those of pyarrow itself."""

import numpy as np
import pyarrow as pa
import pytest

from ftcli import arrow


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64", "uint64", "float32", "float64"])
def test_numbers_there_and_back(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, (5, 4)).astype(kind)
    for given in (values[:, 1], values[0], values[:0, 0]):  # with gaps, contiguous, empty
        column = arrow.number_array(given)
        assert column.equals(pa.array(given)) and column.type == pa.array(given).type
        back = arrow.as_numpy(column)
        assert back.dtype == given.dtype and np.array_equal(back, given)
        joined = pa.chunked_array([column, column.slice(1), column[:0]])
        assert np.array_equal(arrow.as_numpy(joined), joined.to_numpy())


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "bcd"], ["é", "e\u0301", "数", "\0", "🙂"], ["x"] * 1000])
def test_texts(texts: list[str]) -> None:
    column = arrow.text_array(texts)
    column.validate(full=True)
    assert column.equals(pa.array(texts, pa.string())) and column.to_pylist() == texts
    assert arrow.text_array(np.array(texts, dtype=object)).equals(column)


def test_what_is_no_text() -> None:
    for convert in (arrow.text_array, lambda texts: pa.array(texts, pa.string())):
        with pytest.raises(UnicodeEncodeError):
            convert(["a", "\udcff"])


def test_longer_texts_than_one_array_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "MAX_TEXT_BYTES", 10)
    assert arrow.text_array(["abcdef", "ghijkl"]).to_pylist() == ["abcdef", "ghijkl"]


def test_one_text_many_times() -> None:
    assert arrow.repeated("id_val", 3).to_pylist() == ["id_val"] * 3 and len(arrow.repeated("a", 0)) == 0


@pytest.mark.parametrize("values", [[True, False, True, True, False] * 7, []])
def test_truth_values(values: list[bool]) -> None:
    column = pa.chunked_array([pa.array(values, pa.bool_()), pa.array(values, pa.bool_())[2:]])
    found = arrow.as_numpy(column)
    assert found.dtype == bool and found.tolist() == column.to_pylist()


@pytest.mark.parametrize("column", [pa.array([1, None]), pa.array(["a"]), pa.array([[1]]), pa.array([b"a"])])
def test_what_is_no_number(column: pa.Array) -> None:
    with pytest.raises(ValueError, match=r"missing|no number"):
        arrow.as_numpy(column)
