"""A request head in memory."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import AbstractSet, Any, Dict, Iterable, List, NoReturn, Optional, Set, Tuple, Union

from pointsman import _contract
from pointsman.testing import _parts, _syntax
from pointsman.testing._questions import Definitions, Trap


@dataclass
class Certificate:
    """The facts of a verified client certificate."""

    subject: Optional[str] = None
    issuer: Optional[str] = None
    names: List[str] = field(default_factory=list)
    serial: Optional[str] = None
    sha256: Optional[str] = None
    not_after: Optional[int] = None


class Head:
    """A request, and the effects of a plugin on it.

    ``version=None`` makes a connection without HTTP: its host is ``server_name``, and its head has
    nothing else to read.

    ``edits`` and ``response_edits`` are the edits in the order made, such as ``("set", "x-a",
    b"1")``. ``options`` contains the last value of each option: ``affinity`` as octets, ``tries``,
    and ``queue_timeout`` and the other timeouts as ``timedelta``. ``tags`` contains the values of
    tags. If the answer to a question was used, the answer is recorded.
    """

    def __init__(
        self,
        target: str = "/",
        method: str = "GET",
        headers: Iterable[Tuple[str, Union[str, bytes]]] = (),
        *,
        scheme: Optional[str] = None,
        version: Optional[str] = "1.1",
        client_address: str = "127.0.0.1",
        client_port: int = 49152,
        server_name: Optional[str] = None,
        alpn: Optional[str] = None,
        client_certificate: Optional[Certificate] = None,
        attempt: int = 0,
        body: Union[str, bytes, None] = None,
        body_is_complete: bool = True,
        shares: Optional[Iterable[str]] = None,
    ) -> None:
        secure = server_name is not None or alpn is not None or client_certificate is not None
        self._version = version
        self._method, self._target = (method, target) if version else ("", "")
        self._scheme = scheme or ("https" if secure else "http")
        self._client_address, self._client_port = client_address, client_port
        self._server_name, self._alpn, self._attempt = server_name, alpn, attempt
        self._certificate = client_certificate or Certificate()
        self._body = None if body is None else _contract.octets(body)
        self._body_is_complete = body is not None and body_is_complete
        # Blanks around a value are not part of it (RFC 9110, section 5.5).
        self._lines = [
            (name, _contract.octets(value).strip(_parts.BLANKS))
            for name, value in (headers if version else ())
        ]
        self._own_shares = None if shares is None else set(shares)
        self.shares: AbstractSet[str] = self._own_shares or set()
        self._definitions: Optional[Definitions] = None
        self._trap: Optional[Trap] = None
        self.edits: List[Tuple[Any, ...]] = []
        self.response_edits: List[Tuple[Any, ...]] = []
        self.options: Dict[str, Any] = {}
        self.tags: Dict[str, str] = {}

    def _enter(self, definitions: Definitions, shares: Set[str]) -> None:
        self._definitions = definitions
        self.shares = shares if self._own_shares is None else self._own_shares

    def _leave(self) -> None:
        trap, self._trap = self._trap, None
        if trap is not None:
            raise trap

    def method(self) -> str:
        return self._method

    def scheme(self) -> str:
        return self._scheme

    def version(self) -> Optional[str]:
        return self._version

    def authority(self) -> bytes:
        return next(iter(self.header("host")), b"")

    def host(self) -> str:
        return _parts.host(self.authority()) if self._version else self._server_name or ""

    def path_with_query(self) -> str:
        return self._target

    def path(self) -> str:
        return self._target.partition("?")[0]

    def query_parameter(self, name: str) -> Optional[bytes]:
        return _parts.query_parameter(self._target, name)

    def header(self, name: str) -> List[bytes]:
        name = name.lower()
        return [value for known, value in self._lines if known.lower() == name]

    def headers(self) -> List[Tuple[str, bytes]]:
        return list(self._lines)

    def cookie(self, name: str) -> Optional[bytes]:
        return _parts.cookie(self.header("cookie"), name)

    def client_address(self) -> str:
        return self._client_address

    def client_port(self) -> int:
        return self._client_port

    def server_name(self) -> Optional[str]:
        return self._server_name

    def alpn(self) -> Optional[str]:
        return self._alpn

    def client_certificate_subject(self) -> Optional[str]:
        return self._certificate.subject

    def client_certificate_issuer(self) -> Optional[str]:
        return self._certificate.issuer

    def client_certificate_names(self) -> List[str]:
        return list(self._certificate.names)

    def client_certificate_serial(self) -> Optional[str]:
        return self._certificate.serial

    def client_certificate_sha256(self) -> Optional[str]:
        return self._certificate.sha256

    def client_certificate_not_after(self) -> Optional[int]:
        return self._certificate.not_after

    def attempt(self) -> int:
        return self._attempt

    def body_prefix(self) -> Optional[bytes]:
        return self._body

    def body_is_complete(self) -> bool:
        return self._body_is_complete

    def ask(self, question: int) -> Optional[int]:
        return self._answer(question, is_value=False)

    def ask_value(self, question: int) -> Optional[bytes]:
        return self._answer(question, is_value=True)

    def _answer(self, question: int, is_value: bool) -> Any:
        if self._definitions is None:
            self._end(Trap(f"question {question} was not defined"))
        try:
            found = self._definitions.find(question, is_value)
        except Trap as trap:
            self._end(trap)
        return found.answer(self)

    def _end(self, trap: Trap) -> NoReturn:
        """Fails the test, whatever the plugin catches."""
        self._trap = trap
        raise trap

    def _edit(self, edits: List[Tuple[Any, ...]], *edit: Any) -> None:
        if not self._version:
            raise _contract.Err("a connection without HTTP has nothing to edit")
        edits.append(edit)

    def set_header(self, name: str, value: bytes) -> None:
        self._edit(self.edits, "set", _syntax.field(name), _syntax.value(name, value))

    def set_header_by(self, name: str, question: int) -> None:
        value = self.ask_value(question)
        if value is None or not _syntax.is_value(value):
            self.remove_header(name)
        else:
            self.set_header(name, value)

    def append_header(self, name: str, value: bytes) -> None:
        self._edit(self.edits, "append", _syntax.field(name), _syntax.value(name, value))

    def remove_header(self, name: str) -> None:
        self._edit(self.edits, "remove", _syntax.field(name))

    def set_authority(self, value: bytes) -> None:
        self._edit(self.edits, "authority", _syntax.authority(value))

    def set_path_with_query(self, value: str) -> None:
        self._edit(self.edits, "path-with-query", _syntax.target(value))

    def replace_path_prefix(self, length: int, replacement: str) -> None:
        self._edit(self.edits, "replace-path-prefix", length, _syntax.path_prefix(replacement))

    def set_response_header(self, name: str, value: bytes) -> None:
        self._edit(self.response_edits, "set", _syntax.field(name), _syntax.value(name, value))

    def append_response_header(self, name: str, value: bytes) -> None:
        self._edit(self.response_edits, "append", _syntax.field(name), _syntax.value(name, value))

    def remove_response_header(self, name: str) -> None:
        self._edit(self.response_edits, "remove", _syntax.field(name))

    def set_affinity(self, key: bytes) -> None:
        self.options["affinity"] = key

    def set_affinity_by(self, question: int) -> None:
        key = self.ask_value(question)
        self.options.pop("affinity", None)
        if key is not None:
            self.options["affinity"] = key

    def set_queue_timeout(self, milliseconds: int) -> None:
        self.options["queue_timeout"] = timedelta(milliseconds=milliseconds)

    def set_connect_timeout(self, milliseconds: int) -> None:
        self.options["connect_timeout"] = timedelta(milliseconds=milliseconds)

    def set_server_timeout(self, milliseconds: int) -> None:
        self.options["server_timeout"] = timedelta(milliseconds=milliseconds)

    def set_tunnel_timeout(self, milliseconds: int) -> None:
        self.options["tunnel_timeout"] = timedelta(milliseconds=milliseconds)

    def set_tries(self, tries: int) -> None:
        self.options["tries"] = tries

    def tag(self, name: str, value: str) -> None:
        if not _syntax.is_token(name):
            self._end(Trap(f"{name!r} is not the name of a tag"))
        self.tags[name] = value

    def tag_by(self, name: str, question: int) -> None:
        value = self.ask_value(question)
        if value is not None:
            self.tag(name, value.decode(errors="replace"))

    def __exit__(self, *_: Any) -> None:
        pass
