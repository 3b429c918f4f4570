"""Decisions.

The proxy checks them. Only values that could not cross the sandbox are checked here.
"""

from typing import Iterable, Tuple, Union

from pointsman import _contract
from pointsman._contract import Decision

Fallback = _contract.plugin.Fallback
"""Fallback if the chosen server is not usable.

``ANOTHER_SERVER`` sends the request to another server of the backend. ``ASK_AGAIN`` calls ``route``
again with the next ``attempt``.
"""

_DEFAULT = _contract.plugin.Decision_DefaultBackend()
_NEXT = _contract.plugin.Decision_Next()


def backend(name: str) -> Decision:
    """Sends the request to the backend ``name``.

    A name that is not in the proxy's configuration is a fault of the plugin.
    """
    return _contract.plugin.Decision_Backend(_contract.text(name))


def default_backend() -> Decision:
    """Sends the request to the frontend's ``default_backend``."""
    return _DEFAULT


def next() -> Decision:
    """Leaves the decision to the next plugin of the frontend's router, with the edits and options
    so far.

    After the last plugin, the request goes to the frontend's ``default_backend``.
    """
    return _NEXT


def server(backend: str, server: str, otherwise: Fallback = Fallback.ANOTHER_SERVER) -> Decision:
    """Sends the request to one server of a backend.

    ``otherwise`` says what happens if that server is not usable.
    """
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
    """Responds without a backend: the proxy sends this response, whose status is 200 to 599."""
    status = _contract.number(status, "a status", 200, 599)
    lines = [(_contract.text(name), _contract.octets(value)) for name, value in headers]
    response = _contract.plugin.Response(status, lines, _contract.octets(body))
    return _contract.plugin.Decision_Respond(response)


def redirect(status: int, location: Union[str, bytes]) -> Decision:
    """Redirects the client to ``location`` with status 301, 302, 303, 307 or 308 (RFC 9110, section
    15.4).
    """
    return respond(status, [("location", location)])
