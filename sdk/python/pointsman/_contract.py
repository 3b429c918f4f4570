"""The generated bindings, for the rest of the package.

In a component they are those that the build makes. Natively they are the committed ones, whose
functions do nothing until a test puts a double in their place.
"""

import typing

# The bindings name it; Python has it from 3.11 on.
if not hasattr(typing, "Self"):
    typing.Self = typing.Any  # type: ignore[misc,assignment]

try:
    import wit_world  # noqa: F401
except ImportError:
    import pathlib
    import sys

    sys.path.append(str(pathlib.Path(__file__).parent.parent / "bindings"))

import wit_world.exports as exports
import wit_world.exports.plugin as plugin
import wit_world.imports.backends as backends
import wit_world.imports.log as log
import wit_world.imports.request as request
from componentize_py_types import Err
from wit_world.exports.plugin import Decision



def text(value: str) -> str:
    """The value, once it is known to cross: what is no text, or half of a surrogate pair, would
    trap there without a word."""
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    if not value.isascii():
        value.encode()
    return value


def octets(value: typing.Union[str, bytes]) -> bytes:
    """A value of a field, of which a text is written in UTF-8."""
    if isinstance(value, bytes):
        return value
    return text(value).encode()


__all__ = ["Decision", "Err", "backends", "exports", "log", "octets", "plugin", "request", "text"]
