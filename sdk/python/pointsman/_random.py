"""Random numbers in the sandbox.

A plugin's modules run when the component is built, so the generator of the module ``random`` would
continue from the same state in every instance. The proxy could not detect that a decision depends
on more than the request. Here each number comes from the proxy, which therefore does not cache the
decision.
"""

import random


class _ProxyRandom(random.SystemRandom):
    # ``gauss`` makes numbers in pairs, and would keep the second one for the next request.
    gauss_next = property(lambda self: None, lambda self, value: None)


def use_proxy() -> None:
    """Replaces the functions of ``random`` with those of a ``SystemRandom``."""
    shared = random._inst
    shared.__class__ = _ProxyRandom
    for name, function in list(vars(random).items()):
        if getattr(function, "__self__", None) is shared:
            setattr(random, name, getattr(shared, name))
