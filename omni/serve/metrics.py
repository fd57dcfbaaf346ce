"""Counters and gauges in the Prometheus text format (version 0.0.4)."""

import numbers
from collections.abc import Callable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters that only grow, and gauges read when they are asked for."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}                            # name -> (kind, help)
        self._counts: dict[str, dict[tuple[tuple[str, str], ...], int]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}

    def counter(self, name: str, help_text: str) -> None:
        """Declare a counter; its name ends in _total."""
        assert name.endswith("_total")
        self._help[name] = ("counter", help_text)
        self._counts[name] = {}

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Declare a gauge whose value `read` returns."""
        self._help[name] = ("gauge", help_text)
        self._gauges[name] = read

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a declared counter. Label values must come from a closed set: each one is kept for ever."""
        series = self._counts[name]
        key = tuple(sorted(labels.items()))
        series[key] = series.get(key, 0) + amount

    def count(self, name: str, **labels: str) -> int:
        """The value of a counter."""
        return self._counts[name].get(tuple(sorted(labels.items())), 0)

    def text(self, more: Mapping[str, object] | None = None) -> str:
        """Everything, and `more` as gauges named by their keys; what is no number is left out."""
        lines = []
        for name, (kind, help_text) in self._help.items():
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
            if kind == "gauge":
                lines.append(f"{name} {_number(self._gauges[name]())}")
            elif not self._counts[name]:
                lines.append(f"{name} 0")
            for labels, value in self._counts.get(name, {}).items():
                inner = ",".join(f'{key}="{_escape(label)}"' for key, label in labels)
                lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
        for name, value in (more or {}).items():
            if isinstance(value, numbers.Real):
                lines += [f"# TYPE {name} gauge", f"{name} {_number(value)}"]
        return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, bool) or float(value).is_integer() else repr(float(value))


def _escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
