"""Decisions. The proxy checks them; only what could not cross the sandbox is checked here."""

from typing import Iterable, Tuple, Union

from pointsman import _contract
from pointsman._contract import Decision

Fallback = _contract.plugin.Fallback
"""What happens if a chosen server is not usable: ``ANOTHER_SERVER`` of the backend, or
``ASK_AGAIN``, which calls ``route`` with the next ``attempt``."""

_DEFAULT = _contract.plugin.Decision_DefaultBackend()
_NEXT = _contract.plugin.Decision_Next()


def backend(name: str) -> Decision:
    """To the backend of this name. A name that the configuration does not have is a fault."""
    return _contract.plugin.Decision_Backend(_contract.text(name))


def default_backend() -> Decision:
    """To the frontend's ``default_backend``."""
    return _DEFAULT


def next() -> Decision:
    """Not for this plugin: the router's next one decides, after the last the ``default_backend``.

    Edits and options stay.
    """
    return _NEXT


def server(backend: str, server: str, otherwise: Fallback = Fallback.ANOTHER_SERVER) -> Decision:
    """To one server of a backend, or ``otherwise`` if it is not usable."""
    if not isinstance(otherwise, Fallback):
        raise TypeError(f"not a Fallback: {otherwise!r}")
    choice = _contract.plugin.ServerChoice(
        _contract.text(backend), _contract.text(server), otherwise
    )
    return _contract.plugin.Decision_Server(choice)


def respond(
    status: int,
    headers: Iterable[Tuple[str, Union[str, bytes]]] = (),
    body: Union[str, bytes] = b"",
) -> Decision:
    """To no backend: the proxy sends this response. The status is within 200 to 599."""
    status = _contract.number(status, "a status", 200, 599)
    lines = [(_contract.text(name), _contract.octets(value)) for name, value in headers]
    response = _contract.plugin.Response(status, lines, _contract.octets(body))
    return _contract.plugin.Decision_Respond(response)


def redirect(status: int, location: Union[str, bytes]) -> Decision:
    """To another address: the status is 301, 302, 303, 307 or 308 (RFC 9110, section 15.4)."""
    return respond(status, [("location", location)])
