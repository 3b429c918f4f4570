"""The glue between a router and the contract.

No exception leaves this module: each is written to the proxy's log with its traceback, and becomes
the contract's error. The instance continues to work, since an exception leaves Python's own state
intact.
"""

from traceback import walk_tb
from typing import Any, List, Optional, Type, get_args

from pointsman import _contract, log, questions
from pointsman._config import ConfigError, parse
from pointsman._request import Request

_DECISIONS = frozenset(get_args(_contract.Decision))
# A traceback is cut here, since an endless recursion has a thousand frames, all alike.
_MAX_FRAMES = 30


def plugin(router: Type[Any], config: Optional[Type[Any]] = None) -> Type[Any]:
    """Makes the class that a component exports: ``Plugin = plugin(MyRouter, MyConfig)``.

    ``router`` is called with its configuration, an instance of the dataclass ``config``, or without
    an argument if ``config`` is None. Define questions in its constructor. The router's attribute
    ``cacheable`` says whether a decision depends only on the configuration, on the parts of the
    request that were read and on the answers to questions. The default is False.
    """
    # The contract has one plugin per instance, for the lifetime of the instance.
    route = None

    class Plugin(_contract.exports.Plugin):
        # Tests configure a plugin more than once.
        _again = staticmethod(lambda: plugin(router, config))

        def configure(self, config_text: str) -> "_contract.plugin.Cacheability":
            nonlocal route
            questions._defining = True
            try:
                parsed = parse(config_text, config)
                made = router() if config is None else router(parsed)
                route = made.route
            except ConfigError as error:
                raise _contract.Err(log.text(str(error))) from None
            except BaseException as error:
                raise _reported(error) from None
            finally:
                questions._defining = False
            if getattr(made, "cacheable", False):
                return _contract.plugin.Cacheability.CACHEABLE
            return _contract.plugin.Cacheability.UNCACHEABLE

        def route(self, head: "_contract.request.RequestHead") -> _contract.Decision:
            try:
                decision = route(Request(head))
                # Any other object would trap on its way to the proxy, without a message.
                if decision.__class__ not in _DECISIONS:
                    raise TypeError(f"route returned {decision!r}, which is not a decision")
                return decision
            # `sys.exit` and the like would trap, too.
            except BaseException as error:
                raise _reported(error) from None
            finally:
                # An exception's traceback would keep the handle alive.
                head.__exit__(None, None, None)

    return Plugin


def _reported(error: BaseException) -> Exception:
    """Logs an exception with its traceback, and returns the contract's error for it."""
    log.error("\n".join(_traceback(error)))
    return _contract.Err(log.text(" ".join(_summary(error).split())))


def _traceback(error: BaseException) -> List[str]:
    """Formats a traceback as Python does, without source lines, which the sandbox does not have."""
    lines: List[str] = []
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None:
        lines += [f"Caused by {_summary(cause)}", ""]
    lines.append("Traceback (most recent call last):")
    frames = [
        f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
        for frame, line in walk_tb(error.__traceback__)
    ]
    if len(frames) > _MAX_FRAMES:
        lines.append(f"  ({len(frames) - _MAX_FRAMES} more)")
    return lines + frames[-_MAX_FRAMES:] + [_summary(error)]


def _summary(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    name = type(error).__name__
    return f"{name}: {text}" if text else name
