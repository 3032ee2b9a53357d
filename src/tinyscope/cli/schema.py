"""JSON schema of a recipe, for editors: completion and marks where a setting is wrong."""

from typing import Any

from tinyscope.settings import IN_A_MODEL, SUPPLIED, TABLES, Recipe, table


def recipe_schema() -> dict[str, Any]:
    """JSON schema of a recipe; every part offers the options of its constructor."""
    definitions = {key: _part_schema(key) for key in TABLES}
    schema = Recipe.model_json_schema()
    for owner, key, field in (
        ("DataSettings", "train", "train"),
        ("DataSettings", "val", "val"),
        ("DataSettings", "windows", "windows"),
        ("PredictSettings", "merge", "merge"),
        ("EvaluateSettings", "protocol", "protocol"),
    ):
        schema["$defs"][owner]["properties"][field] = _reference(key)
    transforms = {"type": "array", "items": _reference("transforms")}
    schema["$defs"]["DataSettings"]["properties"]["transforms"] = transforms
    schema["properties"]["model"] = _reference("model")
    schema["properties"]["extends"] = {"type": "string"}
    schema["$defs"] |= {f"part_{key}": value for key, value in definitions.items()}
    # A recipe that extends another gives only what differs.
    whole = {"properties": schema["properties"], "required": schema["required"]}
    header = ("source", "expected", "extends")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tinyscope recipe",
        "type": "object",
        "required": ["source", "expected"],
        "properties": {k: schema["properties"][k] for k in header},
        "propertyNames": {"enum": list(schema["properties"])},
        "if": {"required": ["extends"]},
        "else": whole,
        "$defs": schema["$defs"],
    }


def _part_schema(key: str) -> dict[str, Any]:
    inner = IN_A_MODEL if key in ("model", *IN_A_MODEL) else ()
    parts = {k: _reference(k) for k in inner if k not in SUPPLIED.get(key, ())}
    return table(key).schema(SUPPLIED.get(key, ()), parts)


def _reference(key: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/part_{key}"}
