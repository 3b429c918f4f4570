"""Copies of the proxy's checks of an edit. Errors are strings, as in the contract."""

import json
import re

from pointsman import _contract

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_RESERVED = {
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def is_token(text: str) -> bool:
    """Reports whether ``text`` is a token (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def field(name: str) -> str:
    """Checks the name of a field that plugins may set, and returns it in lower case."""
    lower = name.lower()
    if lower == "host":
        raise _contract.Err('the field "host" is set by `set-authority`')
    if lower in _RESERVED or lower.startswith("sec-websocket-"):
        raise _contract.Err(f"the field {_shown(lower)} is set by the proxy alone")
    if not is_token(lower):
        raise _contract.Err(f"{_shown(lower)} is not a field name")
    return lower


def is_value(octets: bytes) -> bool:
    """Reports whether HTTP allows octets as a field value: they have no control characters (RFC
    9110, section 5.5).
    """
    return re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", octets) is None


def value(name: str, octets: bytes) -> bytes:
    """Checks a field value, and returns it."""
    if not is_value(octets):
        raise _contract.Err(f"the field {_shown(name.lower())} cannot have this value")
    return octets.strip(b" \t")


def authority(octets: bytes) -> bytes:
    """Checks a host with or without a port (RFC 9110, section 7.2)."""
    if not re.fullmatch(rb"(?:[\w.~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", octets):
        shown = _shown(octets.decode(errors="replace"))
        raise _contract.Err(f"{shown} is not a host with an optional port")
    return octets


def target(text: str) -> str:
    """Checks a target in origin form (RFC 9112, section 3.2.1)."""
    if not text.startswith("/") or not _is_target(text):
        raise _contract.Err(f"{_shown(text)} is not a target in origin form")
    return text


def path_prefix(replacement: str) -> str:
    """Checks the string that replaces the start of a path."""
    if not _is_target(replacement) or "?" in replacement:
        raise _contract.Err(f"{_shown(replacement)} is not a part of a path")
    return replacement


def _is_target(text: str) -> bool:
    return re.fullmatch(r"[!-~]*", text) is not None and "#" not in text


def _shown(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
