"""The rows for a reader: a table for a terminal, and one self-contained page with two pictures."""

import html
from collections.abc import Sequence

from omni.evaluate.senses.goals import GOALS, Goal, Row

Columns = dict[str, list[Row]]      # name of a subject to its rows
_PERCENT = ("share", "errors per word")
_WIDTH, _HEIGHT, _MARGIN, _LEGEND = 640, 260, 46, 16
_INKS = ("#c4682b", "#3f6f8f", "#6b8e4e", "#8a5a83", "#7b8794")
_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#22262b, #e8e6e1); --soft: light-dark(#6b7280, #9aa3af);
  --paper: light-dark(#fbfbf9, #16181b); --line: light-dark(#e5e7eb, #2c3036); }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; font: 15px/1.5 system-ui; color: var(--ink);
  background: var(--paper); }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; } small { color: var(--soft); }
svg text { fill: var(--ink); font: 12px system-ui; } svg .axis { stroke: var(--line); }
"""


def shown(goal: Goal, value: float | None) -> str:
    """A value with its unit, a dash for none."""
    if value is None:
        return "-"
    if goal.unit in _PERCENT:
        return f"{100 * value:.{goal.digits}f} %"
    if goal.unit == "s":
        return f"{1000 * value:.{goal.digits}f} ms"
    return f"{value:.{goal.digits}f}" + {"ms": " ms", "times the errors": " x"}.get(goal.unit, "")


def interval(row: Row) -> str:
    """A row's interval in brackets, empty where there is none."""
    if row.low is None or row.high is None:
        return ""
    goal = GOALS[row.name]
    low, high = (shown(goal, x).split(" ")[0] for x in (row.low, row.high))
    return f"[{low}, {high}]"


def counted(row: Row) -> str:
    """What stands behind a row."""
    return f"{row.count} {row.counted}" if row.count else ""


def as_text(columns: Columns) -> str:
    """The table for a terminal, a block a subject."""
    blocks = []
    for name, rows in columns.items():
        lines = [("", "value", "", "of", "floor", "aim", "reached", "")]
        for row in rows:
            goal = GOALS[row.name]
            lines.append((goal.title, shown(goal, row.value), interval(row), counted(row), shown(goal, goal.floor),
                          shown(goal, goal.aim), row.reached, row.note))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        blocks.append("\n".join([name] + ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                                                    ).rstrip() for line in lines]))
    return "\n\n".join(blocks)


def as_page(header: dict, columns: Columns) -> str:
    """The same as HTML that needs nothing but itself; a column a subject."""
    facts = ", ".join(f"{key} {value}" for key, value in header.items() if not isinstance(value, dict | list))
    names = list(dict.fromkeys(row.name for rows in columns.values() for row in rows))
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = []
    for name in names:
        goal = GOALS[name]
        cells = "".join(_cell(next((row for row in rows if row.name == name), None)) for rows in columns.values())
        lines.append(f"<tr><td><b>{html.escape(goal.title)}</b><br><small>{html.escape(goal.definition)}</small></td>"
                     f"<td class=n>{shown(goal, goal.floor)}</td><td class=n>{shown(goal, goal.aim)}</td>{cells}</tr>")
    return ("<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
            "<meta name=viewport content='width=device-width'>\n"
            f"<title>Senses</title>\n<style>{_STYLE}</style>\n<h1>Senses</h1>\n<p><small>{html.escape(facts)}</small>"
            "</p>\n<p>Development data kept out of training, streamed block by block. Each value with its 95 % "
            "interval (bootstrap over speakers, utterances or texts), what stands behind it, and what it reached.</p>\n"
            f"<div class=wide><table><tr><th></th><th>floor</th><th>aim</th>{heads}</tr>{''.join(lines)}</table>"
            "</div>\n"
            f"{_orders(columns)}{_delays(columns)}")


def _cell(row: Row | None) -> str:
    if row is None:
        return "<td></td>"
    goal, reached = GOALS[row.name], f" <b>{row.reached}</b>" if row.reached != "-" else ""
    more = "; ".join(part for part in (counted(row), row.note) if part)
    return (f"<td><span style='white-space:nowrap'>{shown(goal, row.value)} {interval(row)}</span>{reached}<br>"
            f"<small>{html.escape(more)}</small></td>")


def _orders(columns: Columns) -> str:
    """Orders and slots understood by signal-to-noise ratio; the recording as it is stands rightmost."""
    series = {}
    for name, detail in _details(columns, "orders").items():
        for what, values in detail.items():
            series[f"{name}, {what}"] = list(reversed(values.values()))
            ticks = list(reversed(values))
    if not series:
        return ""
    places = list(range(len(ticks)))
    return "<h2>Real orders in noise</h2>\n" + lines_picture(places, series, dict(zip(places, ticks, strict=True)))


def _delays(columns: Columns) -> str:
    """Share of words that the captions have by so long after their end."""
    found = _details(columns, "delay_p50")
    if not found:
        return ""
    late_s = next(iter(found.values()))["late_s"]
    ticks = {t: f"{1000 * t:.0f} ms" for t in late_s if abs(t * 5 - round(t * 5)) < 1e-6}
    return ("<h2>Captions after a word's end</h2>\n<p>Of the words that they have at all.</p>\n"
            + lines_picture(late_s, {name: detail["share"] for name, detail in found.items()}, ticks))


def _details(columns: Columns, name: str) -> dict[str, dict]:
    return {subject: row.detail for subject, rows in columns.items() for row in rows if row.name == name and row.detail}


def lines_picture(places: Sequence[float], series: dict[str, Sequence[float]], ticks: dict[float, str]) -> str:
    """SVG of shares (0 to 1) over places, a line for each of the series.

    Args:
        places: rising, as many as each line has values.
        ticks: what to write below some of the places.
    """
    span = (places[-1] - places[0]) or 1.0

    def x(place: float) -> float:
        return _MARGIN + (place - places[0]) / span * (_WIDTH - 2 * _MARGIN)

    def y(share: float) -> float:
        return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)

    parts = [f"<line class=axis x1={_MARGIN} x2={_WIDTH - _MARGIN} y1={y(s):.1f} y2={y(s):.1f} />"
             f"<text x={_MARGIN - 8} y={y(s) + 4:.1f} text-anchor=end>{s:.0%}</text>" for s in (0, 0.25, 0.5, 0.75, 1)]
    parts += [f"<text x={x(place):.1f} y={_HEIGHT - _MARGIN + 18} text-anchor=middle>{html.escape(text)}</text>"
              for place, text in ticks.items()]
    for i, (name, values) in enumerate(series.items()):
        ink = _INKS[i % len(_INKS)]
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(places, values, strict=True))
        place = f"x={_MARGIN} y={_LEGEND * (i - len(series)) + 12}"
        parts.append(f"<polyline fill=none stroke='{ink}' stroke-width=2 points='{points}' />"
                     f"<text {place} style='fill:{ink}'>{html.escape(name)}</text>")
    above = _LEGEND * len(series)
    return (f"<svg viewBox='0 {-above} {_WIDTH} {_HEIGHT + above}' width={_WIDTH} height={_HEIGHT + above} role=img>"
            f"{''.join(parts)}</svg>\n")
