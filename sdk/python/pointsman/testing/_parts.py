"""The parts of a request that questions are about: a simple version of the proxy's code."""

import json
import re
from typing import Any, Callable, List, Optional, Tuple
from urllib.parse import unquote_to_bytes

BLANKS = b" \t"
# Matches one member of a list: the octets up to a comma outside of quotes (RFC 9110, section
# 5.6.1).
_MEMBER = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))*', re.DOTALL)

Reader = Callable[[Any], List[bytes]]


def parse(over: str) -> Optional[Reader]:
    """Returns a function that reads every line or member of a part.

    None if ``over`` names no part.
    """
    kind, colon, name = over.partition(":")
    if not colon:
        return _PLAIN.get(over)
    if kind == "body-json":
        pointer = _pointer(name)
        return None if pointer is None else lambda head: _some(json_member(head, pointer))
    read = _NAMED.get(kind)
    return (lambda head: read(head, name)) if read and name else None


def host(authority: bytes) -> str:
    """Returns the host in lower case, without port or trailing dot."""
    name = re.sub(rb":[0-9]*\Z", b"", authority)
    return name.decode(errors="replace").lower().removesuffix(".")


def query_parameter(target: str, name: str) -> Optional[bytes]:
    """Returns the first parameter with that name, form-decoded. An invalid escape stays as it is.
    """
    wanted = name.encode()
    for pair in target.partition("?")[2].split("&"):
        key, equals, value = pair.partition("=")
        if (key or equals) and unquote_to_bytes(key.replace("+", " ")) == wanted:
            return unquote_to_bytes(value.replace("+", " "))
    return None


def cookie(lines: List[bytes], name: str) -> Optional[bytes]:
    """Returns the value of the first cookie with that name, which is case-sensitive."""
    for line in lines:
        for pair in line.split(b";"):
            key, equals, value = pair.strip(BLANKS).partition(b"=")
            if equals and key == name.encode():
                return value
    return None


def members(line: bytes) -> List[bytes]:
    """Returns the members of a comma-separated list, quotes respected."""
    found, at = [], 0
    while at <= len(line):
        match = _MEMBER.match(line, at)
        end = match.end() if match else len(line)
        found.append(line[at:end].strip(BLANKS))
        at = end + 1
    return found


def json_member(head: Any, pointer: List[str]) -> Optional[bytes]:
    """Returns the string, number or boolean that the pointer finds in a body that is complete and
    has no content coding.
    """
    coded = any(line.lower() != b"identity" for line in head.header("content-encoding"))
    if not head.body_is_complete() or coded:
        return None
    try:
        value = json.loads(
            head.body_prefix(),
            object_pairs_hook=_Members,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number.refuse,
        )
    except (ValueError, RecursionError):
        return None
    for token in pointer:
        value = _step(value, token)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return value.encode(errors="surrogatepass") if isinstance(value, str) else None


class _Number(str):
    """A number as it is written in the body."""

    @staticmethod
    def refuse(text: str) -> Any:
        raise ValueError(text)


class _Members(List[Tuple[str, Any]]):
    """An object whose members can occur twice."""


def _step(value: Any, token: str) -> Any:
    if isinstance(value, _Members):
        found = [item for key, item in value if key == token]
        return found[0] if len(found) == 1 else None
    if isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", token):
        return value[int(token)] if int(token) < len(value) else None
    return None


def _pointer(text: str) -> Optional[List[str]]:
    """Returns the tokens of a JSON pointer (RFC 6901)."""
    if text and not text.startswith("/") or re.search("~(?![01])", text):
        return None
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _some(value: Optional[bytes]) -> List[bytes]:
    return [] if value is None else [value]


def _text(value: Optional[str]) -> List[bytes]:
    return [value.encode()] if value else []


_PLAIN = {
    "method": lambda head: _text(head.method()),
    "scheme": lambda head: _text(head.scheme()),
    "authority": lambda head: head.header("host")[:1],
    "host": lambda head: _text(head.host()),
    "path": lambda head: _text(head.path()),
    "path-with-query": lambda head: _text(head.path_with_query()),
    "client-address": lambda head: _text(head.client_address()),
    "server-name": lambda head: _text(head.server_name()),
}

_NAMED = {
    "query": lambda head, name: _some(head.query_parameter(name)),
    "header": lambda head, name: head.header(name),
    "values": lambda head, name: [one for line in head.header(name) for one in members(line)],
    "cookie": lambda head, name: _some(head.cookie(name)),
}
