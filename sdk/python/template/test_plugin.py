"""`python3 -m unittest`: the plugin's functions, without a proxy."""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin
from pointsman import testing


class Cookie(unittest.TestCase):
    def test_it_decides(self) -> None:
        plugin = testing.configure(Plugin, {"backend": "a"}, backends=["a"])
        request = testing.request("/", headers=[("cookie", "canary=1")])
        self.assertEqual(plugin.route(request), pointsman.backend("a"))
        self.assertEqual(plugin.route(testing.request("/")), pointsman.default_backend())

    def test_its_backend_must_be_there(self) -> None:
        with self.assertRaisesRegex(testing.Refused, '^backend: there is no backend "b"'):
            testing.configure(Plugin, {"backend": "b"}, backends=["a"])


if __name__ == "__main__":
    unittest.main()
