"""The generated bindings, for the rest of the package.

In a component, they are those that the build generates. Natively, they are the committed ones,
whose functions do nothing until a test replaces them with a double.
"""

import typing

# The bindings refer to `typing.Self`, which Python has only from 3.11 on.
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
import wit_world.imports.questions as questions
import wit_world.imports.request as request
from componentize_py_types import Err
from wit_world.exports.plugin import Decision

_MAX_U32 = 2**32 - 1


def text(value: str) -> str:
    """Returns the value after checking that it can cross into the proxy.

    A value that is not a string, or that contains an unpaired surrogate, would trap at the boundary
    without a message.
    """
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    if not value.isascii():
        value.encode()
    return value


def octets(value: typing.Union[str, bytes]) -> bytes:
    """Returns a field value; text is encoded as UTF-8."""
    if isinstance(value, bytes):
        return value
    return text(value).encode()


def number(value: int, what: str, least: int = 0, most: int = _MAX_U32) -> int:
    """Returns the value after checking that it is within these bounds: any other would trap."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} is a whole number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{what} is within {least} to {most}, not {value}")
    return value


__all__ = [
    "Decision",
    "Err",
    "backends",
    "exports",
    "log",
    "number",
    "octets",
    "plugin",
    "questions",
    "request",
    "text",
]
