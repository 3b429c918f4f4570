"""Tests of a plugin without the proxy: native, in memory, with the same glue code.

    plugin = testing.configure(Plugin, {"backend": "a"}, backends=["a"])
    request = testing.request("/", headers=[("cookie", "canary=1")])
    assert plugin.route(request) == pointsman.backend("a")

Questions are answered as in the proxy, with two exceptions: the test chooses the shares that
requests are in, by the salts of the shares, and regular expressions are those of ``re``.
"""

import json
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Union

from pointsman import _contract
from pointsman.testing._backends import Backend, made
from pointsman.testing._head import Certificate, Head
from pointsman.testing._questions import Definitions

lines: List[Tuple[Any, str]] = []
"""Lines logged since the last plugin was configured: level and message."""

request = Head
"""Makes a request: ``request("/a?b=c", headers=[("host", "a")])``."""


class Refused(Exception):
    """The contract's error, from ``configure`` or ``route``."""


class Configured:
    """A configured plugin, called in the same way as by the proxy."""

    def __init__(
        self,
        plugin: Any,
        backends: Dict[str, Backend],
        tables: Mapping[str, Mapping[str, Union[str, bytes]]],
        shares: Iterable[str],
    ) -> None:
        self.cacheable = False
        self.backends = backends
        """The backends that the plugin sees. A test can change them at any time."""
        self.shares: Set[str] = set(shares)
        """Salts of the shares that requests are in, unless a request has its own."""
        self._plugin = plugin
        self._definitions = Definitions(backends, tables)

    def set_usable(self, name: str, usable: bool) -> None:
        """Makes every server of a backend usable or not usable."""
        for server in self.backends[name].servers:
            server.usable = usable

    def route(self, head: Head) -> Any:
        """Returns the plugin's decision; raises ``Refused`` if the plugin returns an error.

        Anything that would trap in the proxy raises ``AssertionError``.
        """
        self._install()
        head._enter(self._definitions, self.shares)
        try:
            return self._plugin.route(head)
        except _contract.Err as error:
            raise Refused(error.value) from None
        finally:
            head._leave()

    def _configure(self, config: Any) -> None:
        self._install()
        self._definitions.install()
        try:
            cacheability = self._plugin.configure(json.dumps({} if config is None else config))
        except _contract.Err as error:
            raise Refused(error.value) from None
        self.cacheable = cacheability is _contract.plugin.Cacheability.CACHEABLE

    def _install(self) -> None:
        """Replaces the contract's functions with this double."""
        _contract.backends.names = lambda: list(self.backends)
        _contract.backends.state = lambda name: _of(self.backends.get(name), Backend.state)
        _contract.backends.servers = lambda name: _of(self.backends.get(name), Backend.copies)
        _contract.log.write = lambda level, message: lines.append((level, message))


def configure(
    plugin: Any,
    config: Any = None,
    backends: Union[Iterable[str], Mapping[str, Iterable[str]]] = (),
    tables: Optional[Mapping[str, Mapping[str, Union[str, bytes]]]] = None,
    shares: Iterable[str] = (),
) -> Configured:
    """Configures a plugin in a proxy with these backends and tables.

    ``backends`` contains names, each of a backend with one idle server of the same name, or maps
    each name to the names of the backend's servers. Requests are in the shares with the salts
    ``shares``.
    """
    lines.clear()
    configured = Configured(plugin._again()(), made(backends), tables or {}, shares)
    configured._configure(config)
    return configured


def _of(backend: Optional[Backend], read: Any) -> Any:
    return None if backend is None else read(backend)


__all__ = [
    "Backend",
    "Certificate",
    "Configured",
    "Head",
    "Refused",
    "configure",
    "lines",
    "request",
]
