"""Reads metrics from standard input with Prometheus's own parser for a format, `openmetrics` or
`text`, and prints the name and type of each family."""

import sys

if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
else:
    from prometheus_client.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type)
