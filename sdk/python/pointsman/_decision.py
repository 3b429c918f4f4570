"""What a plugin answers. Whether it is valid is for the proxy to judge."""

from typing import Iterable, Tuple, Union

from pointsman import _contract
from pointsman._contract import Decision

_DEFAULT = _contract.plugin.Decision_DefaultBackend()


def backend(name: str) -> Decision:
    """To the backend of this name. One that the configuration has not is a fault."""
    return _contract.plugin.Decision_Backend(_contract.text(name))


def default_backend() -> Decision:
    """To the frontend's ``default_backend``."""
    return _DEFAULT


def respond(
    status: int,
    headers: Iterable[Tuple[str, Union[str, bytes]]] = (),
    body: Union[str, bytes] = b"",
) -> Decision:
    """To no backend: the proxy sends this response. The status is within 200 to 599."""
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"not a status from 200 to 599: {status!r}")
    lines = [(_contract.text(name), _contract.octets(value)) for name, value in headers]
    response = _contract.plugin.Response(status, lines, _contract.octets(body))
    return _contract.plugin.Decision_Respond(response)


def redirect(status: int, location: Union[str, bytes]) -> Decision:
    """Elsewhere: the status is 301, 302, 303, 307 or 308 (RFC 9110, section 15.4)."""
    return respond(status, [("location", location)])
