"""The request whose route is being decided.

Each read crosses the sandbox, and becomes a part of what a cached decision is kept under; method,
target and host cross once.
"""

from typing import List, Optional, Tuple, Union
from urllib.parse import unquote_to_bytes

from pointsman import _contract

Client = _contract.request.Client
"""``address``, in text form, and ``port``: 0 for a Unix socket."""

Tls = _contract.request.Tls
"""``server_name`` and ``alpn``, each of which may be None."""

_UNREAD = object()


class EditError(Exception):
    """The proxy refuses an edit: HTTP forbids it, or only the proxy may set the field."""


class Request:
    """A request head, read lazily. Values of fields are octets, which need not be UTF-8."""

    __slots__ = ("_head", "_host", "_method", "_target")

    def __init__(self, head: "_contract.request.RequestHead") -> None:
        self._head = head
        self._method: Optional[str] = None
        self._target: Optional[str] = None
        self._host: object = _UNREAD

    @property
    def method(self) -> str:
        """As sent, as in ``GET``."""
        if self._method is None:
            self._method = self._head.method()
        return self._method

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return self._head.scheme()

    @property
    def target(self) -> str:
        """In origin form, as in ``/a?b=c``; ``*`` for ``OPTIONS *``."""
        if self._target is None:
            self._target = self._head.path_with_query()
        return self._target

    @property
    def path(self) -> str:
        """The target up to its first ``?``. Nothing is decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> Optional[str]:
        """What follows the first ``?`` of the target. Nothing is decoded."""
        _, mark, query = self.target.partition("?")
        return query if mark else None

    def query_param(self, name: str) -> Optional[bytes]:
        """The first parameter of that name, as forms write it: ``+`` is a blank, ``%41`` an ``A``.

        Names are compared decoded. An escape that is none is left as it is.
        """
        query = self.query
        if query is None:
            return None
        wanted = name.encode("utf-8", "surrogateescape")
        for pair in query.split("&"):
            key, _, value = pair.partition("=")
            if unquote_to_bytes(key.replace("+", " ")) == wanted:
                return unquote_to_bytes(value.replace("+", " "))
        return None

    @property
    def host(self) -> Optional[bytes]:
        """What the request is for, with its port; None where the client did not say (HTTP/1.0)."""
        if self._host is _UNREAD:
            self._host = self.header("host")
        return self._host  # type: ignore[return-value]

    @property
    def hostname(self) -> Optional[bytes]:
        """The host without its port: ``a`` of ``a:80``, ``[::1]`` of ``[::1]:80``.

        An address such as ``::1``, which must have brackets to be followed by a port, is left.
        """
        host = self.host
        return None if host is None else without_port(host)

    def header(self, name: str) -> Optional[bytes]:
        """The first line of the field, whose name matches in any case."""
        lines = self._head.header(_contract.text(name))
        return lines[0] if lines else None

    def header_str(self, name: str) -> Optional[str]:
        """The same as text; None where it is not UTF-8, too."""
        value = self.header(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None

    def header_lines(self, name: str) -> List[bytes]:
        """Every line of the field, in the order received."""
        return self._head.header(_contract.text(name))

    def headers(self) -> List[Tuple[str, bytes]]:
        """Every field line, names in lower case, lines of one name together."""
        return self._head.headers()

    def cookie(self, name: str) -> Optional[bytes]:
        """The value of the first cookie of that name, whose case counts (RFC 6265, section 4.2)."""
        wanted = name.encode("utf-8", "surrogateescape") + b"="
        for line in self._head.header("cookie"):
            for pair in line.split(b";"):
                pair = pair.strip(b" \t\r\n\f")
                if pair.startswith(wanted):
                    return pair[len(wanted) :]
        return None

    @property
    def client(self) -> Client:
        """The peer that sent the request."""
        return self._head.client()

    @property
    def tls(self) -> Optional[Tls]:
        """Facts of the TLS session; None for a request in the clear."""
        return self._head.tls()

    @property
    def attempt(self) -> int:
        """How many backends were tried before this call."""
        return self._head.attempt()

    def set_header(self, name: str, value: Union[str, bytes]) -> None:
        """Replaces every line of the field by one, in what the backend receives."""
        self._edit(self._head.set_header, _contract.text(name), _contract.octets(value))

    def append_header(self, name: str, value: Union[str, bytes]) -> None:
        """Adds a line after those that are there. ``host``, of which there is one, is forbidden."""
        self._edit(self._head.append_header, _contract.text(name), _contract.octets(value))

    def remove_header(self, name: str) -> None:
        """Removes every line of the field. ``host`` is forbidden."""
        self._edit(self._head.remove_header, _contract.text(name))

    def set_path_with_query(self, value: str) -> None:
        """Sets the target, in origin form."""
        self._edit(self._head.set_path_with_query, _contract.text(value))

    @staticmethod
    def _edit(edit, *arguments) -> None:
        try:
            edit(*arguments)
        except _contract.Err as error:
            if isinstance(error.value, _contract.request.EditError_Forbidden):
                raise EditError("a field that only the proxy may set") from None
            raise EditError("not a field or target that HTTP allows") from None


def without_port(value: bytes) -> bytes:
    """A host without its port."""
    if value.startswith(b"["):
        end = value.find(b"]") + 1
        return value[:end] if end and value[end : end + 1] == b":" else value
    host, colon, rest = value.partition(b":")
    return host if colon and b":" not in rest else value
