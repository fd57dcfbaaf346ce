"""The Prometheus text format."""

import math

from omni.serve.metrics import Metrics


def test_counters_gauges_and_labels():
    metrics = Metrics()
    metrics.counter("omni_things_total", "Things.")
    metrics.gauge("omni_level", "Level.", lambda: 0.5)
    metrics.add("omni_things_total", kind='a"b\\c')
    metrics.add("omni_things_total", 2, kind='a"b\\c')
    assert metrics.count("omni_things_total", kind='a"b\\c') == 3
    assert metrics.text({"omni_extra": 3.0, "omni_name": "text", "omni_nan": math.inf}).splitlines() == [
        "# HELP omni_things_total Things.", "# TYPE omni_things_total counter",
        'omni_things_total{kind="a\\"b\\\\c"} 3',
        "# HELP omni_level Level.", "# TYPE omni_level gauge", "omni_level 0.5",
        "# TYPE omni_extra gauge", "omni_extra 3", "# TYPE omni_nan gauge", "omni_nan inf"]


def test_a_counter_nobody_used_is_zero():
    metrics = Metrics()
    metrics.counter("omni_things_total", "Things.")
    assert metrics.text().endswith("omni_things_total 0\n")
