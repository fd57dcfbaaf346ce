"""A page for the ear: it plays a conversation's recording while a line moves along its timeline."""

import base64
import html
import json
from pathlib import Path

from omni.audio.files import replacing

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; --ink: light-dark(#22262b, #e8e6e1); --soft: light-dark(#6b7280, #9aa3af);
          --paper: light-dark(#fbfbf9, #16181b); --user: #2f6fb5; --agent: #c4682b; --good: #2e8b57; --bad: #c23b3b; }}
  body {{ margin: 2rem auto; max-width: 70rem; padding: 0 1rem; font: 15px/1.5 system-ui; color: var(--ink);
         background: var(--paper); }}
  audio {{ width: 100%; margin: 1rem 0; }}
  #lanes {{ position: relative; height: 9.5rem; border-radius: .5rem; overflow: hidden; cursor: pointer;
           background: color-mix(in srgb, var(--soft) 12%, transparent); }}
  #lanes i {{ position: absolute; border-radius: 3px; opacity: .8; }}
  #lanes b {{ position: absolute; font-weight: 400; font-size: 12px; white-space: nowrap; color: var(--ink); }}
  #now {{ position: absolute; top: 0; bottom: 0; width: 2px; background: var(--ink); }}
  li.held::marker {{ content: "\\2713  "; color: var(--good); }}
  li.failed::marker {{ content: "\\2717  "; color: var(--bad); }}
  img {{ max-width: 100%; margin-top: 1.5rem; }}
  #words span {{ color: var(--soft); }} #words span.said {{ color: var(--agent); }}
</style>
<h1>{title}</h1>
<p>User left, agent right. {model}</p>
<audio controls src="conversation.wav"></audio>
<div id="lanes"><div id="now"></div></div>
<p id="words"></p>
<ul id="verdicts"></ul>
{picture}
<script type="module">
const {{ events, verdicts, length }} = JSON.parse(atob("{data}"));
const lanes = document.querySelector("#lanes"), player = document.querySelector("audio");
const band = (from, to, top, height, colour, label, title) => {{
  const one = Object.assign(document.createElement("i"), {{ title }});
  one.style = `left:${{100 * from / length}}%; width:${{100 * (to - from) / length}}%; top:${{top}}rem; ` +
              `height:${{height}}rem; background:${{colour}}`;
  lanes.append(one);
  const name = Object.assign(document.createElement("b"), {{ textContent: label }});
  name.style = `left:${{100 * from / length}}%; top:${{top - 1.3}}rem`;
  lanes.append(name);
}};
for (const e of events.filter((e) => e.type === "user_turn"))
  band(e.from, e.to, 1.6, 1.4, "var(--user)", e.name, e.text ?? e.kind);
let taken = null;
for (const e of [...events, {{ type: "end_speak", at: length, reason: "still speaking" }}]) {{
  if (e.type === "start_speak") taken = e.at;
  if (e.type === "end_speak" && taken !== null) {{
    band(taken, e.at, 5, 1.4, "var(--agent)", "", e.reason);
    taken = null;
  }}
}}
const words = events.filter((e) => e.type === "agent_text").map((e) => {{
  const one = Object.assign(document.createElement("span"), {{ textContent: e.text }});
  document.querySelector("#words").append(one);
  return [e.from, one];
}});
for (const v of verdicts) document.querySelector("#verdicts").append(Object.assign(document.createElement("li"),
  {{ className: v.held ? "held" : "failed", textContent: `${{v.expected}}: ${{v.detail}}` }}));
lanes.addEventListener("click", (e) => {{
  player.currentTime = length * (e.clientX - lanes.getBoundingClientRect().left) / lanes.clientWidth;
  player.play();
}});
const tick = () => {{
  document.querySelector("#now").style.left = `${{100 * player.currentTime / length}}%`;
  for (const [from, one] of words) one.className = from <= player.currentTime ? "said" : "";
  requestAnimationFrame(tick);
}};
tick();
</script>
</html>
"""


def write_page(folder: Path, title: str) -> None:
    """Write listen.html beside the conversation.wav, trace.jsonl, timeline.png and verdicts.json of a simulation."""
    events = [json.loads(line) for line in (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()]
    report = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    data = {"events": events, "verdicts": report["verdicts"], "length": events[-1]["at"]}
    picture = '<img src="timeline.png" alt="Timeline of both voices, the floor and the expectations">'
    packed = base64.b64encode(json.dumps(data).encode("ascii")).decode()
    with replacing(folder / "listen.html") as path:
        path.write_text(_PAGE.format(title=html.escape(title), model=f"Weights: {html.escape(report['model'])}, seed "
                                     f"{report['seed']}.", data=packed,
                                     picture=picture if (folder / "timeline.png").exists() else ""), encoding="utf-8")
