"""The oracle follows what really happened: what was heard, what was cut, what was said in place of what was planned."""

import itertools
import random
from collections.abc import Callable

import pytest

from omni.data import skills
from omni.data.lines import TextLine, TextSource
from omni.data.partner import BLOCK, DECISIVE, OPEN_AFTER, PATIENCE, START_AFTER, Partner
from omni.data.skills.talk import Ask, Memory
from omni.data.user import DRILL, RATE_HZ, TALK, Heard, Situation, User
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces

PIECES = Pieces(skills.vocabulary())
ORDER = Ask("can i have a large latte", "orders", "order", {"size": "large", "coffeeDrink": "latte"}, decisive=3)
STOP = Ask("stop", "floor", "stop", decisive=1)
WAIT = Ask("wait a minute", "floor", "wait", decisive=1)
BACK = Ask("i'm back", "floor", "back", over=False)
GO_ON = Ask("go on", "floor", "go on", over=False)
COUNT = Ask("count to twenty", "stories", "count", {"from": "one", "to": "twenty"})
STORY = Ask("tell me a story", "stories", "story")


def line(ask: Ask | None, blocks: float = 10, words: bool = True, sound: str = "", text: str = "") -> TextLine:
    """A line so many blocks long, its words of equal length."""
    text = ask.user if ask else text
    count, size = len(text.split()), int(blocks * BLOCK)
    times = [(w, size * i // count, size * (i + 1) // count) for i, w in enumerate(text.split())] if words else []
    return TextLine(text, size, times, ask, sound)


class Script:
    """A user who says lines in given blocks."""

    def __init__(self, *lines: tuple[int, TextLine]):
        self.lines = lines

    def act(self, now: Situation) -> list[Heard]:
        return [Heard(said, at * BLOCK, "turn" if said.ask else "other") for at, said in self.lines if at == now.block]


class Floor:
    """An agent with a queue in which every piece sounds for four blocks. It decides what is due unless told otherwise.

    Attributes:
        dues, tokens, knowable: of every block.
    """

    def __init__(self, partner: Partner):
        self.partner, self.queue, self.left = partner, [], 0
        self.dues: list[int] = []
        self.tokens: list[int] = []
        self.knowable: list[bool] = []

    def run(self, num_blocks: int, decide: Callable[[int, int], int | None] = lambda block, due: None) -> "Floor":
        for _ in range(num_blocks):
            block = len(self.tokens)
            self.partner.begin(block)
            sounding = int(self.left > 0)
            waiting = len(self.queue) - sounding
            due = self.partner.due(waiting, sounding)
            self.knowable.append(self.partner.knowable)
            told = decide(block, due)
            token = due if told is None else told
            self.partner.did(token, waiting, sounding)
            self.dues.append(due)
            self.tokens.append(token)
            if token == END_SPEAK:
                self.queue, self.left = [], 0
            elif token >= FIRST_PIECE:
                self.queue.append(token)
            if self.left > 0:
                self.left -= 1
                if not self.left:
                    self.queue.pop(0)
            if not self.left and self.queue:
                self.left = 4
        return self

    def said(self) -> str:
        return PIECES.decode(self.tokens)


def partner(*lines: tuple[int, TextLine], seed: int = 0) -> Partner:
    return Partner(random.Random(seed), TextSource(), PIECES, user=Script(*lines))


def test_an_order_is_answered_in_the_second_block_after_its_end_and_read_back_whole():
    talk = Floor(partner((5, line(ORDER, 10)))).run(80)
    ended = (5 * BLOCK + 10 * BLOCK) // BLOCK
    start = talk.tokens.index(START_SPEAK)
    assert start == ended + START_AFTER and talk.tokens[:start] == [THINK] * start
    assert talk.said().endswith("a large latte.") and talk.tokens.count(END_SPEAK) == 1
    memory = talk.partner.memory
    assert memory.order == ORDER.values and memory.agent_said == talk.said() and not memory.rest
    turn, = talk.partner.turns
    assert turn.started == start and turn.said == talk.said() and not turn.yielded


def test_what_people_often_go_on_with_is_waited_for():
    open_ask = Ask("five five five", "readback", "whole", {"string": "five five five"}, open=True)
    talk = Floor(partner((5, line(open_ask, 10)))).run(60)
    assert talk.tokens.index(START_SPEAK) == 15 + OPEN_AFTER


@pytest.mark.parametrize("pause_s", [0.2, 0.7, 1.2])
def test_inside_a_pause_nothing_is_due(pause_s):
    gap = int(pause_s * RATE_HZ)
    words = [("can", 0, 3_000), ("i", 3_000, 6_000), ("have", 6_000, 12_000), ("a", 12_000 + gap, 14_000 + gap),
             ("large", 14_000 + gap, 18_000 + gap), ("latte", 18_000 + gap, 24_000 + gap)]
    paused = TextLine(ORDER.user, 24_000 + gap, words, ORDER)
    talk = Floor(partner((3, paused))).run(60)
    end = (3 * BLOCK + 24_000 + gap) // BLOCK
    assert talk.dues[:end + START_AFTER] == [THINK] * (end + START_AFTER)
    assert talk.dues[end + START_AFTER] == START_SPEAK


def test_speech_yields_one_block_after_the_decisive_word_and_goes_on_at_the_word_that_was_cut():
    talk = Floor(partner((0, line(COUNT, 5)), (40, line(WAIT, 9)), (60, line(BACK, 5)), (90, line(STOP, 3)),
                         (100, line(GO_ON, 5)))).run(250)
    cut = talk.tokens.index(END_SPEAK)
    decisive = (40 * BLOCK + 3 * BLOCK) // BLOCK + 1  # one word of three
    assert cut == decisive and talk.dues[cut - 1] != END_SPEAK
    numbers = "one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, "
    numbers += "sixteen, seventeen, eighteen, nineteen, twenty."
    first, second, third = talk.partner.turns[0], talk.partner.turns[2], talk.partner.turns[4]
    assert first.yielded and f"{first.said} {first.rest}" == numbers
    assert PIECES.decode(talk.tokens[:cut]).startswith(first.said) and first.rest[0] not in ",.?"
    assert second.answer.text == first.rest, "it goes on with the word that was cut"
    assert second.yielded and third.answer.text == second.rest and third.said == second.rest
    assert talk.partner.memory.said_whole == second.rest


def test_whoever_does_what_is_due_can_know_it():
    for seed in range(6):
        assert all(played(seed, 600).knowable)


def test_who_heard_something_else_is_not_taught_what_follows_but_to_yield():
    """After a wrong piece nothing is known until the user says stop; and an order that was not heard stays so."""
    wrong = PIECES.encode("monday")[0]
    talk = Floor(partner((0, line(COUNT, 5)), (40, line(STOP, 3)), (60, line(ORDER, 10))))
    first = 5 + START_AFTER + 3   # the second piece of the reply, or one soon after
    talk.run(130, lambda block, due: wrong if block == first and due >= FIRST_PIECE else THINK if block > 60 else None)
    strayed = next(i for i, (due, did) in enumerate(zip(talk.dues, talk.tokens, strict=True)) if due != did)
    cut = talk.tokens.index(END_SPEAK)
    assert strayed == first and all(talk.knowable[:strayed + 1]) and talk.partner.turns[0].yielded
    decisive = talk.partner.turns[1].decisive
    assert cut == decisive and not any(talk.knowable[strayed + 1:decisive]) and talk.knowable[decisive]
    due = talk.partner.turns[2].due
    assert talk.dues[due:] == [START_SPEAK] * (130 - due)
    assert talk.knowable[cut:] == [True] * (due + PATIENCE + 1 - cut) + [False] * (129 - due - PATIENCE)


def test_another_right_answer_is_no_stray_and_what_nobody_asked_for_is_not_taught():
    hello = Ask("hello", "smalltalk", "hello")
    talk = Floor(partner((0, line(hello, 5)))).run(8)
    begins = {PIECES.encode(skills.answer(hello, Memory(), random.Random(i)).text)[0] for i in range(40)}
    other, = itertools.islice((b for b in begins if b != talk.dues[-1]), 1)
    talk.run(40, lambda block, due: other if due >= FIRST_PIECE and block == 8 else None)
    assert all(talk.knowable)
    unasked = Floor(partner((60, line(STOP, 3)))).run(90, lambda block, due: START_SPEAK if block == 5 else THINK)
    assert unasked.dues[5] == THINK and unasked.knowable[:6] == [True] * 6
    decisive = unasked.partner.turns[0].decisive
    assert unasked.dues[6:] == [END_SPEAK] * 84 and not any(unasked.knowable[6:decisive])
    assert unasked.knowable[decisive:] == [True] * (PATIENCE + 1) + [False] * (89 - decisive - PATIENCE)


def test_at_a_cut_what_waits_and_what_sounds_was_not_heard():
    talk = partner((0, line(COUNT, 2)), (20, line(STOP, 2)))
    pieces = iter(PIECES.encode("one, two, three, four,"))
    for block in range(24):
        talk.begin(block)
        due = talk.due(2, 1) if block > 10 else talk.due(0, 0)
        if block == 23:
            assert due == END_SPEAK
            talk.did(END_SPEAK, 2, 1)
        elif due == START_SPEAK:
            talk.did(START_SPEAK, 0, 0)
        elif 5 <= block < 13:
            talk.did(next(pieces), 0, 0)
        else:
            talk.did(THINK, 2, 1)
    # eight pieces came: "one , two , three , four ,"; two wait (four and its pause), one sounds (the pause before)
    assert talk.memory.agent_said == "one, two, three," and talk.memory.rest.startswith("four, five,")


def test_without_the_times_of_words_a_question_is_decisive_after_eight_tenths_of_a_second():
    talk = Floor(partner((0, line(STORY, 5)), (30, line(ORDER, 30, words=False)))).run(80)
    assert talk.tokens.index(END_SPEAK) == (30 * BLOCK + DECISIVE) // BLOCK + 1
    assert talk.dues[62] == START_SPEAK


def test_a_correction_over_the_read_back_is_taken():
    change = Ask("no make it a mocha", "orders", "correct", {"coffeeDrink": "mocha", "not coffeeDrink": "latte"},
                 decisive=3)
    talk = Floor(partner((0, line(ORDER, 10)), (18, line(change, 8)))).run(120)
    assert talk.partner.turns[0].yielded
    assert talk.partner.memory.agent_said.endswith("a large mocha.")
    assert talk.partner.turns[1].answer.never == ("latte",)


def test_whoever_waits_is_silent_until_called_back():
    called = Floor(partner((0, line(WAIT, 5)), (60, line(None, 10, text="did you lock the door")),
                           (120, line(BACK, 5)))).run(200)
    start = called.tokens.index(START_SPEAK)
    assert start == 125 + START_AFTER and called.said() == "yes, i am here."
    assert not called.partner.memory.waiting


def test_speech_that_nobody_asked_for_should_end_at_once():
    talk = Floor(partner((60, line(ORDER, 10))))
    talk.run(70, lambda block, due: START_SPEAK if block == 5 else THINK if block < 9 else None)
    assert talk.dues[5] == THINK and talk.dues[6:10] == [END_SPEAK] * 4
    assert talk.tokens[9] == END_SPEAK and talk.dues[10] == THINK
    assert not talk.partner.turns[0].said


def test_who_starts_inside_a_question_should_end_and_start_when_it_is_over():
    talk = Floor(partner((5, line(ORDER, 20)))).run(40, lambda block, due: START_SPEAK if block == 12 else None)
    assert talk.tokens[12:14] == [START_SPEAK, END_SPEAK] and talk.tokens[25 + START_AFTER] == START_SPEAK


def test_a_late_start_is_due_until_it_is_taken():
    talk = Floor(partner((5, line(ORDER, 10)))).run(80, lambda block, due: THINK if block < 30 else None)
    assert talk.dues[17:31] == [START_SPEAK] * 14 and talk.said().endswith("a large latte.")


def test_a_late_end_is_due_until_it_is_taken():
    late = Floor(partner((0, line(COUNT, 5)), (40, line(STOP, 2))))
    late.run(80, lambda block, due: THINK if 40 <= block < 50 else None)
    assert late.dues[43:51] == [END_SPEAK] * 8 and late.tokens[50] == END_SPEAK
    assert late.dues[51:] == [THINK] * 29


def test_another_piece_than_planned_takes_its_place():
    wrong = PIECES.encode("mocha")[0]
    talk = Floor(partner((0, line(ORDER, 10))))
    latte = PIECES.encode("latte")[0]
    talk.run(60, lambda block, due: wrong if due == latte else None)
    assert talk.said().endswith("a large mocha."), "and the reply ends as it would have"
    assert talk.partner.memory.agent_said.endswith("a large mocha.")
    assert talk.partner.memory.order["coffeeDrink"] == "latte", "what was said changes nothing of what was asked"


def test_another_right_answer_is_gone_on_with():
    """Whoever begins "sure" where "okay" was planned is not made to say what nobody would."""
    ask = Ask("hello", "smalltalk", "hello", over=False)
    answers = set()
    for seed in range(40):
        memory = Memory()
        skills.take(ask, memory)
        answers.add(skills.answer(ask, memory, random.Random(seed)).text)
    assert len(answers) > 1
    for other in answers:
        ids = iter(PIECES.encode(other))

        def say(block: int, due: int, ids=ids) -> int | None:
            return next(ids, None) if due >= FIRST_PIECE else None

        talk = Floor(partner((0, line(ask, 5)))).run(120, say)
        assert talk.partner.turns[0].answer.text == other and talk.said() == other
        assert talk.tokens[-1] == THINK and next(ids, None) is None


def test_what_sounds_is_known_while_it_sounds_and_three_seconds_longer():
    what = Ask("what do you hear", "sounds", "what")
    dog, rain = line(None, 10, sound="dog_bark"), line(None, 10, sound="rain")
    talk = Floor(partner((0, dog), (60, rain), (72, line(what, 10)))).run(130)
    assert "rain" in talk.said() and "dog" not in talk.said()
    both = Floor(partner((0, dog), (10, rain), (25, line(what, 10)))).run(80)
    assert "rain" in both.said() and "dog" in both.said()
    over = Floor(partner((0, dog), (60, line(what, 10)))).run(120)
    assert "nothing" in over.said()


def test_talk_and_sounds_are_no_reason_to_start_or_to_stop():
    talk = Floor(partner((0, line(COUNT, 5)), (20, line(None, 10, text="uh huh")),
                         (30, line(None, 20, sound="person_sneeze")), (210, line(None, 20, text="pass me the salt"))))
    talk.run(280)
    assert talk.tokens.count(END_SPEAK) == 1 and talk.said().endswith("nineteen, twenty.")
    assert talk.dues[230:] == [THINK] * 50


# ---- the user --------------------------------------------------------------------------------------------------------


def played(seed: int, num_blocks: int, decide=lambda block, due: None, manners=TALK) -> Floor:
    """A user of its own accord."""
    return Floor(Partner(random.Random(seed), TextSource(), PIECES, manners)).run(num_blocks, decide)


def test_a_user_who_gets_no_answer_asks_again_or_something_else():
    times = {}
    for seed in range(12):
        deaf = played(seed, 600, lambda block, due: THINK)
        turns = [h for h in deaf.partner.heard if h.line.ask and h.line.ask.kind not in ("stop", "wait", "done")]
        for before, after in zip(turns, turns[1:], strict=False):
            times.setdefault(before.line is after.line, []).append((after.at - before.end) / RATE_HZ)
        assert not deaf.partner.memory.agent_said
    assert len(times[True]) > 10 and len(times[False]) > 10
    assert all(2.9 < gap < 6.2 for gap in times[True])


def test_what_is_asked_again_is_taken_once():
    more = Ask("and then one two", "readback", "next", {"string": "one two"})
    first = Ask("it starts with five six", "readback", "whole", {"string": "five six"})
    again = line(more, 5)
    talk = Floor(partner((0, line(first, 5)), (60, again), (80, again)))
    talk.run(130, lambda block, due: THINK if 60 <= block < 85 else None)
    assert talk.partner.memory.groups == ["five six", "one two"] and len(talk.partner.turns) == 2


def test_a_user_says_stop_again_to_an_agent_that_does_not_stop():
    lines = TextSource()
    stops = 0
    for seed in range(30):
        user = User(random.Random(seed), lines)
        talk = Floor(Partner(random.Random(seed), lines, PIECES, user=user))
        talk.run(400, lambda block, due: THINK if due == END_SPEAK else None)
        stops += sum(a.line is b.line for a, b in zip(talk.partner.heard, talk.partner.heard[1:], strict=False))
    assert stops > 10


def test_conversations_are_the_same_for_the_same_seed_and_differ_for_another():
    a, b, c = played(5, 400), played(5, 400), played(6, 400)
    assert a.tokens == b.tokens and a.partner.heard == b.partner.heard and a.tokens != c.tokens


def test_what_an_agent_that_errs_is_told_is_always_legal():
    """Whatever a restless agent does, what is due is possible under the grammar."""
    rng = random.Random(1)

    def restless(block: int, due: int) -> int | None:
        return legal() if rng.random() < 0.2 else None

    for seed in range(20):
        talk = Floor(Partner(random.Random(seed), TextSource(), PIECES))

        def legal(talk=talk) -> int:
            if not talk.partner.speaking:
                return rng.choice([THINK, START_SPEAK])
            waiting = len(talk.queue) - int(talk.left > 0)
            return rng.choice([THINK, END_SPEAK, *([FIRST_PIECE + rng.randrange(200)] if waiting < 2 else [])])

        speaking = False
        talk.run(400, restless)
        for due, token in zip(talk.dues, talk.tokens, strict=True):
            assert due == THINK or (due == START_SPEAK) != speaking
            speaking = token == START_SPEAK or speaking and token != END_SPEAK


def test_a_drill_asks_for_nothing_long():
    for seed in range(10):
        talk = played(seed, 300, manners=DRILL)
        assert all(len(t.answer.text) <= 150 for t in talk.partner.turns if t.answer)
        assert all(h.role == "turn" for h in talk.partner.heard)
