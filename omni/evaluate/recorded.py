"""`--recorded` of `omni simulate` and `omni evaluate`: conversations that lie on disk, judged by what their scripts
expect now. What was added to their times then is added again."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from omni.audio.files import replacing
from omni.base import config
from omni.base.errors import MediaError
from omni.base.timebase import TINY
from omni.evaluate.cases import load_case
from omni.evaluate.listen import write_page
from omni.evaluate.outcome import Outcome, delayed, stated_ms
from omni.evaluate.record import Caption, Piece, Record, Reply
from omni.evaluate.scenario import Scenario
from omni.evaluate.scripts import concrete
from omni.evaluate.simulate import Task, plan, tell, write_outcome
from omni.evaluate.timeline import draw
from omni.evaluate.verdicts import Verdict, judge
from omni.session.playback import LEAST_CUT_MS

UNKNOWN = "recorded"        # the model of a conversation that came without verdicts.json: another agent's


def judge_again(scenario: Scenario, folder: Path) -> Outcome:
    """The verdicts of a script on the conversation in a folder (conversation.wav, trace.jsonl); nothing is run.

    Turns lie where the trace says; what the script now says of their kind, text and answer counts. Instants of a trace
    are rounded to a tenth of a millisecond, so times may be one sample off.

    Raises:
        MediaError: a file is missing or cannot be used.
    """
    case = load_case(folder)
    record = load_record(folder)
    written = {turn.name: turn for turn in scenario.user}
    turns = []
    for span in sorted(case.turns, key=lambda span: span.start):
        if (turn := written.get(span.name)) is not None:
            span = replace(span, kind=turn.kind or span.kind, text=turn.text or span.text,
                           answer=turn.answer or span.answer)
        turns.append(span)
    verdicts = judge(scenario.expect, record, {span.name: span for span in turns}, case.num_samples)
    known = dict(case.heard)
    heard = tuple(known[reply.start] for reply in record.replies if reply.start in known)
    return Outcome(case.user, case.agent, record, tuple(turns), tuple(verdicts), heard)


def judge_in_place(folder: Path, task: Task, added_ms: int | None = None) -> None:
    """Write verdicts.json by what the script says now; recording and trace stay as they are.

    Who held the conversation, and which script it was then, stays too, so that a conversation that was held by another
    script is not taken for one by this.

    Args:
        added_ms: to all that the agent did; as many as before if None.

    Raises:
        MediaError: a file is missing or cannot be used.
    """
    held = _held(folder) or {"title": task.scenario.title, "added_ms": 0, "model": UNKNOWN, "seed": task.seed,
                             "scenario": config.to_plain(task.scenario),
                             "fingerprint": config.fingerprint(task.scenario)}
    added_ms = stated_ms(held) if added_ms is None else added_ms
    outcome = delayed(judge_again(task.scenario, folder), task.scenario, added_ms)
    seconds = outcome.record.timebase.to_seconds
    verdicts = [{**asdict(v), "start": seconds(v.start), "end": seconds(v.end)} for v in outcome.verdicts]
    with replacing(folder / "verdicts.json") as path:
        path.write_text(json.dumps({**held, "held": outcome.held, "added_ms": added_ms, "verdicts": verdicts}, indent=2,
                                   ensure_ascii=False) + "\n", encoding="utf-8")


def by_the_clock(model: str) -> bool:
    """Whether a conversation took place in real time, from who held it: a server, told by its address, or an agent of
    which the recordings are all there is."""
    return model == UNKNOWN or model.startswith(("ws://", "wss://"))


def drawn_with(folder: Path) -> int | None:
    """The --seed by which the turns of a conversation were drawn; None where nothing says so."""
    held = _held(folder)
    return None if held.get("model", UNKNOWN) == UNKNOWN else _draw_seed(held)


def _draw_seed(held: dict) -> int:
    """0 in what was held before a --seed reached its turns."""
    scenario = held.get("scenario")
    return scenario.get("draw_seed", 0) if isinstance(scenario, dict) else 0


def _held(folder: Path) -> dict:
    """What verdicts.json says of a conversation; empty if there is none."""
    try:
        return json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def draw_again(folder: Path, title: str) -> None:
    """Make the picture (timeline.png) of a conversation that was held without one.

    Raises:
        MediaError: a file is missing or cannot be used.
    """
    case = load_case(folder)
    try:
        found = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
        verdicts = [Verdict(**{**v, "start": _sample(v["start"]), "end": _sample(v["end"])}) for v in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{folder.name}/verdicts.json: cannot be read") from error
    with replacing(folder / "timeline.png") as path:
        draw(path, title, case.user, case.agent, load_record(folder), case.turns, verdicts)


def load_record(folder: Path) -> Record:
    """The record that a trace was written from, as far as its recording goes.

    Raises:
        MediaError: it is missing or is no trace.
    """
    record = Record(TINY)
    try:
        lines = (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{folder.name}/trace.jsonl: cannot be read") from error
    for number, line in enumerate(lines, 1):
        try:
            _add(record, json.loads(line))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise MediaError(f"{folder.name}/trace.jsonl:{number}: no event of a conversation") from error
    return record


def _add(record: Record, event: dict) -> None:
    """One line. What was heard stays heard: rounding moves no cut word over the border of 80 ms."""
    least = TINY.from_ms(LEAST_CUT_MS)
    match event["type"]:
        case "start_speak":
            record.replies.append(Reply(_sample(event["at"])))
        case "agent_text":
            start, end = _sample(event["from"]), _sample(event["to"])
            piece = Piece(event["text"], start, max(end, start + least) if event["cut"] else end, event["cut"])
            record.replies[-1].pieces.append(piece)
        case "agent_cut":
            start, end = _sample(event["from"]), _sample(event["to"])
            record.replies[-1].pieces.append(Piece(event["text"], start, min(end, start + least - 1), cut=True))
            record.replies[-1].unheard -= 1     # `Record.events` counts it again
        case "end_speak":
            reply = record.replies[-1]
            reply.end, reply.reason = _sample(event["at"]), event["reason"]
            broken_off = max((p.end for p in reply.pieces if p.cut), default=reply.end)
            reply.silent_at = _sample(event["silent"]) if "silent" in event else max(reply.end, broken_off)
            reply.unheard += event.get("unheard", 0)
        case "user_text":
            record.captions.append(Caption(event["text"], _sample(event["at"])))
        case "summary":
            record.num_blocks = event["blocks"]


def main(args) -> int:
    """The command: 0 if every expectation was met, 1 if not; a conversation that is missing raises."""
    work = plan(args, None)
    source, scripts = Path(args.recorded), dict(work.scripts)
    outcomes: list[tuple[Task, Outcome]] = []
    for folder, task in work.todo:
        there = source / folder.relative_to(args.out)
        held = _held(there)
        if held and (seed := _draw_seed(held)) != args.seed:      # what is judged is what was held
            task = replace(task, scenario=concrete(scripts[task.script], task.scenario.variant, seed))
        try:
            outcome = delayed(judge_again(task.scenario, there), task.scenario, stated_ms(held))
        except MediaError as error:
            raise MediaError(f"{there}: {error}") from error
        write_outcome(folder, task.scenario, outcome, seed=held.get("seed", task.seed),
                      model=held.get("model", UNKNOWN))
        if args.listen:
            write_page(folder, task.scenario.title)
        outcomes.append((task, outcome))
    return tell(work, outcomes)


def _sample(seconds: float) -> int:
    return round(seconds * TINY.sample_rate_hz)
