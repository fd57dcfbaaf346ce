"""Where people stop in the middle of what they ask.

    unfinished   "a large latte with | almond milk"    nobody who understands takes the floor in it
    untold       "a large | latte with almond milk"    likewise: what it takes to answer is still to come
    finished     "a large latte | with almond milk"    it may be all: whoever waits is late where it is
"""

from omni.data.skills.talk import Ask

# words with which no request ends
_OPEN = frozenset("a an the my your of with and plus minus times by to from in on for does is what's it's i'm".split())
# what is asked for where nothing is told
_NAMED = frozenset("story stories name alphabet letters days months".split())
_JOINTS = frozenset("with and plus add make".split())    # go on with an order


def unfinished(ask: Ask) -> list[int]:
    """After how many words what was said is no whole request: none ends with that word, or goes on with "of", and what
    is asked for, or part of it, is still to come."""
    words, places = ask.user.split(), []
    told = {word for value in ask.values.values() for word in value.replace(",", "").split()} or _NAMED
    told -= _OPEN
    for count in range(2, len(words)):
        of = words[count] == "of" and ask.skill != "stories"    # "a story | of a fox"
        if (words[count - 1] in _OPEN or of) and told & {*words[count:]}:
            places.append(count)
    return places


def untold(ask: Ask) -> list[int]:
    """After how many words, two at least, what it takes to answer has not been said: the drink of an order, the numbers
    of a sum, what a fact is asked of, what is to be remembered."""
    words, values = ask.user.split(), ask.values
    if ask.skill == "orders":
        values = {name: value for name, value in values.items() if name == "coffeeDrink" and ask.kind == "order"}
    elif ask.skill not in ("sums", "facts", "recall"):
        return []
    needed = {word for value in values.values() for word in value.replace(",", "").split()}
    last = max((i for i, word in enumerate(words) if word in needed), default=0)
    while last and words[last - 1] in needed:   # "two plus twenty | eight" may be all
        last -= 1
    return list(range(2, last + 1))


def thinking(ask: Ask) -> list[int]:
    """After how many words somebody who asks may stop to think, and nobody who understands takes the floor."""
    return sorted({*unfinished(ask), *untold(ask)})


def finished(ask: Ask) -> list[int]:
    """After how many words what was said may be all, though more is to come: an order that has its drink and goes on,
    a string of several groups after each but the last."""
    words = ask.user.split()
    if ask.skill == "orders" and ask.kind == "order":
        drink, *others = ask.values["coffeeDrink"], *(v for name, v in ask.values.items() if name != "coffeeDrink")
        told = {word for value in others for word in value.split()} - _OPEN
        return [count for count in range(1, len(words)) if words[count] in _JOINTS and words[count - 1] not in _OPEN
                and f" {drink} " in f" {' '.join(words[:count])} " and told & {*words[count:]}]
    groups = [group.split() for group in ask.values.get("string", "").split(", ")]
    items = [item for group in groups for item in group]
    if ask.skill != "readback" or len(groups) < 2:
        return []
    start = next(i for i in range(len(words)) if words[i:i + len(items)] == items)
    return [start + sum(map(len, groups[:count])) for count in range(1, len(groups))]
