"""Paths of images that a SPEC describes by the other columns of a table: patches/{patient}/{x}_{y}.png."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import text_array
from ftcli.data.columns.values import check_column, plain
from ftcli.data.decoding.column import is_text
from ftcli.data.rows import Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.safe_text import quoted, shortened

ROW = "row"  # {row}, where no column has this name
PART = re.compile(r"\{\{|\}\}|\{(?P<column>[^{}]+)\}|(?P<wrong>[{}])|[^{}]+")


def is_template(image: str | None, rows: Rows) -> bool:
    """Whether image= is a template and not the name of a column."""
    return image is not None and ("{" in image or "}" in image) and image not in rows.table.column_names


def composed_paths(rows: Rows, spec: Spec) -> pa.ChunkedArray:
    """The path of every row: each {COLUMN} is the cell as text, {row} the number of the row in its file from 0 on, and
    {{ and }} are braces. A row without a value in one of the columns has no path.

    Raises:
        RequestError: there is no such column, it holds neither text nor whole numbers, or a brace has no counterpart.
    """
    template = str(spec.image)
    parts: list[pa.ChunkedArray | pa.Array | str] = []
    for match in PART.finditer(template):
        if match["wrong"]:
            raise RequestError(
                f"image={template} of {spec.text} has a {match['wrong']} without its counterpart",
                "write {COLUMN}, and a brace that belongs to a path twice: {{ or }}",
            )
        column = match["column"]
        parts.append(_cells(rows, spec, column) if column else match[0].replace("{{", "{").replace("}}", "}"))
    if all(isinstance(part, str) for part in parts):
        raise RequestError(f"image={template} of {spec.text} names no column", "write {COLUMN} for what differs")
    joined = pc.binary_join_element_wise(*parts, "", null_handling="emit_null")
    return joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])


def _cells(rows: Rows, spec: Spec, name: str) -> pa.ChunkedArray | pa.Array:
    """A column as text; what is empty has no value."""
    if name == ROW and name not in rows.table.column_names:
        if rows.unit == "file":
            raise RequestError(f"image={spec.image}: the rows of {spec.text} have no numbers", "name their columns")
        return text_array([id.rpartition(":")[2] for id in rows.ids])
    check_column(rows, spec, "image", name)
    column = plain(rows.table.column(name))
    if not (is_text(column.type) or pa.types.is_integer(column.type)):
        raise RequestError(
            f"image={spec.image}: the column {quoted(name)} of {spec.text} holds {shortened(str(column.type), 80)}",
            "name columns of text or of whole numbers in {}",
        )
    cells = column.cast(pa.string())
    return pc.if_else(pc.equal(cells, ""), None, cells)
