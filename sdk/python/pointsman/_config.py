"""Deserialization of a plugin's configuration, which the proxy passes as JSON, into a dataclass.

Owns the form of errors, ``rules[0].suffix: message``: the proxy takes the text before the first
``: `` as the path of a key, and points at that key in its configuration file. Runs once for each
instance.
"""

import dataclasses
import json
import re
import types
from typing import Any, Dict, List, Literal, Optional, Type, TypeVar, Union, get_args, get_origin
from typing import get_type_hints

T = TypeVar("T")

_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
    list: "a list",
    dict: "a table",
}


class ConfigError(Exception):
    """An error of the configuration, and its key: ``rules[0].backend``."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.message = message

    def at_key(self, key: str) -> "ConfigError":
        """Returns the same error at another key."""
        return ConfigError(key, self.message)

    @property
    def entry(self) -> Optional[int]:
        """Returns the index, from 0, of the entry that made the definition of a matcher fail.

        None if no single entry is at fault.
        """
        # The proxy's message is `entry 3, "a", is not ...`, counted from 1.
        found = re.match(r"entry ([1-9][0-9]*)\b", self.message)
        return int(found[1]) - 1 if found else None


def parse(text: str, into: Optional[Type[T]]) -> Any:
    """Reads JSON into a dataclass. If ``into`` is None, any key is an error."""
    value = json.loads(text)
    if into is None:
        for key in value:
            raise ConfigError(key, "unknown key")
        return None
    return _read(value, into, "")


def _read(value: Any, into: Any, path: str) -> Any:
    if into is Any:
        return value
    if dataclasses.is_dataclass(into):
        return _table(value, into, path)
    origin = get_origin(into) or into
    if origin in (Union, getattr(types, "UnionType", Union)):
        return _either(value, get_args(into), path)
    if origin is Literal:
        if value in get_args(into):
            return value
        choices = ", ".join(json.dumps(choice) for choice in get_args(into))
        raise ConfigError(path, f"must be one of {choices}, is {json.dumps(value)}")
    if not _fits(value, origin):
        raise ConfigError(path, f"must be {_name(into)}, is {json.dumps(value)}")
    arguments = get_args(into)
    if origin is list and arguments:
        return [_read(item, arguments[0], f"{path}[{at}]") for at, item in enumerate(value)]
    if origin is dict and len(arguments) == 2:
        return {key: _read(item, arguments[1], _under(path, key)) for key, item in value.items()}
    return float(value) if origin is float else value


def _table(value: Any, into: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(path, f"must be a table, is {json.dumps(value)}")
    fields: Dict[str, Any] = {field.name: field for field in dataclasses.fields(into) if field.init}
    hints = get_type_hints(into)
    found = {}
    for key, item in value.items():
        if key not in fields:
            known = ", ".join(f"`{name}`" for name in fields)
            raise ConfigError(_under(path, key), f"unknown key; there are {known}")
        found[key] = _read(item, hints[key], _under(path, key))
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if name not in found and not optional:
            raise ConfigError(path, f'missing key "{name}"')
    return into(**found)


def _either(value: Any, choices: Any, path: str) -> Any:
    for choice in choices:
        if _fits(value, get_origin(choice) or choice):
            return _read(value, choice, path)
    names = " or ".join(_name(choice) for choice in choices)
    raise ConfigError(path, f"must be {names}, is {json.dumps(value)}")


def _fits(value: Any, kind: Any) -> bool:
    if dataclasses.is_dataclass(kind):
        return isinstance(value, dict)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def _name(kind: Any) -> str:
    arguments = get_args(kind)
    origin = get_origin(kind) or kind
    if origin is list and arguments:
        return f"a list, each {_name(arguments[0])}"
    return "a table" if dataclasses.is_dataclass(origin) else _NAMES.get(origin, str(kind))


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


__all__: List[str] = ["ConfigError", "parse"]
