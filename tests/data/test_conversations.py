"""Lessons are legal: every target may come where it stands, and every cut is fed back as what was never heard."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from omni.data import bank, conversations, skills, streams
from omni.data.augment import Augment
from omni.data.conversations import BLOCK, DRILL, START_AFTER, Conversation, Heard, build
from omni.data.lines import OPEN_S, SoundLine, TextLine, TextSource
from omni.data.partner import OPEN_AFTER, decisive_after
from omni.data.pauses import thinking
from omni.data.recordings import active_span
from omni.data.skills import floor, stories
from omni.data.skills.sounds import SOUNDS
from omni.data.skills.talk import Ask, Memory
from omni.data.speaker import TextSpeaker
from omni.data.streams import TextConversations, caption_spans, characters, grid, mix, silences, sounds_told
from omni.data.user import BROKEN, COPY, INTERRUPTS, LISTENING, QUIZ, RATE_HZ, RECITAL, REMEMBER, TALK
from omni.evaluate.scenario import normal
from omni.model.cuts import last_cut
from omni.model.encoder import caption_ids, caption_text
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces, allowed

PIECES = Pieces(skills.vocabulary())


@pytest.fixture(scope="module")
def talks() -> list[Conversation]:
    rng, speaker = random.Random(0), TextSpeaker(PIECES)
    return [build(rng, 300, TextSource(), speaker) for _ in range(100)]


def _speaking(talk: Conversation) -> np.ndarray:
    """(T,) whether the floor is held when each block begins: what was decided is what is fed, not what was due."""
    held = np.zeros(talk.num_blocks, bool)
    for first, end, _ in _replies(talk):
        held[first + 1:end] = True
    return held


def _legal(talk: Conversation) -> torch.Tensor:
    """(T, V) what the grammar lets be decided in each block."""
    held = (torch.from_numpy(part) for part in (_speaking(talk), talk.waiting, talk.sounding > 0))
    return allowed(*held, len(PIECES))


def test_every_target_is_legal_under_the_grammar(talks):
    for talk in talks:
        assert _legal(talk)[torch.arange(talk.num_blocks), torch.from_numpy(talk.target)].all()
        assert not ((talk.target >= CUT_0) & (talk.target < FIRST_PIECE)).any()


def _decided(talk: Conversation) -> np.ndarray:
    """(T,) what was emitted, where that is not what was due."""
    taken = np.full(talk.num_blocks, THINK)
    for first, end, reply in _replies(talk):
        taken[first:end] = reply.tokens[:max(talk.num_blocks - first, 0)]
    return taken


def test_what_is_not_due_is_decided_and_what_is_late_is_due_until_it_is_decided(talks):
    late = {START_SPEAK: 0, END_SPEAK: 0}
    for talk in talks:
        taken = _decided(talk)
        for block in np.flatnonzero(taken != talk.target):
            due = talk.target[block]
            assert due in late
            waited = np.flatnonzero(taken[block:] == due)
            assert len(waited) == 0 or waited[0] < conversations.LATEST
            assert (talk.target[block:block + waited[0] + 1] == due).all() if len(waited) else True
            late[due] += 1
    assert min(late.values()) > 20


@pytest.mark.parametrize("manners", [TALK, DRILL, LISTENING, QUIZ, COPY, REMEMBER])
def test_some_answers_begin_after_any_pause_inside_of_a_sentence_in_every_manner_of_talk(manners):
    """Drills never began late, and nothing by more than a pause may take: whoever missed the one block in which lessons
    take the floor was never taught another, and often said nothing at all."""
    rng, speaker, waits = random.Random(3), TextSpeaker(PIECES), []
    for talk in (build(rng, 300, TextSource(), speaker, manners) for _ in range(40)):
        taken = _decided(talk)
        begun = np.flatnonzero(taken == START_SPEAK)
        due = [np.flatnonzero(talk.target[:block + 1] != START_SPEAK)[-1] + 1 for block in begun if block]
        waits += [block - first for block, first in zip(begun[begun > 0], due, strict=True)]
    longest = 1.2 * RATE_HZ / BLOCK
    assert 0.6 < np.mean([wait <= 0 for wait in waits]) < 0.9 and max(waits) < conversations.LATEST
    assert np.mean([wait > longest for wait in waits]) > 0.05


def test_fed_is_the_decision_one_block_later_except_after_a_cut(talks):
    cuts = 0
    for talk in talks:
        assert talk.fed[0] == THINK
        taken = _decided(talk)
        for block in range(1, talk.num_blocks):
            decided, fed, before = taken[block - 1], talk.fed[block], block - 1
            if decided == END_SPEAK and talk.waiting[before] + talk.sounding[before] > 0:
                assert fed == CUT_0 + talk.waiting[before]
                cuts += 1
            else:
                assert fed == decided
    assert cuts > 20, "conversations hold interruptions"


def test_the_queue_is_empty_while_the_agent_listens_and_never_holds_more_than_two(talks):
    for talk in talks:
        speaking = _speaking(talk)
        assert (talk.waiting[~speaking] == 0).all() and (talk.sounding[~speaking] == 0).all()
        assert talk.waiting.max() <= 2 and set(talk.sounding) <= {0, 1}
        assert not talk.waiting[0] and not talk.sounding[0]


def _replies(talk: Conversation):
    """(first block, one past the last, reply) of every reply."""
    return [(block, block + len(reply.tokens), reply) for block, reply in talk.said]


def test_replies_never_overlap_and_each_answers_a_turn_in_time(talks):
    for talk in talks:
        replies, answered = _replies(talk), {t.started: t for t in talk.turns if t.started is not None}
        assert [first for first, _, _ in replies] == sorted(answered), "a reply that nobody asked for"
        last = 0
        for first, end, _ in replies:
            assert first >= last, "two replies at once"
            last, turn = end, answered[first]
            wait = OPEN_AFTER if turn.heard.line.ask.open else START_AFTER
            assert first - turn.heard.end // BLOCK >= wait
        for turn in talk.turns:
            silent = turn.answer is not None and not turn.answer.text
            asked_in_time = turn.due + conversations.LATEST < talk.num_blocks
            assert turn.started is not None or silent or not asked_in_time, "a turn without an answer"


def test_lessons_hold_interruptions_of_every_kind(talks):
    yielded = [(t, after) for talk in talks for t, after in zip(talk.turns, talk.turns[1:], strict=False) if t.yielded]
    assert sum(after.heard.role == "stop" for _, after in yielded) > 10
    assert sum(after.heard.role == "turn" for _, after in yielded) > 20
    assert any(after.heard.line.ask.kind in ("correct", "add", "remove", "item") for _, after in yielded)
    early = [after for t, after in yielded if after.heard.at < (t.started + 2) * BLOCK + 16_000]
    assert len(early) > 5, "the floor changes quickly"
    assert any(t.heard.line.ask.kind == "go on" and t.answer.facts for talk in talks for t in talk.turns if t.answer)


def test_what_is_decisive_ends_the_reply_in_the_block_after_or_soon(talks):
    seen = 0
    for talk in talks:
        for first, end, _ in _replies(talk):
            for h in talk.heard:
                if h.line.ask is None or not first < h.at // BLOCK < end:
                    continue
                decisive = (h.at + decisive_after(h.line)) // BLOCK + 1
                if decisive < min(end, talk.num_blocks):
                    assert (talk.target[decisive:end] == END_SPEAK).all() and end <= decisive + 11
                    seen += 1
    assert seen > 30


def test_backchannels_others_and_sounds_change_nothing(talks):
    """A reply beside which nothing is asked is the whole reply."""
    seen, speaker = 0, TextSpeaker(PIECES)
    for talk in talks:
        for first, end, reply in _replies(talk):
            lines = [h for h in talk.heard if first + 1 < h.at // BLOCK < end - 1]
            if lines and all(h.role in ("backchannel", "other", "sound") for h in lines) and end <= talk.num_blocks:
                turn = next(t for t in talk.turns if t.started == first)
                assert reply.tokens.tolist() == speaker.render(turn.answer.text).tokens.tolist()
                seen += 1
    assert seen > 10


def test_between_turns_a_stop_a_word_or_a_sound_is_no_reason_to_speak(talks):
    alone = sum(h.role in ("stop", "word", "sound", "other", "backchannel") for t in talks for h in t.heard)
    asked = sum(h.role == "turn" for t in talks for h in t.heard)
    assert alone > 50 and sum(len(t.said) for t in talks) <= asked


def test_a_drill_is_turn_upon_turn_and_seven_exchanges_in_twenty_seconds():
    rng, source = random.Random(3), TextSource(2.5)
    speaker, counts = TextSpeaker(PIECES, 2.5), []
    for _ in range(40):
        talk = build(rng, 256, source, speaker, DRILL)
        assert {h.role for h in talk.heard} == {"turn"}
        assert all(len(t.answer.text) <= 150 for t in talk.turns if t.answer)
        began, due = [first for first, _ in talk.said], [t.due for t in talk.turns if t.answer and t.answer.text]
        assert len(due) - 1 <= len(began) <= len(due), "all in order; the last one may have no time left"
        assert all(0 <= at - first < conversations.LATEST for at, first in zip(began, due, strict=False))
        counts.append(len(talk.said))
    assert 6 < np.mean(counts) < 11


def test_where_sounds_can_be_read_they_are_asked_about_and_answered_by_what_is_told():
    rng, speaker, asked = random.Random(11), TextSpeaker(PIECES, 4), 0
    for _ in range(30):
        talk = build(rng, 256, TextSource(4, sounds=True), speaker, LISTENING)
        roles = [h.role for h in talk.heard if h.role not in ("turn", "sound")]
        assert not roles or "wait" in [t.heard.line.ask.kind for t in talk.turns], "others talk while it is to wait"
        told = sounds_told(talk, rng)
        assert told.shape == (256, len(SOUNDS)) and told.min() >= 0 and told.max() <= 1
        silent = np.ones(256, bool)
        for h in talk.heard:
            if h.role == "sound":
                silent[h.at // BLOCK:h.end // BLOCK + 6] = False
                here = told[h.at // BLOCK:h.end // BLOCK + 4, SOUNDS.index(h.line.sound)]
                assert here.max() > 0.06 or h.at // BLOCK > 250
        assert told[silent].mean() < 0.03
        for turn in talk.turns:
            if turn.answer and turn.heard.line.ask.skill == "sounds":
                here = told[max(turn.heard.at // BLOCK - 60, 0):turn.heard.end // BLOCK]
                loud = {SOUNDS[i] for i in range(len(SOUNDS)) if here[:, i].max() > 0.06}
                assert {k for k in turn.answer.facts if k in SOUNDS} <= loud
                asked += 1
    assert asked > 30


def test_without_sounds_to_read_nobody_asks_for_them_and_none_is_told(talks):
    assert sum(h.role == "sound" for talk in talks for h in talk.heard) > 50
    assert not [h for talk in talks for h in talk.heard if h.line.sound or h.line.ask and h.line.ask.skill == "sounds"]
    assert sounds_told(talks[0], random.Random(0)).mean() < 0.05


def test_some_agents_begin_inside_of_the_question_and_are_told_to_yield_and_to_answer_when_it_is_over():
    hasty, answered = 0, 0
    for seed in range(40):
        talk = build(random.Random(seed), 300, TextSource(), TextSpeaker(PIECES), replace(INTERRUPTS, early=0.6))
        speaking = _speaking(talk)
        for first, _ in talk.said:
            if talk.target[first] == THINK:     # nothing was due
                hasty += 1
                last = next((b for b in range(first + 1, 300) if not speaking[b]), 300)
                assert not speaking[first] and (talk.target[first + 1:last] == END_SPEAK).all()
                asked = [t for t in talk.turns if t.heard.at // BLOCK < first < t.due]
                answered += bool(asked) and any(asked[-1].due <= begin <= asked[-1].due + 16 for begin, _ in talk.said)
    assert hasty > 20 and answered > 0.5 * hasty
    assert not [first for seed in range(10) for talk in [build(random.Random(seed), 300, TextSource(),
                                                               TextSpeaker(PIECES))]
                for first, _ in talk.said if talk.target[first] == THINK]


@pytest.mark.parametrize("seed", [115, 129])
def test_who_would_begin_too_early_and_speaks_then_does_not_begin_a_moment_before_it_is_due(seed):
    manners = replace(INTERRUPTS, early=1.0, during={"turn": 0.5, "rapid": 0.4, "stop": 0.1})
    talk = build(random.Random(seed), 300, TextSource(), TextSpeaker(PIECES), manners)
    for first, _ in talk.said:
        assert talk.target[first] == START_SPEAK or not [t for t in talk.turns if 0 <= t.due - first <= START_AFTER]


def test_the_same_seed_builds_the_same_lesson():
    a, b = (build(random.Random(7), 200, TextSource(), TextSpeaker(PIECES)) for _ in range(2))
    assert (a.target == b.target).all() and (a.fed == b.fed).all() and a.heard == b.heard
    assert a.turns == b.turns and [first for first, _ in a.said] == [first for first, _ in b.said]


def test_own_audio_sounds_one_block_after_the_decision():
    talk, reply = Conversation(6), TextSpeaker(PIECES).render("one")
    sound = np.arange(len(reply.tokens) * BLOCK, dtype=np.float32) + 1
    talk.say(1, type(reply)(reply.tokens, reply.waiting, reply.sounding, sound))
    own = talk.own_audio()
    assert len(own) == 6 * BLOCK and (own[:2 * BLOCK] == 0).all()
    assert (own[2 * BLOCK:] == sound[:4 * BLOCK]).all()  # what lies beyond the lesson's end is cut off


def test_characters_are_those_said_late_and_in_order(talks):
    clean = next(seed for seed in range(99) if random.Random(seed).choice([0.0, 0.02, 0.06, 0.12]) == 0.0)
    for talk in talks[:20]:
        slots = characters(talk, PIECES, random.Random(clean))[0].tolist()
        assert len(slots) == talk.num_blocks * 4
        for h in talk.heard:
            alone = all(o is h or o.at > h.at + h.line.num_samples + 8_000 or
                        o.at + o.line.num_samples + 8_000 < h.at for o in talk.heard)
            last = (h.at + h.line.num_samples) // 320 + 60
            if alone and last < len(slots):
                window = [c for c in slots[h.at // 320:last] if c]
                said = caption_ids(" " + h.line.text + " ") if h.line.text else []
                assert window[:len(said)] == said


def test_a_word_is_named_in_the_block_in_which_it_is_complete():
    seed = next(seed for seed in range(99) if random.Random(seed).choice([0.0, 0.02, 0.06, 0.12]) == 0.0)
    talk = Conversation(60)
    text = "zebra a large latte please"
    words = [(word, 6_000 * i, 6_000 * i + 6_000) for i, word in enumerate(text.split())]
    talk.heard.append(Heard(TextLine(text, 32_000, words), 16_000, "turn"))
    slots, words = characters(talk, PIECES, random.Random(seed))
    named = [(block, PIECES.symbol(int(words[block]))) for block in np.flatnonzero(words.numpy() >= 0)]
    assert [w for _, w in named] == [w for w in text.split() if len(PIECES.encode(w)) == 1], "zebra is no piece"
    for block, word in named:
        complete, before = (caption_text([int(c) for c in slots[:b * 4] if c]) for b in (block + 1, block))
        assert f" {word} " in complete and f" {word} " not in before


def test_caption_spans_hold_one_known_line_and_nobody_else(talks):
    seen = 0
    for talk in talks:
        for first, last, ids, words in caption_spans(talk, PIECES):
            inside = [h for h in talk.heard if h.role != "sound" and h.at < last * BLOCK
                      and h.at + h.line.num_samples > first * BLOCK]
            assert len(inside) == 1 and ids.tolist() == caption_ids(inside[0].line.text)
            said = [w for w in inside[0].line.text.split() if len(PIECES.encode(w)) == 1]
            assert PIECES.decode(words.tolist()).lower().split() == [w.lower() for w in said]
            assert last * 4 >= len(ids), "fewer slots than characters: CTC could not spell it"
            seen += 1
    assert seen > 60


def test_batches_have_one_shape_and_weights_for_every_block():
    batch = next(iter(TextConversations(list(PIECES.words), 100, 3, 0)))
    assert {k: tuple(v.shape) for k, v in batch.items()} == {
        "target": (3, 100), "fed": (3, 100), "backlog": (3, 100), "weight": (3, 100), "characters": (3, 400),
        "heard": (3, 100)}
    assert "sounds" not in batch
    batch = next(iter(TextConversations(list(PIECES.words), 100, 3, 0, drills=2, sounds=True)))
    assert batch["sounds"].shape == (3, 100, len(SOUNDS)) and batch["sounds"].dtype == torch.float32
    assert (batch["weight"] > 0).all() and batch["backlog"].max() <= 5


def test_the_grid_agrees_with_what_the_model_counts(talks):
    sides = grid(talks[0])
    assert (sides["backlog"].numpy() == talks[0].waiting + 3 * talks[0].sounding).all()


def test_active_span_finds_the_speech_in_a_recording():
    x = np.random.default_rng(0).normal(0, 20, 32_000).astype(np.int16)
    x[8_000:16_000] = (8_000 * np.sin(np.arange(8_000) / 5)).astype(np.int16)
    first, last = active_span(x)
    assert 7_680 <= first <= 8_000 and 16_000 <= last <= 16_320
    assert active_span(np.zeros(100, np.int16)) == (0, 100)


def test_no_stop_is_also_a_backchannel():
    assert not set(floor.STOPS) & set(bank.BACKCHANNELS)
    assert conversations.RATE_HZ == 16_000


def test_what_is_far_off_stays_faint_even_where_nobody_near_speaks():
    rng, noise = random.Random(5), np.random.default_rng(5)
    augment = Augment([np.eye(1, 64, 16, dtype=np.float32)[0]], [noise.standard_normal(16_000).astype(np.float32)],
                      [(noise.standard_normal(8_000) * 3_000).astype(np.int16)])
    loud = (noise.standard_normal(16_000).clip(-1, 1) * 16_000).astype(np.int16)
    peaks = {"turn": [], "elsewhere": []}
    for skill, found in peaks.items():
        for _ in range(160):
            talk = Conversation(50)
            line = SoundLine(loud, None, skill, len(loud))
            talk.heard.append(Heard(line, 8_000, "turn" if skill == "turn" else "other"))
            found.append(float(np.abs(mix(talk, talk.own_audio(), augment, rng)).max()))
    near, far = (np.median(found) for found in peaks.values())
    assert near > 0.15 and far < near / 3


def test_a_row_of_recitals_has_ends_of_stories_and_one_at_the_speed_of_speech_none():
    ends = [" ".join(normal(story)[-8:]) for story in stories.STORIES.values()]

    def told(manners, pace):
        talks = (build(random.Random(seed), 256, TextSource(pace), TextSpeaker(PIECES, pace), manners)
                 for seed in range(12))
        said = [" ".join(normal(" ".join(PIECES.symbol(t) for t in talk.target if t >= FIRST_PIECE))) for talk in talks]
        return sum(end in text for text in said for end in ends)

    assert told(RECITAL, 4.0) >= 4 and told(INTERRUPTS, 1.0) == 0


def _asked(manners, num_blocks: int = 256, seeds: int = 20) -> list:
    source, speaker = TextSource(4.0), TextSpeaker(PIECES, 4.0)
    return [t for seed in range(seeds) for t in build(random.Random(seed), num_blocks, source, speaker, manners).turns]


def test_people_stay_with_a_thing_and_ask_what_only_follows_from_an_answer():
    pairs = [[(a.heard.line.ask, b.heard.line.ask) for a, b in itertools.pairwise(_asked(replace(DRILL, stays=stays)))]
             for stays in (0.0, 0.6)]
    same = [np.mean([a.skill == b.skill for a, b in found]) for found in pairs]
    chains = [sum((b.skill, b.kind) == ("sums", "chain") for _, b in found) for found in pairs]
    assert same[1] > same[0] + 0.3 and chains[1] > 2 * chains[0]


def test_what_is_cut_short_in_a_fast_row_is_gone_on_with_at_the_word_that_was_cut():
    turns, resumed = _asked(BROKEN), 0
    for before, hush, turn in zip(turns, turns[1:], turns[2:], strict=False):
        if before.rest and hush.heard.line.ask.kind == "stop" and turn.heard.line.ask.kind == "go on" and turn.answer:
            assert normal(turn.answer.text)[:3] == normal(before.rest)[:3]
            resumed += 1
    assert resumed >= 10


def test_a_quiz_asks_for_facts_and_sums_and_a_long_row_for_what_was_told_long_before():
    shares = [sum(t.heard.line.ask.skill in ("facts", "sums") for t in turns) / len(turns)
              for turns in (_asked(QUIZ), _asked(DRILL))]
    assert shares[0] > 0.35 > 0.25 > shares[1]
    known, told = [], {}
    for turn in _asked(REMEMBER, 1024, 10):
        ask = turn.heard.line.ask
        if ask.kind == "favourite":
            told[ask.values["of"]] = turn.heard.at
        elif ask.kind == "what favourite" and turn.before and ask.values["of"] in turn.before.favourites:
            known.append((turn.heard.at - told[ask.values["of"]]) / RATE_HZ)
    assert len(known) > 15 and max(known) > 30


def test_rows_of_text_are_of_the_kinds_that_were_asked_for():
    texts = TextConversations(list(PIECES.words), 100, 8, 3, drills=6, pace=4.0, recitals=1, quizzes=2, broken=1,
                              pauses=0.5, long_share=0.5, long_blocks=400)
    shapes = {tuple(batch["target"].shape) for batch, _ in zip(texts, range(8), strict=False)}
    assert shapes == {(8, 100), (2, 400)}


def test_rows_of_copies_are_mostly_strings_and_orders_to_say_back(monkeypatch):
    manners, plain = [], streams.conversations.build
    monkeypatch.setattr(streams.conversations, "build", lambda rng, blocks, source, speaker, manner, every: (
        manners.append(manner) or plain(rng, blocks, source, speaker, manner, every)))
    texts = TextConversations(list(PIECES.words), 100, 6, 3, drills=5, quizzes=1, copies=2, recitals=1)
    texts.open()(random.Random(0))
    assert manners == [QUIZ, COPY, COPY, DRILL, RECITAL, TALK]
    skills_asked = [turn.heard.line.ask.skill for turn in _asked(COPY, 256, 8)]
    assert skills_asked.count("readback") > 0.4 * len(skills_asked) > 20
    assert skills_asked.count("orders") > 0.3 * len(skills_asked)


def test_in_rows_of_listening_much_sounds_and_is_asked_about():
    texts = TextConversations(list(PIECES.words), 100, 6, 3, drills=6, quizzes=1, copies=1, listening=2, sounds=True)
    rows = [sum(batch["sounds"][row].amax(1).gt(0.4).float().mean().item() for batch, _ in
                zip(texts, range(6), strict=False)) for row in range(6)]
    assert min(rows[2], rows[3], rows[5]) > 2 * max(rows[0], rows[1], rows[4]), "and every other row that is left"
    asked = [turn.heard.line.ask.skill for seed in range(8) for turn in
             build(random.Random(seed), 256, TextSource(4, sounds=True), TextSpeaker(PIECES, 4), LISTENING).turns]
    assert asked.count("sounds") > 0.2 * len(asked) > 5


def test_what_is_gone_on_with_begins_with_the_word_that_the_mind_is_told():
    """At twice the speed of speech something is unheard at a cut, as it is in use."""
    source, speaker, pauses = TextSource(2.0), TextSpeaker(PIECES, 2.0), [PIECES.encode(p)[0] for p in (",", ".", "?")]
    found = []
    for seed in range(20):
        talk = build(random.Random(seed), 400, source, speaker, replace(BROKEN, haste=2.0))
        told = grid(talk)
        cuts = last_cut(told["fed"][None], told["backlog"][None], torch.tensor(pauses))[0].numpy()
        for turn in talk.turns:
            if turn.heard.line.ask.kind == "go on" and turn.started is not None and turn.started < 398:
                said = talk.target[turn.started + 1:]
                found.append((cuts[turn.started + 1], said[said >= FIRST_PIECE][0]))
    assert len(found) > 10 and all(cut == word for cut, word in found)


def test_rows_that_are_cut_short_have_a_speed_of_their_own(monkeypatch):
    paces, plain = [], streams.conversations.build
    monkeypatch.setattr(streams.conversations, "build", lambda rng, blocks, source, speaker, manner, every: (
        paces.append((speaker.pace, manner.haste, manner.resumes)) or plain(
            rng, blocks, source, speaker, manner, every)))
    for batch, told in ((3, {"drills": 2, "broken_pace": 2.0}), (1, {"drills": 1})):
        TextConversations(list(PIECES.words), 100, batch, 3, broken=1, pace=4.0, **told).open()(random.Random(0))
    assert paces == [(4.0, 1.0, 0.5), (2.0, 2.0, BROKEN.resumes), (1.0, 1.0, 0.5), (4.0, 4.0, BROKEN.resumes)]


@pytest.mark.parametrize(("pace", "pauses", "some"), [(4.0, None, False), (4.0, 1.0, True), (1.0, None, True)])
def test_people_pause_at_their_own_speed_and_where_that_is_asked_for(pace, pauses, some):
    source, rng, gaps = TextSource(pace, pauses=pauses), random.Random(2), []
    for _ in range(60):
        words = source.ask(rng, Memory(), "sums").words
        gaps.append(max((b[1] - a[2] for a, b in itertools.pairwise(words)), default=0))
    assert (max(gaps) >= 0.2 * RATE_HZ) == some


def test_where_the_floor_changes_in_every_second_block_targets_wait_for_it_and_stay_legal():
    speaker, changes = TextSpeaker(PIECES), 0
    for seed in range(20):
        talk = build(random.Random(seed), 300, TextSource(), speaker, INTERRUPTS, floor_every=2)
        blocks = np.flatnonzero((talk.target == START_SPEAK) | (talk.target == END_SPEAK))
        taken = [b for first, end, _ in _replies(talk) for b in (first, end - 1) if b < 299]
        assert not (blocks % 2).any() and not any(b % 2 for b in taken)
        legal = _legal(talk)
        legal[1::2, THINK] = True   # where the floor cannot change
        assert legal[torch.arange(300), torch.from_numpy(talk.target)].all()
        changes += len(taken)
    assert changes > 60


def test_a_reply_is_held_by_silence_before_its_end():
    reply = TextSpeaker(PIECES).render("hello.")
    sound = np.arange(len(reply.tokens) * BLOCK, dtype=np.float32)
    held = replace(reply, audio=sound).held(2)
    assert held.tokens.tolist() == [*reply.tokens[:-1], THINK, THINK, END_SPEAK]
    assert len(held.waiting) == len(held.sounding) == len(held.tokens) and not held.sounding[-3:-1].any()
    assert np.array_equal(held.audio, [*sound[:-BLOCK], *np.zeros(2 * BLOCK), *sound[-BLOCK:]])
    assert reply.held(0) is reply


def test_every_silence_of_whoever_asks_has_its_kind():
    words = [("what", 0, 4_000), ("is", 4_000, 6_000), ("two", 14_000, 18_000)]
    for is_open, kind, after in ((False, "complete", 0.16), (True, "ambiguous", 0.8)):
        ask = Ask("what is two", "sums", "sum", {"a": "two"}, open=is_open)
        line = TextLine("what is two", 18_000, words, ask)
        assert silences(Heard(line, 16_000, "turn")) == [
            {"from": 1.38, "to": 1.88, "kind": "incomplete"}, {"from": 2.12, "kind": kind, "answer_after": after}]
        told = replace(line, ask=replace(ask, values={}))
        assert silences(Heard(told, 16_000, "turn"))[0]["kind"] == "ambiguous"
        assert silences(Heard(replace(line, ask=None), 16_000, "other")) == []


@pytest.mark.parametrize("user, skill, kind, values, places", [
    ("can i get a large latte with soy milk", "orders", "order",
     {"coffeeDrink": "latte", "size": "large", "milkAmount": "soy milk"}, [2, 3, 4, 5, 7]),
    ("make that an iced coffee", "orders", "correct", {"coffeeDrink": "iced coffee"}, [3]),
    ("what is two plus twenty eight", "sums", "sum", {"a": "two", "b": "twenty eight"}, [2, 3, 4]),
    ("what is the capital of france", "facts", "capital", {"of": "france"}, [2, 3, 4, 5]),
    ("please remember my name is anna", "recall", "name", {"name": "anna"}, [2, 3, 4, 5]),
    ("how are you today", "smalltalk", "how", {}, []),
])
def test_people_think_where_what_is_asked_is_not_told_yet(user, skill, kind, values, places):
    assert thinking(Ask(user, skill, kind, values)) == places


def test_pauses_of_lessons_are_long_only_where_nothing_is_due_in_them():
    source, rng, found = TextSource(pauses=1.0), random.Random(6), []
    for _ in range(400):
        line = source.ask(rng, Memory())
        gaps = [(b[1] - a[2], i + 1) for i, (a, b) in enumerate(itertools.pairwise(line.words)) if b[1] > a[2]]
        assert len(gaps) <= 1
        found += [(gap / RATE_HZ, after in thinking(line.ask)) for gap, after in gaps]
    assert max(gap for gap, told in found if not told) < OPEN_S < 1.3 < max(gap for gap, told in found if told)
    assert np.mean([told for _, told in found]) > 0.5
