"""What the `datasets` library writes beside a table: which columns hold images, and which classes, by what names."""

from typing import Any

import pyarrow as pa

from ftcli.data.classes.class_names import check_names
from ftcli.data.rows import ClassFeature, Features, ImageFeature
from ftcli.files import parse_json
from ftcli.safe_text import quoted


def features_of(schema: pa.Schema, where: str) -> Features:
    """The class and image columns by the metadata of an Arrow schema; nothing where there is none.

    Read here and not by `datasets.Features`, which gives up on the whole where one other column is of a type unknown
    to it, loses the class names where a label is not int64, and makes whatever object the metadata name.

    Raises:
        RequestError: the class names are not names; `where` is the table, in words.
    """
    try:
        described = parse_json(schema.metadata[b"huggingface"])["info"]["features"]
    except (TypeError, KeyError, ValueError):
        return {}  # no such metadata
    return features_in(described, schema, where)


def features_in(described: Any, schema: pa.Schema, where: str) -> Features:
    """The class and image columns by a description as `datasets` writes it, an object of columns."""
    features: Features = {}
    for name, feature in described.items() if isinstance(described, dict) else ():
        if not isinstance(feature, dict) or name not in schema.names:
            continue
        if feature.get("_type") == "Image":
            features[name] = ImageFeature()
        elif feature.get("_type") == "ClassLabel" and feature.get("names") is not None:
            check_names(feature["names"], f"the class names of the column {quoted(name)} of {where}")
            features[name] = ClassFeature(tuple(feature["names"]))
    return features
