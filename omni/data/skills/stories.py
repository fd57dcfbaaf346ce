"""Long speech, so that there is something to interrupt: two stories and counting."""

import random

from omni.data.skills import numbers

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
}
_ASKS = ["tell me a story", "tell me a story please", "can you tell me a story", "please tell me a story",
         "i want to hear a story", "tell us a story", "could you tell me a story", "how about a story"]
_NAMED = {"lighthouse": ["tell me the story of the lighthouse", "tell me about the lighthouse"],
          "fox": ["tell me the story of the fox", "tell me about the fox and the turtle"]}
_COUNT = ["count to twenty", "please count to twenty", "can you count to twenty"]


def exchange(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """A wish for something long, and the long thing."""
    if rng.random() < 0.15:
        return rng.choice(_COUNT), ", ".join(numbers.words(n) for n in range(1, 21)) + ".", {}
    if rng.random() < 0.25:
        name = rng.choice(list(STORIES))
        return rng.choice(_NAMED[name]), STORIES[name], {}
    return rng.choice(_ASKS), STORIES["lighthouse" if rng.random() < 0.7 else "fox"], {}


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*STORIES.values(), *numbers.vocabulary()]
