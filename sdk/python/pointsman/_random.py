"""Random numbers in the sandbox.

A plugin's modules run when the component is built, so the generator of the module ``random``
would go on from the same state in every instance, and nothing would tell the proxy that a
decision follows from more than the request. Here each number comes from the proxy, which sees it.
"""

import random
import sys


class _ProxyRandom(random.SystemRandom):
    # ``gauss`` would keep its second number for the next request.
    gauss_next = property(lambda self: None, lambda self, value: None)


def use_proxy() -> None:
    """Makes the functions of ``random`` those of a ``SystemRandom``, also where a module has
    imported them by name."""
    shared = random._inst
    bound = {}
    for name in dir(shared):
        function = vars(random).get(name)
        if getattr(function, "__self__", None) is shared:
            bound[function] = name
    shared.__class__ = _ProxyRandom
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if getattr(value, "__self__", None) is shared and value in bound:
                setattr(module, name, getattr(shared, bound[value]))
