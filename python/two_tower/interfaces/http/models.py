"""The arguments and answers of the calls, as OpenAPI and pydantic know them."""

from __future__ import annotations

import math
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)

from two_tower.core.train_config import DIM
from two_tower.interfaces.http.functions import Argument, Function
from two_tower.serving.arguments import MAX_IDS, MAX_LIMIT, MAX_OFFSET

# uvicorn reads a URL of 64 KiB: two lists of ids fit.
QUERY_IDS = 500
VIDEO = "738a8344-047b-57a7-9ddc-b4fb57351bf8"
USER = "r00364274"
# What an argument does, its bounds (the database has the last word), and an example.
ABOUT: dict[str, tuple[str, dict[str, Any], Any]] = {
    "user_id": ("A reviewer_id. Default, for a signed-in user: themselves.", {}, USER),
    "user_ids": ("Reviewer_ids.", {"max_length": MAX_IDS}, [USER]),
    "video_id": ("The id of a video.", {}, VIDEO),
    "video_ids": ("Ids of videos.", {"max_length": MAX_IDS}, [VIDEO]),
    "embedding": (
        "A vector of the serving model.",
        {"min_length": DIM, "max_length": DIM},
        [round(DIM**-0.5, 6)] * DIM,
    ),
    "limit": ("How many.", {"ge": 0, "le": MAX_LIMIT}, 10),
    "offset": ("Skips the pages before this one.", {"ge": 0, "le": MAX_OFFSET}, 0),
    "exclude_seen": ("Leaves out what the user has seen; the likes, of a visitor.", {}, True),
    "exclude": ("Leaves out these videos.", {"max_length": MAX_IDS}, [VIDEO]),
    "filter": ("What the videos have to be: docs/app.md has the keys.", {}, {"price_max": 1000}),
    "diversity": (
        "How much a score loses by similarity to those above it.",
        {"ge": 0, "le": 1},
        0.3,
    ),
    "rotation": (
        "How much a score loses by having been shown lately.",
        {"ge": 0, "le": 1},
        0.5,
    ),
    "window": ("day, week, month, year or all.", {}, "week"),
    "rows": ("How many rows.", {"ge": 0, "le": 20}, 3),
    "per_row": ("Videos in a row.", {"ge": 0, "le": MAX_LIMIT}, 10),
    "kind": ("click, view, like, dislike or purchase.", {}, "like"),
    "weight": ("Of a view the share that was watched.", {"ge": 0, "le": 1}, 0.8),
    "release_id": ("The list's own.", {"ge": 0, "le": 2**63 - 1}, 1),
    "source": ("The list's own: model, likes or popular.", {}, "model"),
}
# Columns that are never null.
FILLED = {"score", "rank", "row_rank", "source", "feature", "share", "user_id"}
COLUMN_TYPES: dict[str, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "bigint": {"type": "integer"},
    "double precision": {"type": "number"},
}
ERROR = {
    "type": "object",
    "required": ["code", "message", "hint"],
    "properties": {
        "code": {"type": "string", "description": "an SQLSTATE, or HTTP and the status"},
        "message": {"type": "string", "description": "what is wrong; it names the argument"},
        "hint": {"type": "string", "description": "what to do about it"},
    },
}


def _storable(text: str) -> str:
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a database holds no such character")
    return text


def _finite(values: list[float]) -> list[float]:
    if not all(map(math.isfinite, values)):
        raise ValueError("each number is finite")
    return values


Text = Annotated[StrictStr, AfterValidator(_storable)]
# A query string has text alone: what is a number is read from it. JSON has types of its own.
OF_BODY: dict[str, Any] = {
    "text": Text,
    "text[]": list[Text],
    "integer": StrictInt,
    "bigint": StrictInt,
    "boolean": StrictBool,
    "double precision": StrictFloat,
    "uuid": UUID,
    "uuid[]": list[UUID],
    "jsonb": dict[str, Any],
    "extensions.halfvec": Annotated[list[StrictFloat], AfterValidator(_finite)],
}
OF_QUERY: dict[str, Any] = OF_BODY | {
    "integer": int,
    "bigint": int,
    "boolean": bool,
    "double precision": float,
    "jsonb": Json[dict[str, Any]],
    "extensions.halfvec": Annotated[list[float], AfterValidator(_finite)],
}


def arguments(function: Function, *, of_query: bool) -> type[BaseModel]:
    """Return the model of a function's arguments, in a query string or a JSON object."""
    types = OF_QUERY if of_query else OF_BODY
    fields = {
        argument.name: _field(function, argument, types[argument.type], of_query)
        for argument in function.arguments
    }
    name = f"{function.name}_{'query' if of_query else 'body'}"
    model: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return model


def _field(function: Function, argument: Argument, kind: Any, of_query: bool) -> Any:
    about, bounds, example = ABOUT[argument.name]
    bounds = dict(bounds)
    if of_query and bounds.get("max_length", 0) > QUERY_IDS:
        bounds["max_length"] = QUERY_IDS
    if argument.name == "limit" and function.name == "recommend_batch":
        bounds["le"] = 100
    if argument.name == "video_ids" and function.name == "rank_videos":
        bounds["max_length"] = QUERY_IDS if of_query else MAX_LIMIT
    if argument.type == "double precision":
        bounds["allow_inf_nan"] = False
    default = (argument.default or "null").strip("'")
    if default != "null":
        about += f" Default: {default}."
    if not function.is_optional(argument):
        return kind, Field(description=about, examples=[example], **bounds)
    # In JSON null is an argument that is not given.
    return (
        Annotated[kind, Field(**bounds)] if of_query else Annotated[kind, Field(**bounds)] | None,
        Field(default=None, description=about, examples=[example]),
    )


def parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the arguments of a query string as OpenAPI has them."""
    schema = model.model_json_schema()
    found = []
    for name, field in schema["properties"].items():
        described: dict[str, Any] = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field.pop("description"),
        }
        (example,) = field.pop("examples")
        field.pop("title")
        if field.get("default", 0) is None:
            field.pop("default")
        if field.get("contentMediaType"):
            described["content"] = {
                "application/json": {"schema": {"type": "object"}, "example": example}
            }
        else:
            described |= {"schema": field, "example": example}
        found.append(described)
    return found


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the arguments of a JSON object as OpenAPI has them."""
    schema = model.model_json_schema()
    example = {name: field["examples"][0] for name, field in schema["properties"].items()}
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def answer(function: Function) -> dict[str, Any]:
    """Return the JSON schema of what a function answers."""
    if not function.columns:
        return {"type": "integer"}
    properties = {}
    for name, kind in function.columns:
        found = COLUMN_TYPES[kind]
        if name not in FILLED:
            found = {"anyOf": [found, {"type": "null"}]}
        properties[name] = found
    return {
        "type": "array",
        "items": {
            "type": "object",
            "required": list(properties),
            "properties": properties,
            "additionalProperties": False,
        },
    }
