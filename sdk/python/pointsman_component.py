"""What a component is made of: the class ``Plugin`` of the project's module ``plugin``.

Not for tests, which run natively and may want to seed ``random``.
"""

from pointsman import _random

# Before the plugin has any of its functions.
_random.use_proxy()

from plugin import Plugin  # noqa: E402

__all__ = ["Plugin"]
