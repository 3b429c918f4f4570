"""The glue between a router and the contract.

Exceptions end here: each is written to the proxy's log with its traceback, and becomes the
contract's error. The instance stays of use, for Python's state is whole after one.
"""

import traceback
from typing import Any, Optional, Type

from pointsman import _contract, log
from pointsman._config import ConfigError, parse
from pointsman._request import Request


def plugin(router: Type[Any], config: Optional[Type[Any]] = None) -> Type[Any]:
    """Makes the class that a component exports: ``Plugin = plugin(MyRouter, MyConfig)``.

    ``router`` is called with its configuration, an instance of the dataclass ``config``; without
    anything where there is none. Its attribute ``cacheable`` says whether a decision follows from
    the configuration and from what was read of the request alone; it is False where it is missing.
    """
    # The contract has one plugin in an instance, which lives as long as that.
    route = None

    class Plugin(_contract.exports.Plugin):
        def configure(self, config_text: str) -> "_contract.plugin.Cacheability":
            nonlocal route
            try:
                parsed = parse(config_text, config)
                made = router() if config is None else router(parsed)
                route = made.route
            except ConfigError as error:
                raise _contract.Err(str(error)) from None
            except Exception as error:
                raise _told(error) from None
            if getattr(made, "cacheable", False):
                return _contract.plugin.Cacheability.CACHEABLE
            return _contract.plugin.Cacheability.UNCACHEABLE

        def route(self, head: "_contract.request.RequestHead") -> _contract.Decision:
            try:
                return route(Request(head))
            except Exception as error:
                raise _told(error) from None
            finally:
                # An exception's traceback would keep the handle alive.
                head.__exit__(None, None, None)

    return Plugin


def _told(error: Exception) -> Exception:
    """The contract's error for an exception, whose traceback is in the log by then."""
    log.error("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    last = traceback.format_exception_only(type(error), error)[-1]
    return _contract.Err(last.strip())
