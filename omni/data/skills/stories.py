"""Long speech, so that there is something to interrupt: stories, counting, the alphabet, days and months."""

import random
import re

from omni.data.skills import numbers
from omni.data.skills.talk import Answer, Ask, Memory, kept, wording

SHARE = 0.08
# each by a word that is in no other story
STORIES = {
    "lighthouse": (
        "once upon a time, there was an old lighthouse by the sea. every night a girl called nora climbed the "
        "stairs, and lit the lamp. one winter the wind was so strong, that the lamp went out. nora took her small"
        " lantern, and held it to the window all night long. far out on the water, a captain saw the tiny light, "
        "and turned his ship around. in the morning he came to the door with a basket of oranges. he said, i have"
        " seen many big lights, but none was ever held so high. and from that day on, the little lantern had its "
        "own place at the window."),
    "fox": (
        "a fox lived at the edge of a forest. he was proud of his red coat, and told everybody about it. one day "
        "he met a turtle, who was walking very slowly to the river. why do you not run, asked the fox. because i "
        "look at everything, said the turtle. the fox laughed, and ran ahead. he ran past the flowers, past the "
        "honey tree, and past the hidden spring. at the river he was tired and thirsty, and the water was brown. "
        "then the turtle came, and told him of the clear spring. so they walked back together, slowly, and the "
        "fox saw his forest for the first time."),
    "bear": (
        "there was a young bear, who slept all winter, so he had never seen the snow. one day he told the moon "
        "about it. i will call you, said the moon, and one cold night she held her light to his door. the bear "
        "opened it, and everything was white. he walked slowly around his tree, and looked at every little thing. "
        "he was so happy, that he laughed all night long. in the spring he told everybody in the forest about the "
        "snow, but nobody believed him. only the moon laughed with him, because she had seen it too."),
    "baker": (
        "an old baker lived in a small town by the river. every morning he made seven breads, but he sold only "
        "six. why do you not sell the last one, asked a boy. because somebody may come, who has no money, said the "
        "baker. one winter the baker was very tired, and his window was dark. then everybody who had ever had the "
        "last bread came to his door. one had milk, one had honey, and one had a basket of oranges. and the boy "
        "made a bread. it was small and black, but the baker said, none was ever so good."),
    "kite": (
        "a girl called mia had a red kite. every day she ran up the hill, and the kite went high into the wind. i "
        "can see the sea, it called, let me go. mia was sad, but she opened her hand. the kite went past the town, "
        "past the forest, and far out on the sea. there it was cold, and nobody held it. then a bird came by, took "
        "it, and turned around. in the morning mia saw the kite at her door. now i have seen the sea, it said, but "
        "only here somebody looks up at me. and they ran up the hill together."),
    "clock": (
        "in a small town, there was an old clock by the train. it was always five minutes slow, and everybody "
        "laughed about it. one night a woman came with a big basket, very tired, and too late. the last train is "
        "not here, she said. but the captain of the train had looked at the clock, and so he had his coffee, slowly, "
        "with milk and sugar. then he came out and saw her, and they went to the train together. in the morning "
        "she was home, and held her daughter's little girl for the first time. and from that day on, nobody laughed "
        "about the clock."),
    "mouse": (
        "a little mouse was sad, because she was so small. she asked the horse, and the horse said, run every day. "
        "she asked the tree, and the tree said, wait for a hundred winters. so the mouse walked home slowly. that "
        "night the wind was very strong, and a big tree came down on the hill. now the door of the rabbits was "
        "closed, and none of them came out. but the mouse was so small, that she went in past the tree. she found "
        "the hidden door, and all the rabbits followed her out. you are the biggest of us all, they said."),
    "star": (
        "one night, a little star came down in a garden. an old man saw it by the flowers. you are cold, he said, "
        "and put it at his window. every night he told the star a story, and every night its light was a little "
        "stronger. in the spring it was so strong, that nobody in the town slept. you have to go home, said the "
        "old man, and he climbed the hill with the star in his hand. it went up slowly, past the trees, and past "
        "the moon. and every night, one star looks down at his window, and waits for a story."),
}
ALPHABET = "A B C D, E F G, H I J K, L M N, O P Q, R S T, U V W, X Y Z."
DAYS = "monday, tuesday, wednesday, thursday, friday, saturday, sunday."
MONTHS = ("january, february, march, april, may, june, july, august, september, october, november, december.")
_LISTS = {"alphabet": ALPHABET, "days": DAYS, "months": MONTHS}

_BEFORE = ["", "", "", "", "", "um", "uh", "so", "okay", "hey", "well", "now", "hi", "alright"]
_AFTER = ["", "", "", "", "please", "now", "for me", "if you can", "thanks"]
_OWN_PART = {"hear", "know", "me", "us", "how"}  # where "for me" would be said twice
_LEADS = ["tell me", "please tell me", "can you tell me", "could you tell me", "would you tell me", "tell us",
          "will you tell me", "can you tell us", "i want to hear", "i'd like to hear", "i would like to hear",
          "let me hear", "let us hear", "can i hear", "could i hear", "do you know", "how about",
          "i want you to tell me", "i'd love to hear", "go ahead and tell me"]
_OPEN = ["a story", "a story", "a short story", "a nice story", "a good story", "a bedtime story", "any story",
         "one of your stories", "some story", "a story you like"]
_OTHER = ["another story", "another one", "a different story", "a different one", "one more story", "another story",
          "a new story", "some other story", "a story i don't know", "one i haven't heard", "the next story"]
_OF = ["the story of {title}", "the story about {title}", "the one about {title}", "the story with {title}",
       "a story about {title}", "your story about {title}", "the tale of {title}"]
_ABOUT = ["tell me about {title}", "can you tell me about {title}", "please tell me about {title}",
          "tell us about {title}", "i want to hear about {title}", "could you tell us about {title}"]
_TITLES = {
    "lighthouse": ["the lighthouse", "the old lighthouse", "the lighthouse by the sea", "the girl in the lighthouse"],
    "fox": ["the fox", "the fox and the turtle", "the proud fox", "the fox with the red coat"],
    "bear": ["the bear", "the young bear", "the bear and the snow", "the bear and the moon"],
    "baker": ["the baker", "the old baker", "the baker and the boy", "the baker and his bread"],
    "kite": ["the kite", "the red kite", "the kite and the sea", "the girl and the kite"],
    "clock": ["the clock", "the slow clock", "the clock and the train", "the old clock"],
    "mouse": ["the mouse", "the little mouse", "the mouse and the rabbits", "the small mouse"],
    "star": ["the star", "the little star", "the star in the garden", "the star and the old man"],
}
_WHICH = ["what stories do you know", "which stories do you know", "what stories can you tell",
          "which stories can you tell me", "what stories do you have", "tell me which stories you know",
          "what kind of stories do you know", "how many stories do you know", "list your stories",
          "name the stories you know"]
_COUNTERS = ["count", "please count", "can you count", "could you count", "would you count", "will you count",
             "i want you to count", "i'd like you to count", "i would like you to count", "let me hear you count",
             "try to count", "go ahead and count", "start to count", "i want to hear you count"]
_COUNTS = {
    "count_to": ["to {to}", "to {to}", "up to {to}", "from one to {to}", "all the way to {to}", "from one up to {to}",
                 "from one all the way up to {to}", "all the way up to {to}"],
    "count_between": ["from {from} to {to}", "from {from} to {to}", "from {from} up to {to}",
                      "starting at {from} up to {to}", "from {from} all the way to {to}",
                      "starting from {from} to {to}", "up from {from} to {to}"],
    "count_back": ["backwards from {from}", "down from {from}", "backwards from {from} to one",
                   "back from {from} to one", "down from {from} to one", "backward from {from}",
                   "backwards starting at {from}"],
    "count_down": ["backwards from {from} to {to}", "down from {from} to {to}", "back from {from} to {to}",
                   "down starting at {from} until {to}", "backward from {from} to {to}"],
    "count_steps": ["by {by} to {to}", "by {by} up to {to}", "in {by} to {to}", "to {to} by {by}", "up to {to} in {by}",
                    "in {by} up to {to}", "to {to} in {by}"],
}
_STEPS = {"twos": 2, "threes": 3, "fours": 4, "fives": 5, "tens": 10}
_SAYERS = ["say", "tell me", "give me", "name", "list", "please say", "please tell me", "can you say", "could you say",
           "can you tell me", "could you tell me", "would you say", "can you name", "could you name", "let me hear",
           "i want to hear", "i'd like to hear", "do you know", "go through", "can you go through", "recite",
           "can you list", "can you recite", "please name", "please list", "i want you to say", "will you say"]
_LISTED = {
    "alphabet": ["the alphabet", "the alphabet", "the whole alphabet", "the entire alphabet", "all the letters",
                 "the letters of the alphabet", "all the letters of the alphabet", "the letters from A to Z",
                 "the alphabet from A to Z", "your A B C"],
    "days": ["the days of the week", "the days of the week", "all the days of the week", "the seven days of the week",
             "all seven days of the week", "the days of the week in order", "every day of the week"],
    "months": ["the months", "the months of the year", "the months of the year", "all the months", "all twelve months",
               "the twelve months of the year", "the months in order", "every month of the year",
               "all the months of the year"],
}
_NUMBERS = {numbers.words(n): n for n in range(101)}
# what makes it a wish for this, together with the next word or alone
_BEGINNING = {"tell", "say", "give", "name", "list", "go", "know", "about", "run", "teach", "start", "begin"}
_CLEAR = {"hear", "count", "counting", "recite", "stories", "story", "read", "alphabet", "days", "months", "letters",
          "another"}
_KINDS = {"story": 24, "named": 18, "which": 3, "count": 30, "alphabet": 9, "days": 8, "months": 8}


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask:
    """A wish for something long; "another" story soon after one has been told."""
    if story_in(memory.said_whole) and rng.random() < 0.5:
        kind = "another"
    else:
        kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    if kind == "count":
        user, values = _count(rng, held_out)
    elif kind == "named":
        user, values = _named(rng, held_out)
    else:
        user, values = _plain(rng, kind, held_out), {}
    return Ask(user, "stories", kind, values, decisive=_decisive(user.split()))


def take(ask: Ask, memory: Memory) -> None:
    """Nothing is to be remembered: the last answer shows what has been told."""


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """The whole of it."""
    if ask.kind in _LISTS:
        return Answer(_LISTS[ask.kind], {ask.kind: plain(_LISTS[ask.kind])})
    if ask.kind == "count":
        text = ", ".join(numbers.words(n) for n in _counted(ask.values)) + "."
        return Answer(text, {"count": plain(text)})
    if ask.kind == "which":
        names = [f"the {name}" for name in STORIES]
        return Answer(f"i know {', '.join(names[:-1])}, and {names[-1]}.", {name: name for name in STORIES})
    if ask.kind == "named":
        return Answer(STORIES[ask.values["story"]], {"story": ask.values["story"]})
    told = story_in(memory.said_whole)
    story = STORIES[rng.choice([name for name in STORIES if name != told])]
    return Answer(story, never=(told,) if told and ask.kind == "another" else ())


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*STORIES.values(), *_LISTS.values(), *numbers.vocabulary(), "i know the and", *STORIES]


def story_in(text: str) -> str | None:
    """The story of which the text is at least three words."""
    text = text.strip()
    if len(text.split()) < 3:
        return None
    return next((name for name, story in STORIES.items() if text in story or story in text), None)


def plain(text: str) -> str:
    """The words without their pauses."""
    return " ".join(re.sub(r"[,.?]", " ", text).split())


def _decisive(words: list[str]) -> int:
    for i, word in enumerate(words, 1):
        if word in _CLEAR or word in _BEGINNING:
            return min(i + (word in _BEGINNING), len(words))
    return len(words)


def _dressed(rng: random.Random, core: str) -> str:
    after = rng.choice(_AFTER)
    if after in core or after in ("for me", "if you can") and _OWN_PART & {*core.split()}:
        after = ""
    return " ".join(f"{rng.choice(_BEFORE)} {core} {after}".split())


def _plain(rng: random.Random, kind: str, held_out: bool) -> str:
    """A wish that tells nothing but its kind."""
    if kind == "which":
        own = rng.choice(_WHICH)
    elif kind in _LISTED:
        own = f"{rng.choice(_SAYERS)} {rng.choice(_LISTED[kind])}"
    else:
        own = f"{rng.choice(_LEADS)} {rng.choice(_OPEN if kind == 'story' else _OTHER)}"
    return wording(rng, [_dressed(rng, own)], "stories", kind, held_out)


def _named(rng: random.Random, held_out: bool) -> tuple[str, dict[str, str]]:
    new_words = held_out and rng.random() < 0.5
    story = rng.choice(list(STORIES))
    titles = _TITLES[story]
    if held_out and not new_words:
        titles = [title for title in kept("stories")["titles"] if story in title.split()]
    own = _dressed(rng, rng.choice(_ABOUT) if rng.random() < 0.2 else f"{rng.choice(_LEADS)} {rng.choice(_OF)}")
    user = wording(rng, [own], "stories", "named", new_words)
    return user.format(title=rng.choice(titles)), {"story": story}


def _count(rng: random.Random, held_out: bool) -> tuple[str, dict[str, str]]:
    """The wish, and what is counted: "from", "to" and, if it is not one, the step "by"."""
    new_words = held_out and rng.random() < 0.5
    kind = rng.choices(list(_COUNTS), [6, 3, 3, 2, 3])[0]
    apart = [_NUMBERS[word] for word in kept("stories")["ends"]]
    old = set(range(101)) - set(apart)
    new = set(apart) if held_out and not new_words else old
    values = {}
    if kind == "count_to":
        low, high = 1, _in(rng, new, 5, 30)
    elif kind == "count_between":
        high = _in(rng, new, 8, 100)
        low = _in(rng, old, max(0, high - 20), high - 4)
    elif kind == "count_back":
        low, high = 1, _in(rng, new, 5, 24)
    elif kind == "count_down":
        high = _in(rng, new, 9, 60)
        low = _in(rng, old, max(0, high - 18), high - 4)
    else:
        ends = [(by, to) for by, step in _STEPS.items() for to in range(4 * step, min(20 * step, 100) + 1, step)
                if to in new]
        by = rng.choice(sorted({by for by, _ in ends}))
        low, high = _STEPS[by], rng.choice([to for name, to in ends if name == by])
        values["by"] = by
    values |= {"from": numbers.words(low), "to": numbers.words(high)}
    if kind in ("count_back", "count_down"):
        values["from"], values["to"] = values["to"], values["from"]
    own = _dressed(rng, f"{rng.choice(_COUNTERS)} {rng.choice(_COUNTS[kind])}")
    return wording(rng, [own], "stories", kind, new_words).format(**values), values


def _in(rng: random.Random, allowed: set[int], low: int, high: int) -> int:
    return rng.choice([n for n in range(low, high + 1) if n in allowed])


def _counted(values: dict[str, str]) -> range:
    low, high, step = _NUMBERS[values["from"]], _NUMBERS[values["to"]], _STEPS.get(values.get("by", ""), 1)
    return range(low, high + 1, step) if low <= high else range(low, high - 1, -step)
