"""The report of a suite: one self-contained page and the same as JSON."""

import html
import json
import re
from itertools import pairwise
from pathlib import Path
from statistics import median

from omni.audio.files import replacing

# orders understood in kitchen noise at SNR_DB, as published (Picovoice/speech-to-intent-benchmark, src/plot.py)
SNR_DB = (6, 9, 12, 15, 18, 21, 24)
PUBLISHED = {"Dialogflow": (.70, .78, .78, .80, .81, .82, .83), "Lex": (.80, .84, .85, .87, .87, .87, .88),
             "Watson": (.72, .84, .89, .93, .95, .95, .96), "LUIS": (.86, .89, .90, .91, .92, .93, .93),
             "Rhino": (.96, .97, .98, .99, .99, .99, .99)}

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
            `Metric`), `scripts` (script to expectations `held` of those `expected`, and some metrics),
            `conversations`, `model` (who held them), `real_time` (whether by the clock, so that nothing is added).
    """
    with replacing(out / "report.json") as path:
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(out / "report.html") as path:
        path.write_text(as_page(report), encoding="utf-8")


def as_page(report: dict) -> str:
    """The report as HTML that needs nothing but itself; links lead to conversations beside it."""
    head, agents = report["header"], report["agents"]
    facts = ", ".join(f"{k} {'all' if v is None else v}" for k, v in head.items() if k != "suite")
    parts = ["<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
             "<meta name=viewport content='width=device-width'>\n"
             f"<title>{html.escape(head['suite'])}</title>\n<style>{_STYLE}</style>\n"
             f"<h1>Suite {html.escape(head['suite'])}</h1>\n<p><small>{html.escape(facts)}</small></p>"]
    parts.append("<h2>Metrics</h2><p>Each with its 95 % interval (bootstrap over conversations) and the number of "
                 "events behind it. A dash means that nothing was there to be counted. What an agent does is taken "
                 f"{head.get('added_ms', 0)} ms later than it was in virtual time, for computing, slack for late "
                 "packets and a client's buffer (where a script has a network of its own: 25 ms at most, for "
                 f"computing).{_in_real_time(agents)}</p>")
    parts.append(_metrics(agents))
    parts.append(_histogram(agents, "latencies_s", "How soon it answers", "the end of the user's speech"))
    parts.append(_histogram(agents, "yield_times_s", "How soon it is silent", "the first sound of an interruption"))
    parts.append(_noise_curve(agents))
    parts.append(_growth(agents))
    parts.append("<h2>Script by script</h2>" + _scripts(agents))
    parts.append("<h2>The worst conversations</h2>" + _worst(agents))
    return "\n".join(parts) + "\n"


def _in_real_time(agents: dict) -> str:
    """Who was measured by the clock, in a sentence."""
    names = ", ".join(name for name, agent in agents.items() if agent.get("real_time"))
    return f" To {html.escape(names)} nothing is added: it was timed where it was heard." if names else ""


def as_text(report: dict) -> str:
    """The numbers for a terminal: a line a metric, a column an agent."""
    agents = report["agents"]
    names = list(next(iter(agents.values()))["metrics"])
    width = max(map(len, names))
    rows = [" " * width + "".join(f"  {name:>24}" for name in agents)]
    for name in names:
        cells = [cell(agent["metrics"][name]) for agent in agents.values()]
        if any(cell != "-" for cell in cells):
            rows.append(f"{name:<{width}}" + "".join(f"  {cell:>24}" for cell in cells))
    return "\n".join(rows)


def _metrics(agents: dict) -> str:
    first = next(iter(agents.values()))["metrics"]
    rows = []
    for name, metric in first.items():
        values = [agent["metrics"][name] for agent in agents.values()]
        if all(m["value"] is None for m in values):
            continue
        top = 1.0 if metric["unit"] == "share" else max(_span(m)[1] for m in values if m["value"] is not None)
        cells = "".join(f"<td class=n>{cell(m)}{_bar(m, top, agent == 'omni')}</td>"
                        for agent, m in zip(agents, values, strict=True))
        better = {"higher": "&uarr;", "lower": "&darr;", "neither": ""}[metric["better"]]
        rows.append(f"<tr><td><b>{name}</b> {better}<br><small>{html.escape(metric['definition'])} "
                    f"<i>{html.escape(metric['source'])}</i></small></td>{cells}</tr>")
    heads = "".join(f"<th>{html.escape(name)}<br><small>{html.escape(agent.get('model', ''))}</small></th>"
                    for name, agent in agents.items())
    return f"<div class=wide><table><tr><th>metric</th>{heads}</tr>{''.join(rows)}</table></div>"


def _bar(metric: dict, top: float, own: bool) -> str:
    value = metric["value"]
    if value is None or top <= 0 or min(value, _span(metric)[0]) < 0:
        return ""
    place = [100 * min(x / top, 1) for x in (value, *_span(metric))]
    return (f"<div class=track><div class='bar{' omni' if own else ''}' style='width:{place[0]:.1f}%'></div>"
            f"<i style='left:{place[1]:.1f}%;width:{max(place[2] - place[1], 0.5):.1f}%'></i></div>")


def _scripts(agents: dict) -> str:
    """A row a script and agent: what it expects, and the metrics of its conversations alone."""
    first = next(iter(agents.values()))["scripts"]
    names = [name for name, value in next(iter(first.values()), {}).items() if isinstance(value, dict)]
    heads = "".join(f"<th>{name}</th>" for name in ("script", "agent", "expectations", *names))
    rows = []
    for script in first:
        for agent, of in ((agent, a["scripts"][script]) for agent, a in agents.items()):
            cells = "".join(f"<td class=n>{cell(of[name])}</td>" for name in names)
            rows.append(f"<tr><td>{html.escape(script)}</td><td>{html.escape(agent)}</td>"
                        f"<td class=n>{of['held']} of {of['expected']}</td>{cells}</tr>")
    return f"<div class=wide><table><tr>{heads}</tr>{''.join(rows)}</table></div>"


def _noise_curve(agents: dict) -> str:
    """Orders understood by noise, beside the engines of Picovoice's benchmark; empty without scripts named ..._06db."""
    found = {name: {int(m[1]): of["answers_right"] for script, of in agent["scripts"].items()
                    if (m := re.search(r"_(\d+)db$", script)) and of["answers_right"]["value"] is not None}
             for name, agent in agents.items()}
    levels = sorted({snr for curve in found.values() for snr in curve})
    if len(levels) < 2:
        return ""
    width, height = 640, 300
    x = {snr: 50 + (width - 190) * (snr - levels[0]) / (levels[-1] - levels[0]) for snr in levels}
    parts = [f"<line x1=50 x2={width - 140} y1={_y(v, height)} y2={_y(v, height)} stroke='var(--line)'/>"
             f"<text x=40 y={_y(v, height) + 4} text-anchor=end>{v:g}</text>" for v in (0, .25, .5, .75, 1)]
    parts += [f"<text x={x[snr]:.0f} y={height - 6} text-anchor=middle>{snr} dB</text>" for snr in levels]
    labels: list[tuple[float, str, str]] = []
    for name, values in PUBLISHED.items():
        points = [(x[snr], _y(value, height)) for snr, value in zip(SNR_DB, values, strict=True) if snr in x]
        parts.append(_line(points, "var(--other)", 1))
        labels.append((points[-1][1], name, "var(--other)"))
    for name, curve in found.items():
        if curve:
            points = [(x[snr], _y(curve[snr]["value"], height)) for snr in sorted(curve)]
            parts.append(_line(points, "var(--omni)", 3))
            labels.append((points[-1][1], name, "var(--omni)"))
            for snr, (low, high) in ((snr, _span(m)) for snr, m in curve.items()):
                parts.append(f"<line x1={x[snr]:.0f} x2={x[snr]:.0f} y1={_y(low, height):.0f} "
                             f"y2={_y(high, height):.0f} stroke='var(--omni)' opacity=.5 />")
    below = 0.0
    for y, name, colour in sorted(labels):      # names that would lie upon each other make room
        below = max(y + 4, below + 12)
        parts.append(f"<text x={width - 132} y={below:.0f} fill='{colour}'>{html.escape(name)}</text>")
    return ("<h2>Orders understood in a kitchen</h2><p>Share of orders with every slot read back. Thin: published for "
            "engines that knew the grammar and got one isolated utterance (Picovoice/speech-to-intent-benchmark, 619 "
            "orders, its own kitchen noise). Ours hears a live room, decides itself when the order is over, and must "
            "say it back; its speakers are the held-out ones, so the recordings are fewer and not the same.</p>"
            f"<svg viewBox='0 0 {width} {height}' width='100%' style='max-width:{width}px' font-size=11 "
            f"fill='currentColor'>{''.join(parts)}</svg>")


def _y(share: float, height: int) -> float:
    """Where a share lies in the curve's picture."""
    return 14 + (height - 44) * (1 - share)


def _line(points: list[tuple[float, float]], colour: str, width: int) -> str:
    path = " ".join(f"{a:.0f},{b:.0f}" for a, b in points)
    return f"<polyline points='{path}' fill=none stroke='{colour}' stroke-width={width} />"


def _histogram(agents: dict, key: str, title: str, since: str) -> str:
    """Times as bars of 100 ms, one row an agent on one scale; what is longer than the axis is told beside it."""
    found = {name: agent[key] for name, agent in agents.items() if agent.get(key)}
    if not found:
        return ""
    left, right, width, height = -0.3, 3.0, 640, 90
    edges = [round(left + 0.1 * i, 1) for i in range(round((right - left) / 0.1) + 1)]
    rows = []
    for name, times in found.items():
        counts = [sum(a <= t < b for t in times) for a, b in pairwise(edges)]
        scale, bar = (height - 28) / max(max(counts), 1), width / len(counts)
        bars = "".join(f"<rect x={i * bar:.1f} y={height - 20 - n * scale:.1f} width={bar - 1:.1f} "
                       f"height={n * scale:.1f}><title>{edges[i]:g} to {edges[i + 1]:g} s: {n}</title></rect>"
                       for i, n in enumerate(counts) if n)
        ticks = "".join(f"<text x={(t - left) / (right - left) * width:.0f} y={height - 4} text-anchor=middle "
                        f"fill='currentColor'>{t:g} s</text>" for t in (0, 0.5, 1, 1.5, 2, 2.5))
        beyond = len(times) - sum(counts)
        said = f"{len(times)} times, median {median(times):.2f} s" + (f", {beyond} beyond" if beyond else "")
        colour = "var(--omni)" if name == "omni" else "var(--other)"
        rows.append(f"<tr><td>{html.escape(name)}<br><small>{said}</small></td><td><svg viewBox='0 0 {width} {height}' "
                    f"width='100%' style='max-width:{width}px' font-size=11 fill='{colour}'>{bars}"
                    f"<line x1=0 x2={width} y1={height - 20} y2={height - 20} stroke='var(--line)'/>{ticks}</svg></td>"
                    "</tr>")
    return (f"<h2>{title}</h2><p>From {since} to the agent's {'first sound' if key == 'latencies_s' else 'silence'}."
            f"</p><div class=wide><table>{''.join(rows)}</table></div>")


def _growth(agents: dict) -> str:
    """What a step cost, and the memory, at the beginning and at the end of the work."""
    rows = []
    for name, agent in agents.items():
        growth = agent.get("growth") or {}
        cells = [growth.get(key) or [None, None] for key in ("step_ms_p50", "resident_mib")]
        if any(value is not None for pair in cells for value in pair):
            rows.append(f"<tr><td>{html.escape(name)}</td>" + "".join(
                f"<td class=n>{'-' if value is None else f'{value:g}'}</td>" for pair in cells for value in pair)
                + "</tr>")
    if not rows:
        return ""
    return ("<h2>Does anything grow?</h2><p>Median time of a step for the whole batch, the user's side included, "
            "over the first and over the last tenth of the blocks; resident memory after each (the "
            "recordings of conversations under way count too).</p><div class=wide><table>"
            "<tr><th>agent</th><th>step, ms</th><th>at the end</th><th>memory, MiB</th><th>at the end</th></tr>"
            f"{''.join(rows)}</table></div>")


def _worst(agents: dict) -> str:
    found = []
    for name, agent in agents.items():
        lines = [line for line in agent["conversations"] if line.get("page")]
        items = "".join(f"<li><a href='{html.escape(line['page'])}'>{html.escape(line['folder'])}</a>: "
                        f"{html.escape('; '.join(line['failed']))}</li>" for line in lines)
        opened = " open" if name == next(iter(agents)) else ""
        found.append(f"<details{opened}><summary>{html.escape(name)}</summary><ol>{items}</ol></details>")
    return "".join(found)


def _span(metric: dict) -> tuple[float, float]:
    """The interval, or the value twice."""
    value = metric["value"]
    return (value, value) if metric["low"] is None else (metric["low"], metric["high"])


def cell(metric: dict) -> str:
    """A metric in a few words: its value, its interval if it has one, and the events behind it; "-" for none."""
    if metric["value"] is None:
        return "-"
    span = "" if metric["low"] is None else f" [{_number(metric['low'])}, {_number(metric['high'])}]"
    return f"{_number(metric['value'])}{span} n={metric['count']}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
