"""What the proxy knows about its backends.

To ask while routing makes that decision uncacheable. While a plugin is configured, every server
counts as usable, and nothing is in progress.
"""

from typing import Optional

from pointsman import _contract

State = _contract.backends.BackendState
"""``usable_servers``, ``active`` (requests and tunnels), ``queued``."""


def state(name: str) -> Optional[State]:
    """The load of a backend; None where the proxy's configuration has no such."""
    return _contract.backends.state(_contract.text(name))


def exists(name: str) -> bool:
    """Whether the proxy's configuration has a backend of this name."""
    return state(name) is not None
