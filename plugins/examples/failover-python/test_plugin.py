"""Tests of the plugin's decisions without a proxy: `python3 -m unittest`."""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin
from pointsman import testing

CONFIG = {"primary": "a", "secondary": "b"}


class Backends(unittest.TestCase):
    def test_the_second_is_for_when_the_first_cannot(self) -> None:
        plugin = testing.configure(Plugin, CONFIG, backends=["a", "b"])
        self.assertTrue(plugin.cacheable)
        for usable, attempt, decision, tags in [
            (True, 0, pointsman.backend("a"), {}),
            (False, 0, pointsman.backend("b"), {"failover": "true"}),
            (True, 1, pointsman.backend("b"), {"failover": "true"}),
        ]:
            plugin.set_usable("a", usable)
            request = testing.request(attempt=attempt)
            self.assertEqual((plugin.route(request), request.tags), (decision, tags))


class Configuration(unittest.TestCase):
    def test_mistakes_are_shown_at_their_keys(self) -> None:
        for key in ["primary", "secondary"]:
            with self.assertRaisesRegex(testing.Refused, f'^{key}: there is no backend "c"'):
                testing.configure(Plugin, {**CONFIG, key: "c"}, backends=["a", "b"])


if __name__ == "__main__":
    unittest.main()
