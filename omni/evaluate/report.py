"""The report of a suite: one self-contained page and the same as JSON, and what changed between two of them."""

import html
import json
from pathlib import Path

from omni.audio.files import replacing
from omni.base.errors import MediaError

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#22262b, #e8e6e1); --soft: light-dark(#6b7280, #9aa3af);
  --paper: light-dark(#fbfbf9, #16181b); --line: light-dark(#e5e7eb, #2c3036); --omni: #c4682b; --other: #7b8794; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; font: 15px/1.5 system-ui; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.4rem; font-size: 1.15rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; } small { color: var(--soft); }
.bar { height: .55rem; border-radius: 3px; background: var(--other); } .bar.omni { background: var(--omni); }
.track { width: 9rem; position: relative; background: var(--line); border-radius: 3px; margin-top: .2rem; }
.track i { position: absolute; top: -.15rem; height: .85rem; border-left: 2px solid var(--ink);
  border-right: 2px solid var(--ink); opacity: .5; box-sizing: border-box; }
details summary { cursor: pointer; color: var(--soft); }
"""


def write_report(out: Path, report: dict) -> None:
    """Write report.json and report.html.

    Args:
        report: `header` (what the numbers depend on) and `agents`: name to `metrics` (name to the fields of a
            `Metric`), `expectations` (script to [held, in all]) and `conversations`.
    """
    with replacing(out / "report.json") as path:
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(out / "report.html") as path:
        path.write_text(as_page(report), encoding="utf-8")


def as_page(report: dict) -> str:
    """The report as HTML that needs nothing but itself; links lead to conversations beside it."""
    head, agents = report["header"], report["agents"]
    facts = ", ".join(f"{k} {v}" for k, v in head.items() if k != "suite")
    parts = ["<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
             "<meta name=viewport content='width=device-width'>\n"
             f"<title>{html.escape(head['suite'])}</title>\n<style>{_STYLE}</style>\n"
             f"<h1>Suite {html.escape(head['suite'])}</h1>\n<p><small>{html.escape(facts)}</small></p>"]
    parts.append("<h2>Metrics</h2><p>Each with its 95 % interval (bootstrap over conversations) and the number of "
                 "events behind it. A dash means that nothing was there to be counted.</p>")
    parts.append(_metrics(agents))
    parts.append("<h2>What the scripts expect</h2>" + _expectations(agents))
    parts.append("<h2>The worst conversations</h2>" + _worst(agents))
    return "\n".join(parts) + "\n"


def as_text(report: dict) -> str:
    """The numbers for a terminal: a line a metric, a column an agent."""
    agents = report["agents"]
    names = list(next(iter(agents.values()))["metrics"])
    width = max(map(len, names))
    rows = [" " * width + "".join(f"  {name:>24}" for name in agents)]
    for name in names:
        cells = [_cell(agent["metrics"][name]) for agent in agents.values()]
        if any(cell != "-" for cell in cells):
            rows.append(f"{name:<{width}}" + "".join(f"  {cell:>24}" for cell in cells))
    return "\n".join(rows)


def compare(before: Path, after: Path) -> str:
    """What changed beyond noise between two reports of one suite: metrics whose intervals do not overlap, and the rest
    in a line each.

    Raises:
        MediaError: one is no report, or they are of different suites.
    """
    a, b = (_load(path) for path in (before, after))
    if a["header"]["scripts"] != b["header"]["scripts"]:
        raise MediaError(f"{before.name} and {after.name} are of different scripts: their numbers cannot be compared")
    lines = []
    for agent in a["agents"].keys() & b["agents"].keys():
        for name, old in a["agents"][agent]["metrics"].items():
            new = b["agents"][agent]["metrics"].get(name)
            if new is None or old["value"] is None or new["value"] is None:
                continue
            lines.append((_change(old, new), f"{agent} {name}", f"{_cell(old)} -> {_cell(new)}"))
    order = ["better", "worse", "different", "within noise"]
    width = max((len(name) for _, name, _ in lines), default=0)
    lines.sort(key=lambda line: (order.index(line[0]), line[1]))
    return "\n".join(f"{change:<13}{name:<{width}}  {values}" for change, name, values in lines)


def _change(old: dict, new: dict) -> str:
    spans = [(m["low"] if m["low"] is not None else m["value"], m["high"] if m["high"] is not None else m["value"])
             for m in (old, new)]
    if spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]:
        return "within noise"
    if new["better"] == "neither":
        return "different"
    return "better" if (new["value"] > old["value"]) == (new["better"] == "higher") else "worse"


def _load(path: Path) -> dict:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        report["header"]["scripts"], report["agents"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{path.name}: no report of omni evaluate") from error
    return report


def _metrics(agents: dict) -> str:
    first = next(iter(agents.values()))["metrics"]
    rows = []
    for name, metric in first.items():
        values = [agent["metrics"][name] for agent in agents.values()]
        if all(m["value"] is None for m in values):
            continue
        top = 1.0 if metric["unit"] == "share" else max(m["high"] or m["value"] or 0 for m in values)
        cells = "".join(f"<td class=n>{_cell(m)}{_bar(m, top, agent == 'omni')}</td>"
                        for agent, m in zip(agents, values, strict=True))
        better = {"higher": "&uarr;", "lower": "&darr;", "neither": ""}[metric["better"]]
        rows.append(f"<tr><td><b>{name}</b> {better}<br><small>{html.escape(metric['definition'])} "
                    f"<i>{html.escape(metric['source'])}</i></small></td>{cells}</tr>")
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in agents)
    return f"<div class=wide><table><tr><th>metric</th>{heads}</tr>{''.join(rows)}</table></div>"


def _bar(metric: dict, top: float, own: bool) -> str:
    value, low, high = metric["value"], metric["low"], metric["high"]
    if value is None or top <= 0 or min(value, low or 0) < 0:
        return ""
    place = [100 * min(x / top, 1) for x in (value, low or value, high or value)]
    return (f"<div class=track><div class='bar{' omni' if own else ''}' style='width:{place[0]:.1f}%'></div>"
            f"<i style='left:{place[1]:.1f}%;width:{max(place[2] - place[1], 0.5):.1f}%'></i></div>")


def _expectations(agents: dict) -> str:
    scripts = list(next(iter(agents.values()))["expectations"])
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in agents)
    rows = "".join(f"<tr><td>{html.escape(s)}</td>" + "".join(
        f"<td class=n>{a['expectations'][s][0]} of {a['expectations'][s][1]}</td>" for a in agents.values()) + "</tr>"
        for s in scripts)
    return f"<table><tr><th>script</th>{heads}</tr>{rows}</table>"


def _worst(agents: dict) -> str:
    found = []
    for name, agent in agents.items():
        lines = [line for line in agent["conversations"] if line.get("page")]
        items = "".join(f"<li><a href='{html.escape(line['page'])}'>{html.escape(line['folder'])}</a>: "
                        f"{html.escape('; '.join(line['failed']))}</li>" for line in lines)
        opened = " open" if name == "omni" else ""
        found.append(f"<details{opened}><summary>{html.escape(name)}</summary><ol>{items}</ol></details>")
    return "".join(found)


def _cell(metric: dict) -> str:
    if metric["value"] is None:
        return "-"
    span = "" if metric["low"] is None else f" [{_number(metric['low'])}, {_number(metric['high'])}]"
    return f"{_number(metric['value'])}{span} n={metric['count']}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
