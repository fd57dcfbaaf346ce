"""Orders: every slot read back in the customer's terms, and what corrections, additions and removals make of them."""

import random
import re

import pytest
from skill_talk import Turn, has, plain, turn, turns

from omni.data.skills import orders
from omni.data.skills.talk import Ask, Memory

_SMALL = {*"okay sure right alright a an one with and you have what drink would like".split()}


@pytest.fixture(scope="module")
def drawn() -> list[Turn]:
    return turns("orders", 1500)


def _of(drawn: list[Turn], kind: str) -> list[Turn]:
    found = [t for t in drawn if t.ask.kind == kind]
    assert len(found) > 5, kind
    return found


def _read(t: Turn) -> None:
    """The answer has every slot that is open, and no word of anything else."""
    words = plain(t.right.text).split()
    for value in t.after.order.values():
        assert has(t.right.text, value), t
        for word in value.split():
            words.remove(word)
    assert set(words) <= _SMALL, t
    assert not re.search(r"\ba [aei]|\ban [^aei]", t.right.text), t


def test_an_order_is_read_back_with_every_slot_and_nothing_else(drawn):
    for kind in ("order", "partial", "add", "correct", "remove"):
        for t in _of(drawn, kind):
            _read(t)
            assert {**t.after.order}.items() <= t.right.facts.items()
            assert t.right.text.endswith("what drink would you like?") == ("coffeeDrink" not in t.after.order)


def test_the_customer_said_every_slot_of_a_new_order(drawn):
    for t in _of(drawn, "order"):
        assert all(has(t.ask.user, value) for value in t.ask.values.values()), t


def test_slots_of_a_missing_drink_are_completed_by_it():
    rng, memory = random.Random(0), Memory()
    part = turn(Ask("a large one with milk", "orders", "partial", {"size": "large", "milkAmount": "milk"}), memory, rng)
    assert part.right.text == "a large one with milk, what drink would you like?"
    whole = turn(Ask("a latte", "orders", "order", {"coffeeDrink": "latte"}), memory, rng)
    assert whole.right.text.endswith(", a large latte with milk.")
    other = turn(Ask("a mocha", "orders", "order", {"coffeeDrink": "mocha"}), memory, rng)
    assert other.right.text.endswith(", a mocha.") and memory.order == {"coffeeDrink": "mocha"}


def test_an_order_of_milk_alone_has_no_article():
    """It read back "a one with milk"."""
    memory = Memory()
    taken = turn(Ask("something with milk", "orders", "partial", {"milkAmount": "milk"}), memory, random.Random(0))
    assert taken.right.text == "one with milk, what drink would you like?"


def test_a_correction_replaces_and_what_was_is_never_said(drawn):
    for t in _of(drawn, "correct"):
        new = {name: value for name, value in t.ask.values.items() if not name.startswith("not ")}
        assert t.after.order == {**t.before.order, **new} != t.before.order
        for name, value in new.items():
            assert has(t.ask.user, value), t
            old = t.before.order.get(name)
            if old is not None and not has(t.right.text, old):
                assert old in t.right.never, t
    assert any(t.right.never for t in drawn if t.ask.kind == "correct")


def test_an_addition_adds_and_a_removal_takes_away(drawn):
    for t in _of(drawn, "add"):
        assert t.after.order == {**t.before.order, **t.ask.values} and not t.ask.values.keys() & t.before.order.keys()
        assert all(has(t.ask.user, value) for value in t.ask.values.values()), t
    for t in _of(drawn, "remove"):
        (gone,) = t.before.order.keys() - t.after.order.keys()
        assert t.after.order == {n: v for n, v in t.before.order.items() if n != gone}
        old = t.before.order[gone]
        assert old.split()[-1] in t.ask.user.split()
        assert has(t.right.text, old) or old in t.right.never, t


def test_what_has_been_ordered_so_far_is_told(drawn):
    told = _of(drawn, "so far")
    for t in told:
        assert t.after.order == t.before.order
        if not t.before.order:
            assert t.right.text == "you have no open order."
        else:
            _read(t)
            assert "coffeeDrink" not in t.before.order or t.right.text.startswith("you have a")


def test_an_order_that_is_done_or_cancelled_is_closed(drawn):
    for t in _of(drawn, "done"):
        assert not t.after.order and has(t.right.text, t.before.order["coffeeDrink"])
        assert t.right.text.startswith("thank you, ")
    for t in _of(drawn, "cancel"):
        assert t.before.order and not t.after.order and has(t.right.text, "cancelled")


def test_the_menu_has_what_can_be_ordered():
    words = set(plain(" ".join(orders.MENU_REPLIES.values())).split())
    assert {*orders.MILKS[1:], *orders.SUGARS} <= {p for text in orders.MENU_REPLIES.values()
                                                  for p in re.split(r", | and |\.", text)}
    assert {"small", "medium", "large", "light", "dark", "latte", "mocha", "espresso"} <= words


def test_orders_cover_every_value_of_every_slot():
    rng, seen = random.Random(3), set()
    for _ in range(3000):
        seen.update(orders.draw_slots(rng).items())
    for name, values in (("coffeeDrink", orders.DRINKS), ("size", orders.SIZES), ("roast", orders.ROASTS),
                         ("numberOfShots", orders.SHOTS)):
        assert {v for n, v in seen if n == name} == set(values)


def test_no_lesson_orders_a_pair_that_is_held_out(drawn):
    for t in _of(drawn, "order"):
        assert not {"large", "americano"} <= set(t.ask.values.values())
        assert not {"dark roast", "iced coffee"} <= set(t.ask.values.values())
    kept = [t.ask.values.values() for t in turns("orders", 400, seed=2, held_out=True)]
    assert any({"large", "americano"} <= set(values) for values in kept)
