"""The request whose route is being decided.

Each read crosses the sandbox boundary, and becomes part of the key under which the decision is
cached. The method, host, path and target cross only once.
"""

from datetime import timedelta
from typing import Any, Callable, List, Optional, Tuple, TypeVar, Union

from pointsman import _contract
from pointsman.questions import Question, ValueQuestion

A = TypeVar("A")

_MILLISECOND = timedelta(milliseconds=1)
_MAX_TRIES = 16


class EditError(Exception):
    """An edit that the proxy refused, with the proxy's reason.

    If ``route`` does not catch it, it is a fault of the plugin, as any other exception is.
    """


class Request:
    """A request head, read lazily. It can be used until ``route`` returns.

    Field values are octets, which need not be UTF-8. Reads show the request as the proxy admitted
    it, without edits. Edits and options take effect only if ``route`` does not respond by itself;
    response edits and tags always do.
    """

    __slots__ = ("_head", "_host", "_method", "_path", "_target")

    def __init__(self, head: "_contract.request.RequestHead") -> None:
        self._head = head
        self._method: Optional[str] = None
        self._host: Optional[str] = None
        self._path: Optional[str] = None
        self._target: Optional[str] = None

    def ask(self, question: Question[A]) -> A:
        """Returns the answer to a question that was defined in the router's constructor."""
        if not isinstance(question, Question):
            raise TypeError(f"not a question: {question!r}")
        return question._ask(self._head)

    def ask_str(self, question: ValueQuestion) -> Optional[str]:
        """Like ``ask``, but returns text; also None if the answer is not UTF-8."""
        _number(question)
        return _text(self.ask(question))

    @property
    def method(self) -> str:
        """Returns the method as sent, for example ``GET`` (RFC 9110, section 9).

        Empty without HTTP (``mode = "tcp"``).
        """
        if self._method is None:
            self._method = self._head.method()
        return self._method

    @property
    def scheme(self) -> str:
        """Returns the scheme: ``http`` or ``https``.

        If a trusted proxy sends ``X-Forwarded-Proto``, its value is used.
        """
        return self._head.scheme()

    @property
    def version(self) -> Optional[str]:
        """Returns the HTTP version: ``1.0``, ``1.1``, ``2`` or ``3``.

        None without HTTP (``mode = "tcp"``).
        """
        return self._head.version()

    @property
    def authority(self) -> bytes:
        """Returns the authority as sent: the host, with the port if there is one.

        The scheme's default port is left out if the authority comes from an absolute target or from
        ``:authority``. Empty without HTTP, or if the client sent no authority (HTTP/1.0).
        """
        return self._head.authority()

    @property
    def host(self) -> str:
        """Returns the host of ``authority``, in lower case, without port or trailing dot.

        Without HTTP (``mode = "tcp"``), returns the server name of the TLS ``ClientHello``.
        """
        if self._host is None:
            self._host = self._head.host()
        return self._host

    @property
    def path_with_query(self) -> str:
        """Returns the target in origin form, for example ``/a?b=c``; ``*`` for ``OPTIONS *`` (RFC
        9112, section 3.2).

        Nothing is decoded.
        """
        if self._target is None:
            self._target = self._head.path_with_query()
        return self._target

    @property
    def path(self) -> str:
        """Returns the path as sent, without the query. Nothing is decoded."""
        if self._path is None:
            self._path = self._head.path()
        return self._path

    @property
    def query(self) -> Optional[str]:
        """Returns the text after the first ``?`` of the target, for example ``b=c``; None if there
        is no ``?``.

        Nothing is decoded. Reads the whole target; ``query_parameter`` reads less.
        """
        _, mark, query = self.path_with_query.partition("?")
        return query if mark else None

    def query_parameter(self, name: str) -> Optional[bytes]:
        """Returns the first value of the query parameter ``name``; None if there is no such
        parameter.

        ``%XX`` is decoded once, and ``+`` is read as a space.
        """
        return self._head.query_parameter(_contract.text(name))

    def header(self, name: str) -> Optional[bytes]:
        """Returns the value of the first line of the field ``name``; None if there is no such line.

        The name is case-insensitive.
        """
        lines = self._head.header(_contract.text(name))
        return lines[0] if lines else None

    def header_str(self, name: str) -> Optional[str]:
        """Like ``header``, but returns text; also None if the value is not UTF-8."""
        return _text(self.header(name))

    def header_lines(self, name: str) -> List[bytes]:
        """Returns the value of every line of the field ``name``, in the order received."""
        return self._head.header(_contract.text(name))

    def headers(self) -> List[Tuple[str, bytes]]:
        """Returns every field line in the order received, with names as sent."""
        return self._head.headers()

    def cookie(self, name: str) -> Optional[bytes]:
        """Returns the value of the cookie ``name``; None if there is no such cookie.

        The name is case-sensitive (RFC 6265, section 5.4).
        """
        return self._head.cookie(_contract.text(name))

    @property
    def client_address(self) -> str:
        """Returns the client's address: that of the peer, or the one given by the PROXY protocol or
        by a trusted proxy.

        It is in the text form of RFC 5952, without zone or port; an IPv4-mapped IPv6 address is
        given as IPv4. Empty for a client on a Unix socket.
        """
        return self._head.client_address()

    @property
    def client_port(self) -> int:
        """Returns the port of the peer, which differs for each connection.

        0 for a client on a Unix socket, or if a trusted proxy gives the client's address.
        """
        return self._head.client_port()

    @property
    def server_name(self) -> Optional[str]:
        """Returns the server name of the TLS session (SNI), in lower case.

        None if the proxy does not terminate TLS, or if the client sent no name.
        """
        return self._head.server_name()

    @property
    def alpn(self) -> Optional[str]:
        """Returns the protocol negotiated by ALPN, for example ``h2``; None if no protocol was
        negotiated.
        """
        return self._head.alpn()

    @property
    def client_certificate_subject(self) -> Optional[str]:
        """Returns the subject of the verified client certificate, a distinguished name (RFC 4514),
        for example ``CN=example.com,O=Example``.

        None without TLS, or if the client presented no certificate.
        """
        return self._head.client_certificate_subject()

    @property
    def client_certificate_issuer(self) -> Optional[str]:
        """Returns the issuer of the verified client certificate, a distinguished name (RFC 4514).

        None without a certificate.
        """
        return self._head.client_certificate_issuer()

    @property
    def client_certificate_names(self) -> List[str]:
        """Returns the DNS names and URIs (SPIFFE IDs, for example) of the verified client
        certificate, in the order of the certificate.

        Empty without a certificate.
        """
        return self._head.client_certificate_names()

    @property
    def client_certificate_serial(self) -> Optional[str]:
        """Returns the serial number of the verified client certificate, in hex.

        None without a certificate.
        """
        return self._head.client_certificate_serial()

    @property
    def client_certificate_sha256(self) -> Optional[str]:
        """Returns the SHA-256 of the verified client certificate, in hex.

        None without a certificate.
        """
        return self._head.client_certificate_sha256()

    @property
    def client_certificate_not_after(self) -> Optional[int]:
        """Returns the time at which the verified client certificate expires, in seconds since 1970.

        None without a certificate.
        """
        return self._head.client_certificate_not_after()

    @property
    def attempt(self) -> int:
        """Returns how many decisions for this request have failed before this call; 0 on the first
        call.
        """
        return self._head.attempt()

    @property
    def body_prefix(self) -> Optional[bytes]:
        """Returns the part of the body that had arrived when ``route`` was called; None unless the
        frontend waits for the body (``routing.body``).

        A decision that reads it is not cached.
        """
        return self._head.body_prefix()

    @property
    def body_is_complete(self) -> bool:
        """Reports whether ``body_prefix`` is the whole body."""
        return self._head.body_is_complete()

    def set_header(self, name: str, value: Union[str, bytes]) -> None:
        """Replaces every line of the field ``name`` with one line that has this value."""
        _edit(self._head.set_header, _contract.text(name), _contract.octets(value))

    def set_header_by(self, name: str, question: ValueQuestion) -> None:
        """Like ``set_header``, with the answer to ``question`` as the value.

        Removes the field if there is no answer, or if HTTP does not allow the answer as a field
        value.
        """
        _edit(self._head.set_header_by, _contract.text(name), _number(question))

    def append_header(self, name: str, value: Union[str, bytes]) -> None:
        """Adds one line of the field ``name``, after any existing lines."""
        _edit(self._head.append_header, _contract.text(name), _contract.octets(value))

    def remove_header(self, name: str) -> None:
        """Removes every line of the field ``name``."""
        _edit(self._head.remove_header, _contract.text(name))

    def set_authority(self, value: Union[str, bytes]) -> None:
        """Replaces the Host (HTTP/2: ``:authority``) that the server sees."""
        _edit(self._head.set_authority, _contract.octets(value))

    def set_path_with_query(self, value: str) -> None:
        """Replaces the target with another one in origin form, for example ``/a?b=c``."""
        _edit(self._head.set_path_with_query, _contract.text(value))

    def replace_path_prefix(self, length: int, replacement: str) -> None:
        """Replaces the first ``length`` bytes of the path; the rest of the path and the query stay
        unchanged.

        The proxy does this for each request, so one cached decision serves every path below a
        prefix. The new path begins with ``/``; the proxy adds the slash if it is missing.
        """
        length = _contract.number(length, "the length of a prefix")
        _edit(self._head.replace_path_prefix, length, _contract.text(replacement))

    def set_response_header(self, name: str, value: Union[str, bytes]) -> None:
        """Replaces every line of the field ``name`` in the final response with one line that has
        this value.

        Response edits apply to every final response, whether a server, a plugin or the proxy itself
        makes it, but not to interim responses.
        """
        _edit(self._head.set_response_header, _contract.text(name), _contract.octets(value))

    def append_response_header(self, name: str, value: Union[str, bytes]) -> None:
        """Adds one line of the field ``name`` to the final response."""
        _edit(self._head.append_response_header, _contract.text(name), _contract.octets(value))

    def remove_response_header(self, name: str) -> None:
        """Removes every line of the field ``name`` from the final response."""
        _edit(self._head.remove_response_header, _contract.text(name))

    def set_affinity(self, key: Union[str, bytes]) -> None:
        """Sends requests with the same key to the same server while that server is usable.

        Only the first 4 KiB of the key count.
        """
        self._head.set_affinity(_contract.octets(key))

    def set_affinity_by(self, question: ValueQuestion) -> None:
        """Like ``set_affinity``, with the answer to ``question`` as the key."""
        self._head.set_affinity_by(_number(question))

    def set_queue_timeout(self, timeout: timedelta) -> None:
        """Sets the longest wait for a free slot, in place of the backend's ``timeout.queue``.

        0 means not to wait.
        """
        self._head.set_queue_timeout(_milliseconds(timeout, 0))

    def set_connect_timeout(self, timeout: timedelta) -> None:
        """Sets the longest time to connect to a server, in place of the backend's
        ``timeout.connect``.

        Must be above 0.
        """
        self._head.set_connect_timeout(_milliseconds(timeout, 1))

    def set_server_timeout(self, timeout: timedelta) -> None:
        """Sets how long the server can be silent, in place of the backend's ``timeout.server``.

        Must be above 0.
        """
        self._head.set_server_timeout(_milliseconds(timeout, 1))

    def set_tunnel_timeout(self, timeout: timedelta) -> None:
        """Sets how long a tunnel that starts with this request can be silent, in place of the
        backend's ``timeout.tunnel``.

        Must be above 0.
        """
        self._head.set_tunnel_timeout(_milliseconds(timeout, 1))

    def set_tries(self, tries: int) -> None:
        """Sets how many times the request can be sent in total, 1 to 16.

        The request is sent again only if that is safe.
        """
        self._head.set_tries(_contract.number(tries, "the number of tries", 1, _MAX_TRIES))

    def tag(self, name: str, value: str) -> None:
        """Adds a name and a value to the access log record and to the trace, but never to a
        metric's labels.

        A request can have at most 16 tags. A value is truncated to 256 bytes.
        """
        self._head.tag(_contract.text(name), _contract.text(value))

    def tag_by(self, name: str, question: ValueQuestion) -> None:
        """Like ``tag``, with the answer to ``question`` as the value."""
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
    """Returns whole milliseconds, rounded up so that a short timeout does not become 0."""
    milliseconds = -(-timeout // _MILLISECOND)
    return _contract.number(milliseconds, "a timeout in milliseconds", least)
