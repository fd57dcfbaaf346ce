"""Scripts with a network in virtual time, rounds, word times and held-out wordings."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import need
from fake_model import FakeModel

from omni.audio.files import write_wav
from omni.base import config
from omni.base.errors import OmniError, ScriptError
from omni.data import held_out
from omni.data.skills import chatter
from omni.engine.engine import Engine
from omni.evaluate import sets
from omni.evaluate.network import Way
from omni.evaluate.outcome import trace
from omni.evaluate.scenario import NetworkPath
from omni.evaluate.scripts import concrete, load_scenario
from omni.evaluate.simulate import Task, simulate, simulate_all

SCRIPT = """title: Over a network
length_s: 12
variants: 2
noise: {level_db: -70}
%suser:
  - {play: ask.wav, when: {at_s: 0.5}}
  - {play: stop.wav, kind: stop, when: {start_speak: 1, plus_s: 1.5}}
expect:
  - answers: {to: ask, within_s: 2.0}
  - yields: {to: stop, within_s: 2.0}
"""


def _script(folder: Path, network: str = "") -> Path:
    rng = np.random.default_rng(3)
    for name, seconds in (("ask", 0.6), ("stop", 0.4)):
        write_wav(folder / f"{name}.wav", 0.2 * rng.standard_normal(int(seconds * 16_000)), 16_000)
    path = folder / "net.yaml"
    path.write_text(SCRIPT % (f"network: {network}\n" if network else ""))
    return path


def _hold(path):
    return simulate(Engine(FakeModel(words=40), capacity=1), concrete(load_scenario(path), 0), path)


def test_a_clean_network_costs_its_delays_and_nothing_else(tmp_path):
    near = _hold(_script(tmp_path))
    far = _hold(_script(tmp_path, "{delay_ms: 50}"))
    assert near.held and far.held
    later = (far.record.replies[0].start - near.record.replies[0].start) / 16
    # 50 ms there and back, 60 ms of the client's buffer, and the server's grid: its blocks end where they end
    assert 160 <= later <= 320
    assert far.agent.any() and len(far.agent) == len(far.user) == 12 * 16_000
    heard = [line for line in trace(far) if line["type"] == "server_heard"]
    sounded = far.record.words_of(far.record.replies[0], far.record.replies[0].silent_at)
    words = heard[0]["text"].split()
    # the server knows what the user heard, but for a word that waited in the client's buffer when it was cut
    assert words[:len(sounded)] == [word.text for word in sounded] and len(words) <= len(sounded) + 1


def test_the_same_seed_gives_the_same_conversation_whatever_runs_beside_it(tmp_path):
    path = _script(tmp_path, "{delay_ms: 20, jitter_ms: 120, loss: 0.05}")
    tasks = [Task(concrete(load_scenario(path), variant), path, variant) for variant in range(2)]
    together = [outcome for _, outcome in simulate_all(Engine(FakeModel(words=40), capacity=2), tasks)]
    engine = Engine(FakeModel(words=40), capacity=2)
    alone = [next(simulate_all(engine, [task]))[1] for task in tasks]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.agent, b.agent)
        assert trace(a) == trace(b)
    assert not np.array_equal(together[0].agent, together[1].agent)


def test_a_way_loses_its_share_and_keeps_the_order():
    way = Way(NetworkPath(loss=0.1, delay_ms=20, jitter_ms=200), seed=4)
    sent = [number for number in range(5_000) if not way.loses()]
    assert 0.08 < way.lost / 5_000 < 0.12
    for number in sent:
        way.send(number, number * 320)
    arrived, at = [], {}
    for now in range(0, 5_100 * 320, 320):
        for number in way.arrivals(now):
            arrived.append(number)
            at[number] = now
    assert arrived == sent      # what is late holds up what follows
    delays = [(at[n] - n * 320) / 16 for n in sent]
    assert min(delays) >= 20 and 180 < max(delays) <= 240


def test_a_network_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ScriptError, match="net.yaml:5.*share"):
        load_scenario(_script(tmp_path, "{loss: 1.0}"))
    with pytest.raises(ScriptError, match="jitter_ms"):
        load_scenario(_script(tmp_path, "{jiter_ms: 1}"))


ROUNDS = """title: Rounds
length_s: 40
repeat_s: 12
user:
  - {play: ask.wav, when: {at_s: [0.5, 3.0]}}
  - {play: stop.wav, kind: stop, when: {after: ask, plus_s: 2}}
expect:
  - answers: {to: ask, within_s: 2.0}
  - silent: {from_s: 0, until: ask}
"""


def test_a_round_comes_again_with_names_and_times_of_its_own(tmp_path):
    path = _script(tmp_path)
    path.write_text(ROUNDS)
    found = concrete(load_scenario(path), 0)
    assert [turn.name for turn in found.user] == ["ask", "stop", "ask_2", "stop_2", "ask_3", "stop_3"]
    starts = [turn.when.at_s for turn in found.user[::2]]
    assert all(k * 12 + 0.5 <= at <= k * 12 + 3 for k, at in enumerate(starts))
    assert len({at - k * 12 for k, at in enumerate(starts)}) == 3
    assert found.user[3].when.after == "ask_2" and found.expect[2].answers.to == "ask_2"
    assert found.expect[5].silent.from_s == 24 and found.expect[5].silent.until == "ask_3"
    path.write_text(ROUNDS.replace("{after: ask, plus_s: 2}", "{start_speak: 1}"))
    with pytest.raises(ScriptError, match="repeat_s is for turns"):
        load_scenario(path)


@pytest.mark.parametrize("voice", ["flite:kal16", "espeak:en-us+f3"])
def test_words_lie_where_the_synthesizer_says_them(voice, tmp_path, monkeypatch):
    need("flite" if voice.startswith("flite") else "espeak-ng")
    monkeypatch.setenv("OMNI_CACHE_DIR", str(tmp_path))
    samples, words = sets.speak("please stop W now", sets.choose_voice(voice, 0))
    assert [word for word, _, _ in words] == ["please", "stop", "W", "now"]
    assert all(0 <= a < b <= len(samples) for _, a, b in words)
    assert all(x[2] <= y[1] + 800 for x, y in zip(words, words[1:], strict=False))
    assert (sets.speak("please stop W now", sets.choose_voice(voice, 0))[1]) == words      # from the cache
    item = sets.Item("x", samples, "stop", "please stop W now", (), words, ("stop", "enough"))
    assert item.decisive_end() == words[1][2]
    question = sets.Item("x", samples, "turn", "", (), words)
    assert question.decisive_end() == words[1][2]


def test_no_lesson_says_what_is_held_out():
    assert len(held_out.wordings()) == 54
    with pytest.raises(OmniError, match="held out"):
        held_out.check("Would you bring me a large latte")
    held_out.check("can i have a large latte")
    held_out.check(None)
    rng = random.Random(1)
    assert not held_out.wordings() & {chatter.text(rng) for _ in range(2_000)}


def test_a_held_out_set_that_was_changed_is_told(monkeypatch, tmp_path):
    copy = tmp_path / "configs"
    shutil.copytree(config.data_path("configs"), copy, ignore=shutil.ignore_patterns("*.flac"))
    changed = copy / "evaluate" / "sets" / "unseen_stops.yaml"
    changed.write_text(changed.read_text() + "\n# changed\n")
    monkeypatch.setattr(held_out, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    held_out.wordings.cache_clear()
    try:
        with pytest.raises(OmniError, match="unseen_stops.yaml is not the set"):
            held_out.wordings()
    finally:
        held_out.wordings.cache_clear()
