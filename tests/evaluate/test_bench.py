"""`omni bench` with a clock of its own: the numbers are the clock's, whatever the machine does."""

import itertools
import json

import numpy as np
import pytest
import tiny
from fake_model import FakeModel

from omni.base.events import BlockInput
from omni.cli import main
from omni.engine.engine import Engine
from omni.evaluate.bench import bench_beginning, bench_forward, bench_matrices, bench_steps
from omni.evaluate.forcing import ROUND, Forcing
from omni.model.tokens import END_SPEAK, START_SPEAK, THINK
from omni.model.weights import save_model


class Slower:
    """An engine and its clock: a step takes 8 ms, and twice that if somebody's agent has the floor after it."""

    def __init__(self, engine: Engine):
        self.timebase, self.open, self.close = engine.timebase, engine.open, engine.close
        self._step, self.now_ns = engine.step, 0

    def step(self, inputs):
        results = self._step(inputs)
        self.now_ns += 16_000_000 if any(result.speaking for result in results.values()) else 8_000_000
        return results


def results_of(model, blocks: int, share: float | None, rows: int = 2):
    """What every row's agent did in each block of quiet noise, forced unless `share` is None."""
    engine, rng = Engine(model, capacity=rows), np.random.default_rng(0)
    slots = [engine.open(i) for i in range(rows)]

    def step():
        return engine.step({s: BlockInput(rng.standard_normal(1280).astype(np.float32) * 0.01) for s in slots})

    if share is None:
        return [step() for _ in range(blocks)]
    told = []
    with Forcing(model, rows, share) as forcing:
        for block in range(blocks):
            forcing.tell(block)
            told.append(step())
            forcing.see(told[-1])
    return told


def test_costs_are_percentiles_of_what_the_clock_said():
    ticks = itertools.count()

    def clock_ns() -> int:      # every step takes 8 ms
        return next(ticks) * 8_000_000

    engine = Engine(FakeModel(), capacity=4)
    cost = bench_steps(engine, 4, 60, clock_ns=clock_ns)
    assert (cost.conversations, cost.blocks) == (4, 60)
    assert cost.p50_ms == cost.p95_ms == cost.max_ms == 8.0
    assert cost.p95_ratio == pytest.approx(0.1)
    assert 0 <= cost.speaking_share <= 1
    assert engine.num_open == 0


def test_blocks_of_listening_and_of_speaking_are_told_apart():
    engine = Slower(Engine(FakeModel(deaf=True), capacity=1))
    cost = bench_steps(engine, 1, 3 * ROUND, clock_ns=lambda: engine.now_ns)
    listening, speaking = cost.states["listening"], cost.states["speaking"]
    assert (listening.p50_ms, listening.max_ms, listening.speaking_share) == (8.0, 8.0, 0.0)
    assert (speaking.p50_ms, speaking.max_ms, speaking.speaking_share) == (16.0, 16.0, 1.0)
    assert listening.blocks + speaking.blocks == cost.blocks
    assert cost.speaking_share == pytest.approx(speaking.blocks / cost.blocks, abs=1e-3)
    assert (cost.max_ms, cost.speaking_to_listening) == (16.0, 2.0)


def test_a_block_in_which_a_conversation_begins_is_told_from_the_next_ones():
    class Dear(Slower):
        """A conversation's first block takes 24 ms, and nothing else counts."""

        def step(self, inputs):
            fresh = set(inputs) - self.known
            self.known = set(inputs)
            self._step(inputs)
            self.now_ns += 24_000_000 if fresh else 8_000_000

    model, opened = Engine(FakeModel(), capacity=3), []
    engine = Dear(model)
    engine.known = set()
    engine.open = lambda seed: opened.append(seed) or model.open(seed)
    engine.close = lambda slot: engine.known.discard(slot) or model.close(slot)
    assert bench_beginning(engine, 3, rounds=4, clock_ns=lambda: engine.now_ns) == 3.0
    assert len(opened) == 3 + 5 and model.num_open == 0


def test_an_agent_that_never_speaks_has_no_cost_of_speaking():
    """The bench once measured only such an agent: noise was no question to the shipped weights."""
    cost = bench_steps(Engine(FakeModel(threshold=10.0), capacity=2), 2, 20)
    assert list(cost.states) == ["listening"]
    assert (cost.speaking_share, cost.sounding_share, cost.speaking_to_listening) == (0.0, 0.0, None)


@pytest.mark.parametrize("layout", ["summed", "interleaved"])
@pytest.mark.parametrize("conversations", [1, 3])
def test_a_real_model_speaks_in_half_of_the_blocks(layout, conversations):
    model = tiny.duplex(layout, restless=False)
    tiny.even(model.mouth, 40)
    engine = Engine(model, capacity=conversations)
    cost = bench_steps(engine, conversations, 3 * ROUND, forcing=Forcing(model, conversations))
    assert 0.4 < cost.speaking_share < 0.6
    assert cost.sounding_share > 0.8 * cost.speaking_share
    assert cost.states["listening"].speaking_share == 0
    assert cost.speaking_to_listening > 0


def test_a_forced_reply_is_a_whole_one():
    """It begins and ends by the floor's tokens, and none of its pieces is cut."""
    model = tiny.duplex(temperature=1.0)
    tiny.even(model.mouth, 30)
    results = results_of(model, 4 * ROUND, 0.5)
    for row in (0, 1):
        mine = [result[row] for result in results]
        floor = [r.token for r in mine if r.token in (START_SPEAK, END_SPEAK)]
        assert floor[:6] == [START_SPEAK, END_SPEAK] * 3
        assert {r.stopped for r in mine} == {None, "finished"}
        assert sum(len(r.begun) for r in mine) > 10
        assert any(r.speaking and r.token == THINK for r in mine), "no piece had to wait for its sound"


@pytest.mark.parametrize("share", [0, 1])
def test_none_and_all(share):
    speaking = [r.speaking for result in results_of(tiny.duplex(), 2 * ROUND, share)[ROUND:] for r in result.values()]
    assert speaking == [bool(share)] * len(speaking)


def test_forcing_is_the_same_for_the_same_seed_and_leaves_nothing_behind():
    def tokens(results) -> list[int]:
        return [r.token for result in results for r in result.values()]

    model = tiny.duplex()
    before = tokens(results_of(model, ROUND, None))
    forced = tokens(results_of(model, ROUND, 0.5))
    assert tokens(results_of(model, ROUND, None)) == before != forced
    assert tokens(results_of(model, ROUND, 0.5)) == forced
    with pytest.raises(ValueError, match="share"):
        Forcing(model, 1, 1.5)


def test_the_command_says_which_blocks_are_which(tmp_path, capsys):
    save_model(tiny.duplex(restless=False), tmp_path / "model")
    command = ["bench", "--model", str(tmp_path / "model"), "--conversations", "2", "--blocks", "50"]
    assert main([*command, "--json", str(tmp_path / "bench.json")]) == 0
    table = capsys.readouterr().out
    assert "made to speak in about 50%" in table and "\n  listening" in table and "\n  speaking" in table
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["costs"][0]["beginning_to_other"] > 0 and "a block in which one begins costs" in table
    assert report["packed_to_float32"] > 0 and "times as fast as with float32" in table
    assert report["speaking"] == 0.5 and set(report["states"]) == {"listening", "speaking"}
    cost = report["costs"][0]
    assert cost["conversations"] == 2 and cost["blocks"] == sum(s["blocks"] for s in cost["states"].values()) == 50
    assert main([*command, "--speaking", "own"]) == 0
    assert "floor left to the weights" in capsys.readouterr().out
    for wrong in ("2", "nan", "half"):
        assert main([*command, "--speaking", wrong]) != 0
        assert "--speaking" in capsys.readouterr().err


def test_matrices_are_compared_in_turns_by_their_medians():
    """One engine takes 8 ms a block and the other 20: 2.5 times as fast, whatever the round that warms up took."""
    engines, steps = [Engine(FakeModel(), capacity=1) for _ in range(2)], itertools.count()
    now = 0

    def taking(engine, ms):
        step = engine.step

        def slow(inputs):
            nonlocal now
            now += 1_000_000 * (300 if next(steps) < 6 else ms)
            return step(inputs)

        engine.step = slow
        return engine

    assert bench_matrices(taking(engines[0], 8), taking(engines[1], 20), rounds=3, clock_ns=lambda: now) == 2.5
    assert [engine.num_open for engine in engines] == [0, 0]


def test_forward_of_the_real_model_is_measured_warm_and_its_median_counts():
    ticks = iter(range(0, 10_000_000_000_000, 500_000_000))
    assert bench_forward(tiny.duplex(), 1, repeats=3, clock_ns=lambda: next(ticks)) == 0.5
    assert bench_forward(tiny.duplex(), 1, mouth=False, repeats=1, clock_ns=lambda: next(ticks)) == 0.5
