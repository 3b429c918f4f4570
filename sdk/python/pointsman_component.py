"""The root of a component: the class ``Plugin`` of the project's module ``plugin``.

Not for tests, which run natively and can seed ``random``.
"""

from pointsman import _random

# This must run before the plugin imports any function of `random`.
_random.use_proxy()

from plugin import Plugin  # noqa: E402

__all__ = ["Plugin"]
