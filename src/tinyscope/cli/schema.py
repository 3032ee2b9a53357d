"""JSON schema of a recipe, for editors: completion and marks where a setting is wrong."""

from typing import Any

from tinyscope.pretraining import PretrainRecipe
from tinyscope.settings import (
    CLASSIFIERS,
    IN_A_MODEL,
    LISTED,
    MODELS,
    SUPPLIED,
    TABLES,
    Recipe,
    table,
)

_HEADER = ("source", "expected", "extends")
_PARTS = {
    ("DataSettings", "train"): "train",
    ("DataSettings", "val"): "val",
    ("DataSettings", "windows"): "windows",
    ("DataSettings", "transforms"): "transforms",
    ("OpeningSettings", "windows"): "windows",
    ("PredictSettings", "merge"): "merge",
    ("PredictSettings", "frames"): "frames",
    ("EvaluateSettings", "protocol"): "protocol",
    ("ImageSettings", "train"): "images",
    ("ImageSettings", "val"): "images",
    ("ImageSettings", "transforms"): "augmentations",
    ("ImageSettings", "val_transforms"): "augmentations",
}
"""Which kind of part stands where in the groups of settings."""


def recipe_schema() -> dict[str, Any]:
    """JSON schema of a recipe, of a detector or of pre-training; which, its model's name says.

    Every part offers the options of its constructor.
    """
    detector, classifier = Recipe.model_json_schema(), PretrainRecipe.model_json_schema()
    definitions = detector["$defs"] | classifier["$defs"]
    for (owner, field), key in _PARTS.items():
        listed = field.endswith("transforms")
        part = _list_of(key) if listed else _reference(key)
        definitions[owner]["properties"][field] = part
    detector["properties"]["model"] = _reference("model")
    classifier["properties"]["model"] = _reference("classifier")
    definitions |= {f"part_{key}": _part_schema(key) for key in TABLES}
    header = {"extends": {"type": "string"}, **detector["properties"]}
    named = {"properties": {"name": {"enum": list(CLASSIFIERS.names())}}, "required": ["name"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tinyscope recipe",
        "type": "object",
        "required": ["source", "expected"],
        "properties": {key: header[key] for key in _HEADER},
        "propertyNames": {"enum": list(header)},
        # A recipe that extends another gives only what differs.
        "if": {"required": ["extends"]},
        "else": {
            "if": {"properties": {"model": named}, "required": ["model"]},
            "then": _whole(classifier),
            "else": _whole(detector),
        },
        "$defs": definitions,
    }


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": schema["properties"], "required": schema["required"]}


def _part_schema(key: str) -> dict[str, Any]:
    inner = IN_A_MODEL if key in (*MODELS, *IN_A_MODEL) else ()
    parts = {
        k: _list_of(k) if k in LISTED else _reference(k)
        for k in inner
        if k not in SUPPLIED.get(key, ())
    }
    return table(key).schema(SUPPLIED.get(key, ()), parts)


def _list_of(key: str) -> dict[str, Any]:
    return {"type": "array", "items": _reference(key)}


def _reference(key: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/part_{key}"}
