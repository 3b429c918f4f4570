"""Tests of the plugin's decisions without a proxy: `python3 -m unittest`."""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin
from pointsman import testing

TABLES = {"tenants": {"acme": "acme_backend", "initech": "initech_backend"}}


class Tenants(unittest.TestCase):
    def test_the_table_decides(self) -> None:
        plugin = testing.configure(Plugin, {}, tables=TABLES)
        self.assertTrue(plugin.cacheable)
        for tenant, decision in [
            ("acme", pointsman.backend("acme_backend")),
            ("initech", pointsman.backend("initech_backend")),
            ("other", pointsman.next()),
            (b"\xff", pointsman.next()),
        ]:
            request = testing.request(headers=[("x-tenant", tenant)])
            self.assertEqual(plugin.route(request), decision, tenant)
            self.assertIn("tenant", request.tags)
        self.assertEqual(plugin.route(testing.request()), pointsman.next())

    def test_a_tenant_may_be_a_host(self) -> None:
        tables = {"hosts": {"a.test": "a"}}
        plugin = testing.configure(Plugin, {"table": "hosts", "tenant": "host"}, tables=tables)
        request = testing.request(headers=[("host", "A.test:80")])
        self.assertEqual(plugin.route(request), pointsman.backend("a"))


class Configuration(unittest.TestCase):
    def test_mistakes_are_shown_at_their_keys(self) -> None:
        for config, expected in [
            ({"table": "tenant"}, '^table: there is no table "tenant"'),
            ({"tenant": "hots"}, '^tenant: "hots" is not a part of a request'),
        ]:
            with self.assertRaisesRegex(testing.Refused, expected):
                testing.configure(Plugin, config, tables=TABLES)


if __name__ == "__main__":
    unittest.main()
