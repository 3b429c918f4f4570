"""Random numbers in the sandbox.

A plugin's modules run when the component is built, so the generator of the module ``random``
would go on from the same state in every instance, and nothing would tell the proxy that a
decision follows from more than the request. Here each number comes from the proxy, which sees it.
"""

import random


class _ProxyRandom(random.SystemRandom):
    # ``gauss`` would keep its second number for the next request.
    gauss_next = property(lambda self: None, lambda self, value: None)


def use_proxy() -> None:
    """Makes the functions of ``random`` those of a ``SystemRandom``."""
    shared = random._inst
    shared.__class__ = _ProxyRandom
    for name, function in list(vars(random).items()):
        if getattr(function, "__self__", None) is shared:
            setattr(random, name, getattr(shared, name))
