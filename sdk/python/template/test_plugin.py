"""Tests of the plugin's functions without a proxy: `python3 -m unittest`."""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin
from pointsman import testing


class Cookie(unittest.TestCase):
    def test_it_decides(self) -> None:
        plugin = testing.configure(Plugin, {"backend": "a"}, backends=["a"])
        self.assertTrue(plugin.cacheable)
        for cookie, decision in [
            ("canary=1", pointsman.backend("a")),
            ("b=c; canary=1", pointsman.backend("a")),
            ("canary=0", pointsman.next()),
            (b"canary=\xff", pointsman.next()),
        ]:
            request = testing.request("/", headers=[("cookie", cookie)])
            self.assertEqual(plugin.route(request), decision, cookie)
        self.assertEqual(plugin.route(testing.request("/")), pointsman.next())

    def test_its_backend_must_be_there(self) -> None:
        with self.assertRaisesRegex(testing.Refused, '^backend: there is no backend "b"'):
            testing.configure(Plugin, {"backend": "b"}, backends=["a"])


if __name__ == "__main__":
    unittest.main()
