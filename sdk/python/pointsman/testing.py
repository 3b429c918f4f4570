"""Tests of a plugin without the proxy: native, in memory, with the same glue.

    plugin = testing.configure(Plugin, {"backend": "a"}, backends=["a"])
    request = testing.request("/", headers=[("cookie", "canary=1")])
    assert plugin.route(request) == pointsman.backend("a")
"""

import json
from typing import Any, Iterable, List, Optional, Tuple, Union

from pointsman import _contract
from pointsman._request import Client, Tls

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
_TOKEN = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

states: dict = {}
"""The backends that the plugin is told of, by name: change them while a test runs."""

lines: List[Tuple[Any, str]] = []
"""What the plugin has logged since it was configured."""


class Refused(Exception):
    """The contract's error, from ``configure`` or ``route``."""


class Head:
    """A request head in memory, and the edits that were made to it."""

    def __init__(
        self,
        target: str = "/",
        method: str = "GET",
        headers: Iterable[Tuple[str, Union[str, bytes]]] = (),
        client: Client = Client("127.0.0.1", 49152),
        tls: Optional[Tls] = None,
        attempt: int = 0,
    ) -> None:
        self._method, self._target, self._client = method, target, client
        self._tls, self._attempt = tls, attempt
        self._lines = [
            (name.lower(), value.encode() if isinstance(value, str) else value)
            for name, value in headers
        ]
        self.edits: List[Tuple[str, ...]] = []

    def method(self) -> str:
        return self._method

    def scheme(self) -> str:
        return "https" if self._tls else "http"

    def path_with_query(self) -> str:
        return self._target

    def header(self, name: str) -> List[bytes]:
        name = name.lower()
        return [value for known, value in self._lines if known == name]

    def headers(self) -> List[Tuple[str, bytes]]:
        return list(self._lines)

    def client(self) -> Client:
        return self._client

    def tls(self) -> Optional[Tls]:
        return self._tls

    def attempt(self) -> int:
        return self._attempt

    def set_header(self, name: str, value: bytes) -> None:
        self._edit("set", _checked(name), _value(value))

    def append_header(self, name: str, value: bytes) -> None:
        self._edit("append", _not_host(_checked(name)), _value(value))

    def remove_header(self, name: str) -> None:
        self._edit("remove", _not_host(_checked(name)))

    def set_path_with_query(self, value: str) -> None:
        if not value.startswith("/") or not all("!" <= c <= "~" and c != "#" for c in value):
            raise _invalid()
        self._edit("path-with-query", value)

    def _edit(self, *edit: Any) -> None:
        self.edits.append(edit)

    def __exit__(self, *_: Any) -> None:
        pass


request = Head
"""A request: ``request("/a?b=c", headers=[("host", "a")])``."""


class Configured:
    """A plugin that was configured, driven as the proxy drives one."""

    def __init__(self, plugin: Any, cacheable: bool) -> None:
        self._plugin = plugin
        self.cacheable = cacheable

    def route(self, head: Head) -> Any:
        """Its decision; raises ``Refused`` where it answers with an error."""
        try:
            return self._plugin.route(head)
        except _contract.Err as error:
            raise Refused(error.value) from None


def configure(plugin: Any, config: Any = None, backends: Iterable[str] = ()) -> Configured:
    """Configures a plugin before a proxy that has these backends, each with one idle server."""
    states.clear()
    states.update((name, _contract.backends.BackendState(1, 0, 0)) for name in backends)
    lines.clear()
    _contract.backends.state = states.get
    _contract.log.write = lambda level, message: lines.append((level, message))
    made = plugin()
    try:
        cacheability = made.configure(json.dumps({} if config is None else config))
    except _contract.Err as error:
        raise Refused(error.value) from None
    return Configured(made, cacheability is _contract.plugin.Cacheability.CACHEABLE)


def _invalid() -> Exception:
    return _contract.Err(_contract.request.EditError_InvalidSyntax())


def _forbidden() -> Exception:
    return _contract.Err(_contract.request.EditError_Forbidden())


def _checked(name: str) -> str:
    """A field name, in lower case, that is a token (RFC 9110, section 5.6.2), not the proxy's."""
    if not name or not _TOKEN.issuperset(name):
        raise _invalid()
    name = name.lower()
    if name in _RESERVED or name.startswith("sec-websocket-"):
        raise _forbidden()
    return name


def _not_host(name: str) -> str:
    if name == "host":
        raise _forbidden()
    return name


def _value(value: bytes) -> bytes:
    if any(octet < 32 and octet != 9 or octet == 127 for octet in value):
        raise _invalid()
    return value
