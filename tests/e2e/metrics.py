"""Reads metrics from standard input with Prometheus' own parser of a format, `openmetrics` or `text`; prints the name
and the type of each family."""

import sys

if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
else:
    from prometheus_client.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type)
