"""Names to parts: a table per kind of part, options checked against the constructor's signature.

The signature is the only definition of a part's options: names, types, and defaults are read from
it, so a new part needs its file and one row. Rows are strings, so a table imports nothing.
"""

import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from tinyscope.errors import CheckpointError, SettingsError

M = TypeVar("M", bound=BaseModel)

Share = Annotated[float, Field(ge=0, le=1)]
"""Type of an option between 0 and 1, both included: a share, a score, an overlap.

Checked, as pydantic's PositiveInt and its kin are, where a recipe is read.
"""
Probability = Annotated[float, Field(gt=0, lt=1)]
"""Type of an option whose log-odds are taken."""


class Table:
    """The parts of one kind: `rows` maps a name to "module:Object"."""

    def __init__(self, kind: str, rows: Mapping[str, str]) -> None:
        self.kind = kind
        self._rows = dict(rows)

    def names(self) -> tuple[str, ...]:
        """The names that `load` knows, in the order of the rows."""
        return tuple(self._rows)

    def load(self, name: str, path: str = "") -> Callable[..., Any]:
        """The constructor behind `name`; `path` is the settings key that an error names."""
        if name not in self._rows:
            raise SettingsError(
                f"{path or self.kind}: no {self.kind} named {name!r}{nearest(name, self._rows)} "
                f"(one of: {', '.join(self._rows) or 'none yet'})"
            )
        module, _, attribute = self._rows[name].partition(":")
        try:
            found: Callable[..., Any] = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "tinyscope").partition(".")[0] == "tinyscope":
                raise
            raise SettingsError(
                f"{path or self.kind}: {name} needs the package {error.name}, "
                "which is not installed; pip install it"
            ) from error
        return found

    def check(
        self,
        options: Any,
        path: str = "",
        supplied: Collection[str] = (),
        parts: Collection[str] = (),
    ) -> dict[str, Any]:
        """The options of one part, validated and with defaults filled in.

        Args:
            options: `name` and keyword arguments of the constructor, as YAML gives them.
            path: Key of the part in the settings, for errors.
            supplied: Arguments that the builder gives; setting one of them is an error.
            parts: Arguments that the caller checks itself; they are neither checked nor returned.

        Returns:
            `name` and a value for every argument that is neither supplied nor a part.

        Raises:
            SettingsError: The name or an option is unknown, or a value is of the wrong kind.
        """
        path = path or self.kind
        name = part_name(options, path, self)
        constructor = self.load(name, f"{path}.name")
        given = {k: v for k, v in options.items() if k != "name" and k not in parts}
        known, open_ended = arguments(constructor)
        allowed = [k for k in known if k not in supplied]
        for key in given:
            if key in supplied:
                raise SettingsError(
                    f"{path}.{key}: follows from the other parts and cannot be set; remove it"
                )
            if key not in known and not open_ended:
                raise unknown_key(path, key, allowed, name)
        model = _model(constructor, name, frozenset(supplied) | frozenset(parts))
        checked = validate(model, given, path)
        values = {k: getattr(checked, _attribute(k)) for k in allowed if k not in parts}
        return {"name": name, **values, **(checked.model_extra or {})}

    def build(self, options: Any, path: str = "", **supplied: Any) -> Any:
        """Checks the options and constructs the part.

        Of `supplied`, only what the constructor takes is passed on.

        Raises:
            SettingsError: As `check`, or the constructor refuses a value.
            CheckpointError: A file of the part's weights cannot be used.
        """
        checked = self.check(options, path, supplied)
        constructor = self.load(checked.pop("name"))
        known, open_ended = arguments(constructor)
        taken = {k: v for k, v in supplied.items() if k in known or open_ended}
        place = path or self.kind
        try:
            return constructor(**checked, **taken)
        except (ValueError, SettingsError) as error:
            if str(error).startswith(place):
                raise
            raise SettingsError(f"{place}: {error}") from error
        except CheckpointError as error:  # of a model of videos two parts read weights
            if not str(error).startswith("weights: "):
                raise
            raise CheckpointError(f"{place}.{error}") from error

    def schema(
        self, supplied: Collection[str] = (), parts: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """JSON schema of one part of this kind; `parts` maps an argument to its own schema."""
        parts = parts or {}
        choices = []
        for name in self.names():
            constructor = self.load(name)
            known, _ = arguments(constructor)
            model = _model(constructor, name, frozenset(supplied) | frozenset(parts))
            schema = model.model_json_schema()
            nested = {k: v for k, v in parts.items() if k in known}
            schema["properties"] = {
                "name": {"const": name},
                **schema.get("properties", {}),
                **nested,
            }
            required = [k for k in nested if known[k].default is REQUIRED]
            schema["required"] = ["name", *schema.get("required", []), *required]
            choices.append(schema)
        return {"title": self.kind, "oneOf": choices} if choices else {"title": self.kind}


REQUIRED = inspect.Parameter.empty
"""Default of an argument that has none."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """One keyword argument of a constructor: its type and default, or `REQUIRED`."""

    type: Any
    default: Any
    factory: Callable[[], Any] | None = None


@cache
def arguments(constructor: Callable[..., Any]) -> tuple[dict[str, Argument], bool]:
    """Keyword arguments by name, and whether any others are taken (`**options`)."""
    if dataclasses.is_dataclass(constructor):
        return _fields(constructor), False
    function = constructor.__init__ if inspect.isclass(constructor) else constructor
    function = inspect.unwrap(function)
    types = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isclass(constructor):
        parameters = parameters[1:]  # self
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = {
        p.name: Argument(types.get(p.name, Any), p.default)
        for p in parameters
        if p.kind not in kinds
    }
    return found, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _fields(constructor: Any) -> dict[str, Argument]:
    # The signature would do, were it not for default factories, which it shows as a marker.
    types = typing.get_type_hints(constructor, include_extras=True)
    missing = dataclasses.MISSING
    return {
        f.name: Argument(
            types[f.name],
            REQUIRED if f.default is missing else f.default,
            None if f.default_factory is missing else f.default_factory,
        )
        for f in dataclasses.fields(constructor)
        if f.init
    }


def _attribute(name: str) -> str:
    # An option may be called `copy` or `json`, as methods of pydantic models are.
    return f"option_{name}"


@cache
def _model(constructor: Callable[..., Any], name: str, without: frozenset[str]) -> type[BaseModel]:
    known, open_ended = arguments(constructor)
    fields: dict[str, Any] = {}
    for key, argument in known.items():
        if key in without:
            continue
        if argument.factory is not None:
            field = Field(default_factory=argument.factory, alias=key, title=key)
        elif argument.default is REQUIRED:
            field = Field(alias=key, title=key)
        else:
            field = Field(argument.default, alias=key, title=key)
        fields[_attribute(key)] = (argument.type, field)
    config = ConfigDict(
        extra="allow" if open_ended else "forbid",
        strict=True,
        arbitrary_types_allowed=True,
    )
    return create_model(name, __config__=config, **fields)


def validate(model: type[M], values: Mapping[str, Any], path: str) -> M:
    """The values as an instance of the model.

    Values are taken as JSON would give them, strictly: "3" is no number and 1 no truth value, but
    a list may stand for a tuple, a string for a path and a whole number for a float.

    Raises:
        SettingsError: Names the key's path, the value and what is allowed.
    """
    try:
        return model.model_validate_json(json.dumps(plain(values, path)))
    except ValidationError as error:
        raise SettingsError(_in_words(error.errors(), model, values, path)) from error


def plain(value: Any, path: str = "") -> Any:
    """The value in the types of JSON: mappings, lists, strings, numbers, truth values, none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v, _join(path, k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, _join(path, i)) for i, v in enumerate(value)]
    raise SettingsError(
        f"{path}: got {value!r}, a {type(value).__name__}; "
        "must be a number, string, truth value, list or mapping"
    )


def part_name(options: Any, path: str, table: Table) -> str:
    """The `name` of a part's options.

    Raises:
        SettingsError: The options are no mapping, or have no name.
    """
    name = options.get("name") if isinstance(options, Mapping) else None
    if not isinstance(name, str):
        raise SettingsError(
            f"{path}: got {options!r}; must be a mapping with the name of a {table.kind} and its "
            f"options, such as {{name: {next(iter(table.names()), '...')}}} "
            f"(one of: {', '.join(table.names()) or 'none yet'})"
        )
    return name


def nearest(word: str, words: Collection[str]) -> str:
    """ "; did you mean ...?" with the most similar of the words, or nothing."""
    found = get_close_matches(str(word), list(words), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def unknown_key(path: str, key: str, known: Collection[str], owner: str) -> SettingsError:
    """The error for a key that its owner does not have."""
    return SettingsError(
        f"{_join(path, key)}: no such option of {owner}{nearest(key, known)} "
        f"(options: {', '.join(known) or 'none'})"
    )


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _in_words(
    errors: Sequence[ErrorDetails], model: type[BaseModel], values: Any, path: str
) -> str:
    """One sentence on the first value that is wrong."""
    first = errors[0]
    keys, value = _place(first["loc"], values)
    where = ".".join([*([path] if path else []), *map(str, keys)])
    if first["type"] == "extra_forbidden":
        owner = _owner(model, keys[:-1])
        known = [field.alias or name for name, field in owner.model_fields.items()]
        title = where.rpartition(".")[0] or model.__name__.lower()
        return str(unknown_key(where.rpartition(".")[0], str(keys[-1]), known, title))
    if first["type"] == "missing":
        missing = _join(where, first["loc"][-1])
        return f"{missing}: must be given; it has no default"
    if first["type"] == "value_error":
        return f"{where or model.__name__}: {first['msg'].removeprefix('Value error, ')}"
    # A union reports each of its members; they stand for one value.
    same = [e for e in errors if _place(e["loc"], values)[0] == keys]
    allowed = " or ".join(dict.fromkeys(_allowed(e["msg"]) for e in same))
    hint = ""
    if isinstance(value, str) and first["type"] == "literal_error":
        hint = nearest(value, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    return f"{where}: got {value!r}; must {allowed}{hint}"


def _allowed(message: str) -> str:
    """What pydantic says should be, in the words of YAML."""
    message = re.sub(r"^\w+ should ", "", message)  # Input, Tuple, String
    message = re.sub(r" after validation, not \d+$", "", message)  # the value is shown before
    return message.replace("a valid array", "a list").replace("be an object", "be a mapping")


def _owner(model: type[BaseModel], keys: Sequence[int | str]) -> type[BaseModel]:
    """The model that stands at the keys, as far as models stand on the way; None may for it."""
    for key in keys:
        field = model.model_fields.get(str(key))
        kinds = (typing.get_args(field.annotation) or (field.annotation,)) if field else ()
        inner = [k for k in kinds if inspect.isclass(k) and issubclass(k, BaseModel)]
        if len(inner) != 1:
            break
        model = inner[0]
    return model


def _place(location: Sequence[int | str], values: Any) -> tuple[list[int | str], Any]:
    """The part of a pydantic location that is keys and indices, and the value there.

    The rest names members of unions, which the user has not written.
    """
    keys: list[int | str] = []
    for key in location:
        inside = isinstance(values, Mapping) and key in values
        if isinstance(values, list | tuple) and isinstance(key, int):
            inside = key < len(values)
        if not inside:
            break
        values = values[key]
        keys.append(key)
    return keys, values
