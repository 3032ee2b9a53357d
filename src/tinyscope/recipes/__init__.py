"""Recipes as YAML files: where they are, how one extends another, how `--set` changes one.

Here a recipe is a plain mapping; `tinyscope.settings` checks what it says.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tinyscope.catalog import nearest
from tinyscope.errors import SettingsError

FOLDER = Path(__file__).parent
OWN_TO_EACH = ("source", "expected")
"""Keys that are not taken over from the recipe that another extends."""
EITHER_OR = {"steps": "epochs", "epochs": "steps"}
"""Giving one of two keys takes the other away, so that a recipe can be run for another length."""


@dataclass(frozen=True)
class Listed:
    """A recipe of the package: where it is from, and what it should reach."""

    name: str
    source: str
    expected: Mapping[str, float]


def names() -> tuple[str, ...]:
    """The recipes of the package, such as `quick/demo`."""
    files = FOLDER.rglob("*.yaml")
    return tuple(sorted(f.relative_to(FOLDER).with_suffix("").as_posix() for f in files))


def listing() -> tuple[Listed, ...]:
    """The recipes of the package with what their headers say."""
    read = ((name, read_yaml(FOLDER / f"{name}.yaml")) for name in names())
    return tuple(Listed(name, values["source"], values["expected"]) for name, values in read)


def resolve(recipe: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a recipe after `extends` and overrides, not yet checked.

    Args:
        recipe: A recipe's name, or the path of a YAML file.
        overrides: "model.backbone.depth=50": a key's path, and its value in YAML.

    Raises:
        SettingsError: There is no such recipe, it is not valid YAML, the recipe that it extends
            itself extends one, or an override cannot be applied.
    """
    file = find(recipe)
    values = read_yaml(file)
    base_name = values.pop("extends", None)
    if base_name is not None:
        base = read_yaml(find(base_name, file.parent))
        if base.get("extends") is not None:
            raise SettingsError(
                f"extends: {base_name} itself extends {base['extends']}; "
                "a recipe may extend one that stands alone"
            )
        inherited = {k: v for k, v in base.items() if k not in OWN_TO_EACH}
        values = merge(inherited, values)
    for override in overrides:
        values = apply(values, override)
    return values


def find(recipe: str | Path, folder: Path | None = None) -> Path:
    """The file of a recipe; a relative path is looked for in `folder` first."""
    candidates = [Path(recipe), FOLDER / f"{recipe}.yaml"]
    if folder is not None:
        candidates.insert(0, folder / recipe)
    for file in candidates:
        if file.suffix in (".yaml", ".yml") and file.is_file():
            return file
    raise SettingsError(
        f"recipe: no recipe named {str(recipe)!r}{nearest(str(recipe), names())} Give the path of "
        f"a .yaml file or one of: {', '.join(names())}"
    )


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping that a file holds."""
    try:
        values = parse_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{file}: not valid YAML ({reason})") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: holds {values!r}; a recipe is a mapping of settings")
    return values


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, read as YAML 1.2 does: 1e-3 is a number, `no` is a word."""
    return yaml.load(text, Loader=_Loader)


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `change`; mappings are merged, all else is replaced.

    A part that is given another name is replaced as a whole, since its options are its own.
    """
    if "name" in change and change["name"] != base.get("name"):
        return dict(change)
    merged = {k: v for k, v in base.items() if EITHER_OR.get(k) not in change}
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value)
        merged[key] = value
    return merged


def apply(values: Mapping[str, Any], override: str) -> dict[str, Any]:
    """The settings after one override, "key.path=value"; numbers in the path count in lists."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise SettingsError(f"--set: got {override!r}; must be key=value, such as train.steps=500")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: got {text!r}, which is not valid YAML") from error
    changed: dict[str, Any] = _changed(values, keys, value, "")
    return changed


def _changed(old: Any, keys: Sequence[str], value: Any, path: str) -> Any:
    """`old` with `value` at the keys below it; `path` is where `old` stands."""
    key, rest = keys[0], keys[1:]
    here = f"{path}.{key}" if path else key
    if isinstance(old, list):
        if not key.isdecimal() or int(key) >= len(old):
            raise SettingsError(
                f"{here}: {path} is a list of {len(old)}; {key!r} must be a number below that"
            )
        place = int(key)
        new = _changed(old[place], rest, value, here) if rest else value
        return [*old[:place], new, *old[place + 1 :]]
    if old is not None and not isinstance(old, Mapping):
        raise SettingsError(f"{here}: {path} is {old!r}, which has no keys")
    old = old or {}
    if not rest:
        return merge(old, {key: value})
    # Not through `merge`: the change below may be a list, which replaces the old one as a whole.
    return {**old, key: _changed(old.get(key), rest, value, here)}


class _Loader(yaml.SafeLoader):
    """Plain values only; a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1, which the library follows, takes `no` and `on` for truth values, 1e-3 for a word and
# 2024-01-01 for a date.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(("bool", "timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)
