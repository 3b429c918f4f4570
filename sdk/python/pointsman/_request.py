"""The request whose route is being decided.

Each read crosses the sandbox, and becomes part of the key under which the decision is cached.
Method, host, path and target cross once.
"""

from datetime import timedelta
from typing import Any, Callable, List, Optional, Tuple, TypeVar, Union

from pointsman import _contract
from pointsman.questions import Question, ValueQuestion

A = TypeVar("A")

_MILLISECOND = timedelta(milliseconds=1)
_MAX_TRIES = 16


class EditError(Exception):
    """The proxy refuses an edit, and says why.

    If ``route`` does not catch it, it is the plugin's fault, as any other exception is.
    """


class Request:
    """A request head, read lazily. It can be used until ``route`` returns.

    Values of fields are octets, which need not be UTF-8. Reads show the request as it was admitted,
    without edits. Edits and options take effect only if ``route`` does not respond by itself;
    edits of the response always do.
    """

    __slots__ = ("_head", "_host", "_method", "_path", "_target")

    def __init__(self, head: "_contract.request.RequestHead") -> None:
        self._head = head
        self._method: Optional[str] = None
        self._host: Optional[str] = None
        self._path: Optional[str] = None
        self._target: Optional[str] = None

    def ask(self, question: Question[A]) -> A:
        """The answer to a question that was defined in the router's constructor."""
        if not isinstance(question, Question):
            raise TypeError(f"not a question: {question!r}")
        return question._ask(self._head)

    def ask_str(self, question: ValueQuestion) -> Optional[str]:
        """The same as text; None also if it is not UTF-8."""
        _number(question)
        return _text(self.ask(question))

    @property
    def method(self) -> str:
        """As sent, for example ``GET``."""
        if self._method is None:
            self._method = self._head.method()
        return self._method

    @property
    def scheme(self) -> str:
        """``http`` or ``https``; a trusted proxy's ``X-Forwarded-Proto`` counts."""
        return self._head.scheme()

    @property
    def version(self) -> Optional[str]:
        """``1.0``, ``1.1``, ``2`` or ``3``; None for a connection without HTTP."""
        return self._head.version()

    @property
    def authority(self) -> bytes:
        """The host as sent, with its port if it has one; empty if there is none."""
        return self._head.authority()

    @property
    def host(self) -> str:
        """The host in lower case, without port and trailing dot."""
        if self._host is None:
            self._host = self._head.host()
        return self._host

    @property
    def path_with_query(self) -> str:
        """The target in origin form, for example ``/a?b=c``; ``*`` for ``OPTIONS *``."""
        if self._target is None:
            self._target = self._head.path_with_query()
        return self._target

    @property
    def path(self) -> str:
        """The path alone, as sent."""
        if self._path is None:
            self._path = self._head.path()
        return self._path

    @property
    def query(self) -> Optional[str]:
        """What follows the first ``?`` of the target. Reads the whole target."""
        _, mark, query = self.path_with_query.partition("?")
        return query if mark else None

    def query_parameter(self, name: str) -> Optional[bytes]:
        """First value of a query parameter; ``%XX`` decoded once, ``+`` read as a blank."""
        return self._head.query_parameter(_contract.text(name))

    def header(self, name: str) -> Optional[bytes]:
        """The first line of the field, whose name matches in any case."""
        lines = self._head.header(_contract.text(name))
        return lines[0] if lines else None

    def header_str(self, name: str) -> Optional[str]:
        """The same as text; None also if it is not UTF-8."""
        return _text(self.header(name))

    def header_lines(self, name: str) -> List[bytes]:
        """Every line of the field, in the order received."""
        return self._head.header(_contract.text(name))

    def headers(self) -> List[Tuple[str, bytes]]:
        """Every field line in the order received, names as sent."""
        return self._head.headers()

    def cookie(self, name: str) -> Optional[bytes]:
        """The value of one cookie."""
        return self._head.cookie(_contract.text(name))

    @property
    def client_address(self) -> str:
        """Address of the client in text form; empty for a client on a Unix socket."""
        return self._head.client_address()

    @property
    def client_port(self) -> int:
        """Port of the peer, 0 for a Unix socket. It differs for each connection."""
        return self._head.client_port()

    @property
    def server_name(self) -> Optional[str]:
        """Server name of the TLS session (SNI), in lower case."""
        return self._head.server_name()

    @property
    def alpn(self) -> Optional[str]:
        """Protocol agreed by ALPN, for example ``h2``."""
        return self._head.alpn()

    @property
    def client_certificate_subject(self) -> Optional[str]:
        """Of the verified client certificate, as all that follow: None without one."""
        return self._head.client_certificate_subject()

    @property
    def client_certificate_issuer(self) -> Optional[str]:
        """A distinguished name (RFC 4514), as the subject is."""
        return self._head.client_certificate_issuer()

    @property
    def client_certificate_names(self) -> List[str]:
        """DNS names and URIs of the certificate."""
        return self._head.client_certificate_names()

    @property
    def client_certificate_serial(self) -> Optional[str]:
        """In hex."""
        return self._head.client_certificate_serial()

    @property
    def client_certificate_sha256(self) -> Optional[str]:
        """SHA-256 of the certificate, in hex."""
        return self._head.client_certificate_sha256()

    @property
    def client_certificate_not_after(self) -> Optional[int]:
        """Seconds since 1970."""
        return self._head.client_certificate_not_after()

    @property
    def attempt(self) -> int:
        """Number of choices for this request that failed before this call; 0 at first."""
        return self._head.attempt()

    @property
    def body_prefix(self) -> Optional[bytes]:
        """The part of the body that had arrived; None unless the frontend waits for it.

        A decision that reads it is not cached.
        """
        return self._head.body_prefix()

    @property
    def body_is_complete(self) -> bool:
        """Whether ``body_prefix`` is the whole body."""
        return self._head.body_is_complete()

    def set_header(self, name: str, value: Union[str, bytes]) -> None:
        """Replaces every line of the field by one."""
        _edit(self._head.set_header, _contract.text(name), _contract.octets(value))

    def set_header_by(self, name: str, question: ValueQuestion) -> None:
        """The same with a question's answer; removes the field if there is none."""
        _edit(self._head.set_header_by, _contract.text(name), _number(question))

    def append_header(self, name: str, value: Union[str, bytes]) -> None:
        """Adds one line after those that are there."""
        _edit(self._head.append_header, _contract.text(name), _contract.octets(value))

    def remove_header(self, name: str) -> None:
        """Removes every line of the field."""
        _edit(self._head.remove_header, _contract.text(name))

    def set_authority(self, value: Union[str, bytes]) -> None:
        """Replaces the Host (HTTP/2: ``:authority``) that the server sees."""
        _edit(self._head.set_authority, _contract.octets(value))

    def set_path_with_query(self, value: str) -> None:
        """Replaces the target by another in origin form."""
        _edit(self._head.set_path_with_query, _contract.text(value))

    def replace_path_prefix(self, length: int, replacement: str) -> None:
        """Replaces the first ``length`` bytes of the path; the rest and the query stay.

        Done for each request, so one decision serves every path below a prefix.
        """
        length = _contract.number(length, "the length of a prefix")
        _edit(self._head.replace_path_prefix, length, _contract.text(replacement))

    def set_response_header(self, name: str, value: Union[str, bytes]) -> None:
        """Replaces every line of the field in the response, whoever makes it."""
        _edit(self._head.set_response_header, _contract.text(name), _contract.octets(value))

    def append_response_header(self, name: str, value: Union[str, bytes]) -> None:
        """Adds one line to the response."""
        _edit(self._head.append_response_header, _contract.text(name), _contract.octets(value))

    def remove_response_header(self, name: str) -> None:
        """Removes every line of the field from the response."""
        _edit(self._head.remove_response_header, _contract.text(name))

    def set_affinity(self, key: Union[str, bytes]) -> None:
        """Sends requests with the same key to the same server while it is usable."""
        self._head.set_affinity(_contract.octets(key))

    def set_affinity_by(self, question: ValueQuestion) -> None:
        """The same with a question's answer as the key."""
        self._head.set_affinity_by(_number(question))

    def set_queue_timeout(self, timeout: timedelta) -> None:
        """Overrides the backend's timeout of this name; 0 does not wait for a slot."""
        self._head.set_queue_timeout(_milliseconds(timeout, 0))

    def set_connect_timeout(self, timeout: timedelta) -> None:
        """Overrides the backend's timeout of this name."""
        self._head.set_connect_timeout(_milliseconds(timeout, 1))

    def set_server_timeout(self, timeout: timedelta) -> None:
        """Overrides the backend's timeout of this name."""
        self._head.set_server_timeout(_milliseconds(timeout, 1))

    def set_tunnel_timeout(self, timeout: timedelta) -> None:
        """Overrides the backend's timeout of this name."""
        self._head.set_tunnel_timeout(_milliseconds(timeout, 1))

    def set_tries(self, tries: int) -> None:
        """How often the request may be sent in all, 1 to 16, where that is safe."""
        self._head.set_tries(_contract.number(tries, "the number of tries", 1, _MAX_TRIES))

    def tag(self, name: str, value: str) -> None:
        """A name and a value for the access record and the trace: at most 16, of 256 bytes."""
        self._head.tag(_contract.text(name), _contract.text(value))

    def tag_by(self, name: str, question: ValueQuestion) -> None:
        """The same with a question's answer as the value."""
        self._head.tag_by(_contract.text(name), _number(question))


def _text(value: Optional[bytes]) -> Optional[str]:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _edit(edit: Callable[..., None], *arguments: Any) -> None:
    try:
        edit(*arguments)
    except _contract.Err as error:
        raise EditError(error.value) from None


def _number(question: ValueQuestion) -> int:
    if not isinstance(question, ValueQuestion):
        raise TypeError(f"not a question whose answer is a value: {question!r}")
    return question.number


def _milliseconds(timeout: timedelta, least: int) -> int:
    """Rounded up, so that a short timeout is not 0."""
    milliseconds = -(-timeout // _MILLISECOND)
    return _contract.number(milliseconds, "a timeout in milliseconds", least)
