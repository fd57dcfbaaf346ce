"""Longer scenes of the examination: who goes on where it was cut and remembers is found right, who does not is not."""

import random

import puppet
import pytest

from omni.data import skills
from omni.data.lines import SoundLine
from omni.data.partner import Reply, Turn
from omni.data.skills import stories
from omni.data.skills.talk import Answer, Ask, Memory
from omni.data.user import BLOCK, RATE_HZ, Heard
from omni.evaluate.scenario import normal
from omni.evaluate.world import exam, judge, table
from omni.evaluate.world.resumption import following, goes_on
from omni.model.tokens import END_SPEAK, FIRST_PIECE, PAUSES, START_SPEAK, THINK, Pieces

PIECES = Pieces(skills.vocabulary())


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Voices cost nothing, and a conversation is at most four minutes."""
    puppet.holds_exams(monkeypatch, 3_000)


def held(task: str, most: int, decide=None, seed: int = 1) -> tuple[puppet.Puppet, table.Cases]:
    """What an agent's conversations were, and what was asked in them; they are all held at once."""
    model, found = puppet.Puppet(PIECES, decide), {}
    for sitting, js in exam.hold(model, exam.sittings(task, most, seed), 100):
        found[sitting.task, sitting.case] = js
    return model, found


def row(task: str, most: int, decide=None, seed: int = 1) -> table.Row:
    """The task's row."""
    _, found = held(task, most, decide, seed)
    return next(row for row in table.rows(found) if row.name == task)


def told_to_go_on(partner) -> bool:
    return partner.answering is not None and partner.answering.heard.line.ask.kind == "go on"


@pytest.mark.parametrize("task", exam.SCENES)
def test_an_oracle_is_right_and_whoever_is_silent_or_says_anything_is_not(task):
    found = row(task, 24)
    assert found.value == 1.0 and found.count >= 20 and "kept from lessons 100.0%" in found.note
    silent = row(task, 24, lambda row, block, due: THINK)
    assert silent.value == 0.0 and silent.count >= 24
    rng, some = random.Random(0), range(FIRST_PIECE, len(PIECES))
    babble = row(task, 24, lambda row, block, due: rng.choice(some) if due >= FIRST_PIECE else None)
    assert babble.count >= 12 and babble.value <= 0.1


def test_scenes_leave_the_other_rows_as_they_are():
    _, found = held("go_on", 6)
    rows = {row.name: row for row in table.rows(found)}
    assert [*rows] == ["go_on", "in_time", "latency_p50", "latency_p95"] and rows["in_time"].count == 0


# ---- go on -----------------------------------------------------------------------------------------------------------


def test_go_on_is_mostly_what_is_asked_and_what_was_cut_is_told():
    model, found = held("go_on", 24)
    asks = [turn.heard.line.ask.kind for partner in model.loop.partners for turn in partner.turns]
    assert asks.count("go on") > 0.2 * len(asks)
    judged = [j for js in found.values() for j in js]
    assert len(judged) >= 20 and {j.kind for j in judged} == {"after stop", "after wait"}
    assert all(j.expected and j.right and " | " in j.asked for j in judged)
    roles = {heard.role for partner in model.loop.partners for heard in partner.heard}
    assert roles == {"turn", "stop", "backchannel"}


def test_who_begins_anew_does_not_go_on():
    begun = {}

    def restart(row: int, block: int, due: int) -> int | None:
        partner = model.loop.partners[row]
        if due < FIRST_PIECE or not told_to_go_on(partner):
            begun[row] = 0
            return None
        long = next(t for t in reversed(partner.turns) if t.heard.line.ask.skill == "stories")
        ids = PIECES.encode(long.answer.text)
        begun[row] += 1
        return ids[begun[row] - 1]

    model = puppet.Puppet(PIECES, restart)
    found = [j for _, js in exam.hold(model, exam.sittings("go_on", 18, 1), 100) for j in js]
    assert len(found) >= 12 and not any(j.right for j in found)


def test_who_tells_another_story_than_it_was_asked_for_goes_on_with_that_one():
    """The oracle's own rest counts pieces of what should have been said, so that none of this was right."""
    story = PIECES.encode(stories.STORIES["kite"])
    strayed = set()

    def kite(row: int, block: int, due: int) -> int | None:
        partner = model.loop.partners[row]
        if due < FIRST_PIECE:
            return None
        if not told_to_go_on(partner) and partner.answering.heard.line.ask.skill == "stories":
            at = len(partner._said)
        else:
            long = next(t for t in reversed(partner.turns) if t.heard.line.ask.skill == "stories")
            heard = " ".join(r.said for r in partner.replies if r.started >= long.started)
            at = len(PIECES.encode(heard)) + len(partner._said)
            while not partner._said and PIECES.symbol(story[at]) in PAUSES:
                at += 1
        if partner._strayed:
            strayed.add(row)
        return story[at]

    model = puppet.Puppet(PIECES, kite)
    found = [j for _, js in exam.hold(model, exam.sittings("go_on", 18, 1), 100) for j in js]
    assert len(found) >= 12 and len(strayed) >= 4
    wrong = [j for j in found if not j.right]
    assert len(wrong) < 4 and all(len(normal(j.said)) < 3 for j in wrong), "there the puppet had no more to say"


def test_who_says_okay_when_it_is_stopped_is_to_go_on_all_the_same():
    okay = PIECES.encode("okay")[0]

    def polite(row: int, block: int, due: int) -> int | None:
        partner = model.loop.partners[row]
        last = partner.turns[-1] if partner.turns else None
        if last is None or last.heard.line.ask.kind not in ("stop", "wait"):
            return None
        if partner.speaking and partner.answering is None:
            return okay if not partner._said else END_SPEAK if partner.block > partner._since + 8 else THINK
        over = block == last.heard.end // BLOCK + 6
        return START_SPEAK if over and not partner.speaking else None

    model = puppet.Puppet(PIECES, polite)
    found = [j for _, js in exam.hold(model, exam.sittings("go_on", 12, 1), 100) for j in js]
    assert any(r.said == "okay" for partner in model.loop.partners for r in partner.replies)
    assert len(found) >= 8 and {j.said for j in found if not j.right} <= {"yes, i am here."}
    assert len([j for j in found if not j.right]) >= 4, "the oracle forgets, and that is seen"


def test_who_falls_silent_at_uh_huh_was_cut_by_it():
    def shy(row: int, block: int, due: int) -> int | None:
        partner = model.loop.partners[row]
        last = partner.heard[-1] if partner.heard else None
        shut = partner.speaking and last.role == "backchannel" and block == last.end // BLOCK + 1
        return END_SPEAK if shut else None

    model = puppet.Puppet(PIECES, shy)
    found = [j for _, js in exam.hold(model, exam.sittings("go_on", 30, 1), 100) for j in js]
    assert {j.kind for j in found} == {"after stop", "after wait", "after backchannel"} and all(j.right for j in found)


def test_who_cannot_be_stopped_has_nothing_to_go_on_with():
    def stubborn(row: int, block: int, due: int) -> int | None:
        partner = model.loop.partners[row]
        if not partner.should_yield:
            return None
        return partner._plan[0] if partner._plan and waits(row) < 2 else THINK if partner._plan or waits(row) else None

    def waits(row: int) -> int:
        return model.loop.courses[row].backlog[-1] % 3

    model = puppet.Puppet(PIECES, stubborn)
    found = [j for _, js in exam.hold(model, exam.sittings("go_on", 6, 1), 100) for j in js]
    assert not found


def cut(said: str, rest: str, whole: str = "") -> tuple[Reply, Turn]:
    """A reply that was cut, and what it was asked for with: counting to twelve, unless `whole` is the right answer."""
    ask = Ask("x", "stories", "count", {"from": "one", "to": "twelve"})
    line = SoundLine(None, "x", "stories", BLOCK, words=[], ask=ask)
    right = Answer(whole or skills.alone(ask, random.Random(0)))
    turn = Turn(Heard(line, 0, "turn"), 1, 2, right, 3, 9, said, rest, True, Memory())
    return Reply(3, 9, said, turn), turn


def test_what_follows_is_what_was_planned_or_else_what_comes_after_what_was_heard():
    right = "five, six, seven, eight, nine, ten, eleven, twelve."
    assert following(normal("one two three four"), *cut("one, two, three, four,", right)) == [normal(right)]
    assert following(normal("eleven twelve"), *cut("one, two, three, four, " + right, "")) == [[]], "that was all"
    # one was left out, so that what is left of the plan begins too early
    reply, long = cut("one, two, four, five, six,", "six, seven, eight.")
    found = following(normal(reply.said), reply, long)
    assert ["seven", "eight"] == found[0][:2] and all(rest[0] == "seven" for rest in found)
    down = following(normal("thirty two thirty one thirty"), *cut("thirty two, thirty one, thirty", "one, two."))
    assert [rest[:3] for rest in down] == [["twenty", "nine", "twenty"]], "counted down, and not up: thirty ONE"
    assert following(normal("green cow"), *cut("green cow,", "eight, nine.")) == [["eight", "nine"]], "nobody knows"


def test_it_takes_three_words_to_go_on_and_all_of_the_first_five():
    rest = normal("seven, eight, nine, ten, eleven, twelve.")
    for said, is_right in (("seven, eight, nine, ten, eleven, what", True), ("seven, eight, nine", True),
                           ("seven, eight", False), ("seven, eight, nine, nine", False), ("", False),
                           ("six, seven, eight, nine, ten", False), ("one, two, three, four, five", False)):
        assert goes_on(normal(said), rest) == is_right, said
    assert goes_on(["twelve"], ["twelve"]) and not goes_on([], ["twelve"]) and not goes_on(["one"], ["twelve"])


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_what_was_told_is_asked_for_after_a_while_and_not_named_meanwhile():
    model, found = held("memory", 60)
    js = [j for some in found.values() for j in some]
    assert len(js) == 60 and {j.kind for j in js} == {"what name", "what favourite"}
    assert all(30 <= j.after_s < 150 for j in js) and {j.after_s < 60 for j in js} == {j.after_s > 120 for j in js}
    assert 65 < sum(j.after_s for j in js) / len(js) < 100
    for partner in model.loop.partners:
        assert len(partner.user.things) == 3
        for thing in partner.user.things:
            asked = next(turn.heard for turn in partner.turns if turn.heard.line is thing.asked)
            between = [turn for turn in partner.turns if thing.told.end + 4 * RATE_HZ < turn.heard.at < asked.at]
            texts = [text for turn in between for text in (turn.heard.line.ask.user, turn.said)]
            assert between and not [text for text in texts if thing.value in normal(text)]
        talked = {turn.heard.line.ask.skill for turn in partner.turns}
        assert "recall" in talked and len(talked) >= 4


def test_near_and_far_are_told_apart():
    def forgets(row: int, block: int, due: int) -> int | None:
        """Whatever was told more than a minute ago."""
        turn = (partner := model.loop.partners[row]).answering
        thing = next((t for t in partner.user.things if turn and t.asked is turn.heard.line), None)
        late = thing is not None and turn.heard.at - thing.told.end > table.NEAR_S * RATE_HZ
        return END_SPEAK if late and due >= FIRST_PIECE else None

    model = puppet.Puppet(PIECES, forgets)
    found = {("memory", sitting.case): js for sitting, js in exam.hold(model, exam.sittings("memory", 30, 1), 100)}
    parts = next(row.parts for row in table.rows(found) if row.name == "memory")
    assert parts["near"].value == 1.0 and parts["far"].value == 0.0 and parts["two minutes"].value == 0.0
    assert parts["near"].count + parts["far"].count == 30 > parts["far"].count > parts["two minutes"].count > 0
    assert all(isinstance(j, judge.Judged) and j.skill == "recall" for js in found.values() for j in js)
