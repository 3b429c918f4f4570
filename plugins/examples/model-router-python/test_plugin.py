"""Tests of the plugin's decisions without a proxy: `python3 -m unittest`."""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin
from pointsman import testing

MODELS = {"large": "gpu", "small": "cpu", "tiny": "cpu"}


class Models(unittest.TestCase):
    def test_the_body_decides(self) -> None:
        plugin = testing.configure(Plugin, {"models": MODELS}, backends=["gpu", "cpu"])
        self.assertTrue(plugin.cacheable)
        for body, decision in [
            ('{"model": "large"}', pointsman.backend("gpu")),
            ('{"prompt": {"model": "large"}, "model": "tiny"}', pointsman.backend("cpu")),
            ('{"model": "LARGE"}', pointsman.next()),
            ('{"model": "large", "model": "tiny"}', pointsman.next()),
            ('{"model": 1}', pointsman.next()),
            ('{"model": "large"', pointsman.next()),
            (None, pointsman.next()),
        ]:
            request = testing.request(method="POST", body=body)
            self.assertEqual(plugin.route(request), decision, body)

    def test_a_body_that_has_not_arrived_decides_nothing(self) -> None:
        plugin = testing.configure(Plugin, {"models": MODELS}, backends=["gpu", "cpu"])
        request = testing.request(body='{"model": "large"}', body_is_complete=False)
        self.assertEqual(plugin.route(request), pointsman.next())

    def test_the_model_is_a_tag(self) -> None:
        config = {"models": MODELS, "member": "/request/model"}
        plugin = testing.configure(Plugin, config, backends=["gpu", "cpu"])
        request = testing.request(body='{"request": {"model": "other"}}')
        plugin.route(request)
        self.assertEqual(request.tags, {"model": "other"})


class Configuration(unittest.TestCase):
    def test_mistakes_are_shown_at_their_keys(self) -> None:
        for config, expected in [
            ({"models": {"large": "gpv"}}, '^models.large: there is no backend "gpv"'),
            ({"models": MODELS, "member": "model"}, '^member: "'),
        ]:
            with self.assertRaisesRegex(testing.Refused, expected):
                testing.configure(Plugin, config, backends=["gpu", "cpu"])


if __name__ == "__main__":
    unittest.main()
