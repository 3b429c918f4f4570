"""Tests of the plugin's decisions without a proxy: `python3 -m unittest`."""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin
from pointsman import testing


class Sessions(unittest.TestCase):
    def test_a_share_of_them_is_the_canarys(self) -> None:
        config = {"backend": "canary", "percent": 5}
        plugin = testing.configure(Plugin, config, backends=["canary"], shares=["canary"])
        self.assertTrue(plugin.cacheable)
        session = [("cookie", "session=a1")]
        affinity, tags = {"affinity": b"a1"}, {"session": "a1"}
        for request, expected in [
            (
                testing.request(headers=session),
                (pointsman.backend("canary"), affinity, {**tags, "canary": "true"}),
            ),
            (testing.request(headers=session, shares=[]), (pointsman.next(), affinity, tags)),
            (testing.request(), (pointsman.next(), {}, {})),
        ]:
            decision = plugin.route(request)
            self.assertEqual((decision, request.options, request.tags), expected)

    def test_all_or_none(self) -> None:
        for percent, decision in [(100, pointsman.backend("canary")), (0, pointsman.next())]:
            config = {"backend": "canary", "percent": percent, "cookie": "id"}
            plugin = testing.configure(Plugin, config, backends=["canary"])
            request = testing.request(headers=[("cookie", "id=a1")])
            self.assertEqual(plugin.route(request), decision)


class Configuration(unittest.TestCase):
    def test_mistakes_are_shown_at_their_keys(self) -> None:
        right = {"backend": "canary", "percent": 5}
        for change, expected in [
            ({"backend": "canari"}, '^backend: there is no backend "canari"'),
            ({"percent": 100.5}, "^percent: must be within 0 to 100"),
            ({"cookie": ""}, "^cookie: "),
        ]:
            with self.assertRaisesRegex(testing.Refused, expected):
                testing.configure(Plugin, {**right, **change}, backends=["canary"])


if __name__ == "__main__":
    unittest.main()
