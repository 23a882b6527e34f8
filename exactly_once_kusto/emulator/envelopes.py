"""Result tables as the two JSON forms of Kusto's REST interface.

Sources: https://learn.microsoft.com/kusto/api/rest/response (v1, management commands) and
https://learn.microsoft.com/kusto/api/rest/response-v2 (v2, queries).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from .types import NET_NAMES, Result, columns, datetime_text, encoder

_QUERY_PROPERTIES = columns("TableId:int, Key:string, Value:dynamic")
_COMPLETION = columns(
    "Timestamp:datetime, ClientRequestId:string, ActivityId:guid, SubActivityId:guid, "
    "ParentActivityId:guid, Level:int, LevelName:string, StatusCode:int, StatusCodeName:string, "
    "EventType:int, EventTypeName:string, Payload:string"
)


def v1(result: Result) -> dict[str, Any]:
    """The envelope of a management command's result: one table."""
    described = [
        {
            "ColumnName": column.name,
            "DataType": NET_NAMES[column.type].rpartition(".")[2],
            "ColumnType": column.type,
        }
        for column in result.columns
    ]
    return {"Tables": [{"TableName": "Table_0", "Columns": described, "Rows": _rows(result)}]}


def v2(
    result: Result, now: dt.datetime, client_request_id: str, activity_id: str
) -> list[dict[str, Any]]:
    """The frames of a query's result, not progressive: header, three tables, completion."""
    ids = (client_request_id, activity_id, activity_id, activity_id)
    payload = json.dumps({"Count": 1, "Text": "Query completed successfully"})
    info = (datetime_text(now), *ids, 4, "Info", 0, "S_OK (0)", 4, "QueryInfo", payload)
    return [
        {
            "FrameType": "DataSetHeader",
            "IsProgressive": False,
            "Version": "v2.0",
            "IsFragmented": False,
            "ErrorReportingPlacement": "InData",
        },
        _frame(
            0,
            "QueryProperties",
            "@ExtendedProperties",
            Result(_QUERY_PROPERTIES, [(1, "Visualization", '{"Visualization":null}')]),
        ),
        _frame(1, "PrimaryResult", "PrimaryResult", result),
        _frame(
            2,
            "QueryCompletionInformation",
            "QueryCompletionInformation",
            Result(_COMPLETION, [info]),
        ),
        {"FrameType": "DataSetCompletion", "HasErrors": False, "Cancelled": False},
    ]


def _frame(number: int, kind: str, name: str, result: Result) -> dict[str, Any]:
    return {
        "FrameType": "DataTable",
        "TableId": number,
        "TableKind": kind,
        "TableName": name,
        "Columns": [
            {"ColumnName": column.name, "ColumnType": column.type} for column in result.columns
        ],
        "Rows": _rows(result),
    }


def _rows(result: Result) -> list[list[Any]]:
    encoders = [encoder(column.type) for column in result.columns]
    return [[e(v) for e, v in zip(encoders, row, strict=True)] for row in result.rows]
