"""Tests of the handling of a router's decisions and exceptions."""

import pathlib
import sys
import unittest
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pointsman
from pointsman import Fallback, testing


def routed(route: Any, request: Any = None, **named: Any) -> Any:
    """Returns the decision of a router without configuration."""
    router = type("Router", (), {"cacheable": True, "route": lambda self, asked: route(asked)})
    plugin = testing.configure(pointsman.plugin(router), **named)
    return plugin.route(request or testing.request())


class Exceptions(unittest.TestCase):
    def test_one_is_logged_and_becomes_an_error(self) -> None:
        class Broken:
            def route(self, request: pointsman.Request) -> pointsman.Decision:
                raise ValueError("no\nline")

        plugin = testing.configure(pointsman.plugin(Broken))
        self.assertFalse(plugin.cacheable)
        with self.assertRaisesRegex(testing.Refused, "^ValueError: no"):
            plugin.route(testing.request())
        ((level, text),) = testing.lines
        self.assertIs(level, pointsman.log.Level.ERROR)
        self.assertIn("Traceback (most recent call last)", text)
        self.assertIn("in route", text)

    def test_an_edit_that_is_refused_becomes_an_error_with_its_reason(self) -> None:
        for edit in [
            lambda asked: asked.set_header("connection", "close"),
            lambda asked: asked.set_response_header("connection", "close"),
        ]:
            with self.assertRaisesRegex(
                testing.Refused, "^EditError: the field .connection. is set by"
            ):
                routed(edit)

    def test_a_tag_without_a_name_fails_the_test(self) -> None:
        with self.assertRaisesRegex(AssertionError, "is not the name of a tag"):
            routed(lambda asked: asked.tag("a b", "c"))

    def test_what_is_not_a_decision_is_an_error(self) -> None:
        for answer in [None, "www", pointsman.backend]:
            with self.assertRaisesRegex(testing.Refused, "^TypeError: route returned"):
                routed(lambda asked: answer)

    def test_a_surrogate_can_be_logged(self) -> None:
        routed(lambda asked: pointsman.log.info("a\udcffb") or pointsman.next())
        self.assertEqual(testing.lines[-1][1], "a\\udcffb")


class Decisions(unittest.TestCase):
    def test_they_arrive(self) -> None:
        for decision in [
            pointsman.backend("a"),
            pointsman.default_backend(),
            pointsman.next(),
            pointsman.server("a", "s1"),
            pointsman.respond(503),
        ]:
            self.assertEqual(routed(lambda asked: decision), decision)

    def test_a_response_is_made_of_texts_and_octets(self) -> None:
        decision = pointsman.respond(403, [("x-a", "ä"), ("x-b", b"\xff")], "no")
        self.assertEqual(decision.value.headers, [("x-a", "ä".encode()), ("x-b", b"\xff")])
        self.assertEqual(pointsman.redirect(302, "/x").value.headers, [("location", b"/x")])

    def test_a_server_has_a_fallback(self) -> None:
        self.assertIs(pointsman.server("a", "s1").value.otherwise, Fallback.ANOTHER_SERVER)
        asking = pointsman.server("a", "s1", otherwise=Fallback.ASK_AGAIN)
        self.assertIs(asking.value.otherwise, Fallback.ASK_AGAIN)

    def test_what_would_trap_raises(self) -> None:
        for make in [
            lambda: pointsman.backend(5),
            lambda: pointsman.backend("\ud800"),
            lambda: pointsman.server("a", "s1", "ask-again"),
            lambda: pointsman.respond("403"),
            lambda: pointsman.respond(True),
            lambda: pointsman.respond(600),
            lambda: pointsman.respond(200, [("a", 5)]),
        ]:
            self.assertRaises((TypeError, ValueError), make)


class Backends(unittest.TestCase):
    def test_their_state_is_that_of_their_servers(self) -> None:
        class Reads:
            def route(self, request: pointsman.Request) -> pointsman.Decision:
                self.__class__.seen = (
                    pointsman.backends.names(),
                    pointsman.backends.state("a"),
                    [server.name for server in pointsman.backends.servers("a")],
                    pointsman.backends.state("c"),
                    pointsman.backends.servers("c"),
                )
                return pointsman.next()

        plugin = testing.configure(pointsman.plugin(Reads), backends={"a": ["s1", "s2"], "b": []})
        plugin.backends["a"].servers[0].usable = False
        plugin.backends["a"].servers[1].active = 3
        plugin.route(testing.request())
        state = pointsman.backends.State(1, 3, 0)
        self.assertEqual(Reads.seen, (["a", "b"], state, ["s1", "s2"], None, None))

    def test_one_that_is_required_must_be_there(self) -> None:
        class Requires:
            def __init__(self) -> None:
                pointsman.backends.require("rules[0].backend", "ä")

        plugin = pointsman.plugin(Requires)
        expected = r'^rules\[0\]\.backend: there is no backend "ä"$'
        with self.assertRaisesRegex(testing.Refused, expected):
            testing.configure(plugin, backends=["b"])

    def test_two_plugins_do_not_share_anything(self) -> None:
        class Named:
            def __init__(self, config: Any) -> None:
                self.name = config["name"]

            def route(self, request: pointsman.Request) -> pointsman.Decision:
                known = pointsman.backends.exists(self.name)
                return pointsman.backend(self.name) if known else pointsman.next()

        plugin = pointsman.plugin(Named, dict)
        first = testing.configure(plugin, {"name": "a"}, backends=["a"])
        second = testing.configure(plugin, {"name": "a"}, backends=["b"])
        self.assertEqual(first.route(testing.request()), pointsman.backend("a"))
        self.assertEqual(second.route(testing.request()), pointsman.next())


if __name__ == "__main__":
    unittest.main()
