"""Streams of batches by number: mixed, and several times over."""

import itertools

from omni.data.numbered import ROUND, Echoed, Mixed, Numbered, Through, loader


class Told(Numbered):
    """Batches that are their name and a number that their generator draws; it counts what it makes."""

    def __init__(self, name: str):
        self.name, self.seed, self.made = name, name, 0

    def open(self):
        def make(rng):
            self.made += 1
            return self.name, rng.random()

        return make


def _taken(stream: Numbered, count: int, first: int = 0, every: int = 1, workers: int = 0) -> list:
    return list(itertools.islice(loader(stream, workers)(first, every), count))


def test_echoed_batches_come_round_by_round_and_are_made_once():
    stream = Told("a")
    found = _taken(Echoed(stream, 3), 4 * ROUND)
    fresh = _taken(Told("a"), 2 * ROUND)
    assert found == fresh[:ROUND] * 3 + fresh[ROUND:] and stream.made == 2 * ROUND


def test_echoed_batches_are_the_same_whoever_makes_them_and_wherever_they_begin():
    whole = _taken(Echoed(Told("a"), 2), 5 * ROUND)
    assert _taken(Echoed(Told("a"), 2), 5 * ROUND, workers=2) == whole
    assert _taken(Echoed(Told("a"), 2), 40, first=ROUND + 7, every=5) == whole[ROUND + 7::5][:40]


def test_what_a_stream_goes_through_is_done_once_for_all_times_that_a_batch_comes():
    done = []

    def more(batch):
        done.append(batch)
        return (*batch, "more")

    found = _taken(Echoed(Through(Told("a"), more), 3), 3 * ROUND)
    assert found == [[*batch, "more"] for batch in _taken(Told("a"), ROUND)] * 3 and len(done) == ROUND


class Written(Told):
    """Batches that can be written to."""

    def open(self):
        return lambda rng: [rng.random()]


def test_what_was_given_is_not_kept():
    again = Echoed(Written("a"), 2).by_number()
    given = again(0)
    given.append("changed")
    assert again(ROUND) == given[:1]


def test_mixed_streams_keep_their_shares_and_meet_what_is_echoed():
    sound, text = Told("sound"), Told("text")
    found = _taken(Mixed(Echoed(sound, 3), text, share=0.25, seed=4), 6 * ROUND)
    kinds = [name for name, _ in found]
    assert kinds.count("text") == text.made == 6 * ROUND // 4
    assert sound.made == 2 * ROUND * 3 // 4 == len({x for name, x in found if name == "sound"})
    assert kinds[:ROUND] == kinds[ROUND:2 * ROUND]
    assert all(len(set(kinds[i:i + 4])) == 1 for i in range(0, len(kinds), 4))
