"""Run the SDK's tests with `python3 -m unittest discover tests` in the SDK's folder."""

import pathlib
import sys
import unittest
from dataclasses import dataclass, field
from typing import Dict, List, Literal, Optional, Union

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pointsman
from pointsman._config import parse


@dataclass
class Rule:
    suffix: Union[str, List[str]]
    weight: float = 1.0
    mode: Literal["a", "b"] = "a"


@dataclass
class Config:
    rules: List[Rule]
    port: Optional[int] = None
    names: Dict[str, bool] = field(default_factory=dict)


class Configuration(unittest.TestCase):
    def test_it_becomes_a_dataclass(self) -> None:
        config = parse(
            '{"rules":[{"suffix":"a","weight":2},{"suffix":["b"],"mode":"b"}],"port":null,'
            '"names":{"x":true}}',
            Config,
        )
        rules = [Rule("a", 2.0), Rule(["b"], mode="b")]
        self.assertEqual(config, Config(rules, None, {"x": True}))

    def test_errors_name_the_key(self) -> None:
        for text, expected in [
            ("{}", 'missing key "rules"'),
            ('{"rules":5}', "rules: must be a list, each a table, is 5"),
            ('{"rules":[{}]}', 'rules[0]: missing key "suffix"'),
            ('{"rules":[5]}', "rules[0]: must be a table, is 5"),
            (
                '{"rules":[{"suffix":5}]}',
                "rules[0].suffix: must be a text or a list, each a text, is 5",
            ),
            ('{"rules":[{"suffix":["a",5]}]}', "rules[0].suffix[1]: must be a text, is 5"),
            ('{"rules":[{"sufix":"a"}]}', "rules[0].sufix: unknown key; there are `suffix`"),
            ('{"rules":[],"rule":[]}', "rule: unknown key"),
            ('{"rules":[],"port":true}', "port: must be a whole number or nothing, is true"),
            ('{"rules":[],"names":{"x":1}}', "names.x: must be true or false, is 1"),
            ('{"rules":[{"suffix":"a","mode":"c"}]}', 'rules[0].mode: must be one of "a", "b"'),
        ]:
            with self.assertRaises(pointsman.ConfigError) as caught:
                parse(text, Config)
            self.assertTrue(str(caught.exception).startswith(expected), caught.exception)
        self.assertRaisesRegex(pointsman.ConfigError, "^a: unknown key", parse, '{"a":1}', None)

    def test_an_error_of_a_definition_names_its_entry(self) -> None:
        for message, expected in [
            ('entry 3, "a", is not a network', 2),
            ('entry 12 repeats entry 7, "a"', 11),
            ("entry 0 repeats", None),
            ("entry, that is none", None),
            ('there is no table "a"', None),
        ]:
            error = pointsman.ConfigError("rules", message)
            self.assertEqual(error.entry, expected)
            self.assertEqual(str(error.at_key("rules[1]")), f"rules[1]: {message}")


if __name__ == "__main__":
    unittest.main()
