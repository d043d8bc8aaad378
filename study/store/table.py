"""The points table, one row per point: from result.json to Arrow to a pandas frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from study.records import POINTS, Column
from study.store.validate import ALLOWED

NUMBER: Mapping[str, Callable[[Any], int | float]] = {"int": int, "float": float}
KINDS = {column.name: column.kind for column in POINTS}
ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
PANDAS = {"str": "string", "int": "Int64", "float": "float64", "bool": "boolean"}
ROWS = pa.schema(
    [*((column.name, ARROW[column.kind]) for column in POINTS), ("labels", pa.string())]
)


def arrow_table(columns: Mapping[str, Any], schema: tuple[Column, ...]) -> pa.Table:
    """The columns of `schema` that are given, each with its kind; other columns are left out."""
    fields = [column for column in schema if column.name in columns]
    return pa.table(
        {
            column.name: pa.array(columns[column.name], type=ARROW[column.kind], from_pandas=False)
            for column in fields
        }
    )


def rows_of(results: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table with the schema ROWS: one row per result.json."""
    rows = [result["row"] for result in results]
    columns = {}
    for column in POINTS:
        values = [row.get(column.name) for row in rows]
        if column.kind in ("int", "float"):  # JSON may hold 3 or 3.0 for the same number
            values = [
                None if value is None else NUMBER[column.kind](value)
                for value in map(from_json, values)
            ]
        columns[column.name] = pa.array(values, ARROW[column.kind])
    columns["labels"] = pa.array(
        [
            json.dumps(
                {key: value for key, value in result["labels"].items() if key not in columns}
            )
            for result in results
        ],
        pa.string(),
    )
    return pa.table(columns, ROWS)


def wrong_rows(rows: pa.Table) -> str | None:
    """What is wrong with the columns of a results.parquet."""
    for field in rows.schema:
        if field.type != ROWS.field(field.name).type:
            return f"{field.name} is of type {field.type}"
    for name, allowed in ALLOWED.items():
        if name in rows.column_names and (
            other := set(pc.unique(rows[name]).to_pylist()) - {None, *allowed}
        ):
            return f"{name} {str(min(other))[:40]!r}"
    return None


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """A table with the schema ROWS as a frame: records.POINTS, then one column per other factor."""
    columns = {column.name: _column(rows[column.name], PANDAS[column.kind]) for column in POINTS}
    texts = rows["labels"].to_pylist()
    labels = {text: json.loads(text) for text in dict.fromkeys(texts)}
    for key in dict.fromkeys(key for each in labels.values() for key in each):
        columns[key] = pd.array([labels[text].get(key) for text in texts])
    return pd.DataFrame(columns)


def _column(values: pa.ChunkedArray, kind: str) -> Any:
    return (
        np.array(values.to_numpy())
        if kind == "float64"
        else pd.api.types.pandas_dtype(kind).__from_arrow__(values)
    )


def to_json(value: Any) -> Any:
    """A value for result.json, as text if it is not finite: JSON has no NaN and no infinity."""
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def from_json(value: Any) -> Any:
    return float(value) if value in ("nan", "inf", "-inf") else value


def known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of result.json with its non-finite numbers as numbers again."""
    return {
        name: value if KINDS.get(name) == "str" else from_json(value) for name, value in row.items()
    }
