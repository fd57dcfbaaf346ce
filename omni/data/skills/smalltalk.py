"""Greetings, thanks, jokes, and what people ask a voice about itself."""

import random
from dataclasses import dataclass

from omni.data.skills.floor import marked
from omni.data.skills.talk import Answer, Ask, Memory, wording

SHARE = 0.10


@dataclass(frozen=True, slots=True)
class _Talk:
    """What is said and what is right to say to it.

    Attributes:
        own: wordings, separated by commas; what stands before "|" is decisive.
        replies: each is right; {name} stands where a name is said if it is known.
        fact: words that every one of the replies has.
        how: what may stand around the wordings, a key of `_AROUND`; what people just "say" is no reason to yield.
    """

    own: str
    replies: tuple[str, ...]
    fact: str = ""
    how: str = "ask"


_JOKES = (
    "why did the coffee call the police? it got mugged.",
    "why is six afraid of seven? because seven eight nine.",
    "what do you call a bear with no teeth? a gummy bear.",
    "why did the chicken cross the road? to get to the other side.",
    "what gets wet while it dries you? a towel.",
    "what has hands but can not clap? a clock.",
    "why did the banana go to the doctor? it did not peel well.",
    "what do you call cheese that is not yours? nacho cheese.",
    "what did one wall say to the other? meet me at the corner.",
)
_AROUND: dict[str, tuple[list[str], list[str]]] = {  # words before and words after
    "ask": (["", "", "", "", "", "", "so", "um", "hey", "okay", "and", "omni", "hey omni", "well", "oh"],
            ["", "", "", "", "", "", "", "omni"]),
    "want": (["", "", "", "", "", "", "so", "um", "hey", "okay", "omni", "hey omni", "well", "please", "now"],
             ["", "", "", "", "please", "please", "omni"]),
    "greet": ([""], ["", "", "", "omni"]),
    "say": (["", "", "", "", "", "oh", "well", "you know", "omni"], [""]),
    "alone": ([""], [""]),
}
_TALK = {
    "hello": _Talk(
        "hello,hi,hey,hi there,hello there,hey there,hello hello,hello again,hi again,hello you,hey you",
        ("hello{name}.", "hello there."), "hello", "greet"),
    "morning": _Talk(
        "good morning,hello good morning,good morning to you,hi good morning,a very good morning",
        ("good morning.", "good morning to you."), "good morning", "greet"),
    "afternoon": _Talk(
        "good afternoon,hello good afternoon,good afternoon to you",
        ("good afternoon.",), "good afternoon", "greet"),
    "evening": _Talk(
        "good evening,hello good evening,good evening to you,hi good evening",
        ("good evening.",), "good evening", "greet"),
    "how": _Talk(
        "how are you,how are you| doing,how do you do,how are you| today,how are you| this morning,how is it going,"
        "how's it going,how are things,how are you| feeling,how are you| feeling today,how have you been,"
        "how have you been| lately,are you well,are you okay,hello how are you,hi how are you,hey how are you| doing,"
        "i'm fine and you,i am fine how are you,i hope you are well,how's everything,everything all right",
        ("i am fine, thank you.", "i am fine, thanks."), "i am fine"),
    "day": _Talk(
        "how was your day,how is your day,did you have a good day,how's your day going,are you having a good day,"
        "how was your morning,how was your night",
        ("it was good, thank you.",), "good"),
    "who": _Talk(
        "who are you,what's your| name,what is your| name,tell me who you are,who am i talking to,do you have a name,"
        "have you got a name,can you tell me your name,what are you| called,what should i call you,"
        "what can i call you,what are you,who is this,who is speaking,who is there,may i ask your name,"
        "what was your| name again,what's your| name again,tell me your name,tell me about yourself,"
        "introduce yourself,who are you| again,hello who are you,say your name,i don't know your name",
        ("i am omni, a small voice.", "i am omni."), "omni"),
    "can": _Talk(
        "what can you| do,what can you| do for me,what do you know,how can you help| me,help,can you help| me,"
        "what are you good at,what are you able to do,what do you do,tell me what you can do,what can i ask you,"
        "what can i do with you,what can we do,what can i say to you,what else can you| do,do you know anything,"
        "what are you for,what's your job,what is your job,how can i use you,can you do anything",
        ("i take coffee orders, repeat numbers, do sums, and tell stories.",
         "you can order a coffee, ask me things, or hear a story."), ""),
    "thanks": _Talk(
        "thank you,thanks,thank you| very much,thanks| a lot,thank you| so much,thanks| so much,many thanks,"
        "thanks| that was great,thank you| for your help,thanks| for your help,thanks| for that,thank you| for that,"
        "okay thank you,okay thanks,great thank you,great thanks,perfect thank you,perfect thanks,oh thank you,"
        "very kind thank you,thank you| that helped,thanks| that's good,lovely thank you,cool thanks,nice thanks,"
        "wonderful thank you",
        ("you are welcome.", "you are very welcome."), "welcome", "greet"),
    "bye": _Talk(
        "goodbye,bye,bye bye,see you| later,see you| soon,see you| tomorrow,see you| again,goodbye| for now,"
        "bye| for now,okay bye,okay goodbye,okay bye bye,i have to go| now,i have to go| bye,i must go| now goodbye,"
        "i'm leaving| now,talk to you| later,talk to you| soon,until next time,thanks bye,thank you goodbye,so long,"
        "well goodbye",
        ("goodbye{name}.", "goodbye, see you soon."), "goodbye", "greet"),
    "night": _Talk(
        "good night,goodnight,good night| to you,good night| sleep well,good night| then,okay good night,"
        "well good night,good night| see you tomorrow,i'm going to bed| now,i am going to sleep| now,time for bed,"
        "sleep well,thanks good night,bye good night,so good night",
        ("good night{name}.", "good night, sleep well."), "good night", "greet"),
    "joke": _Talk(
        "tell me a joke,joke,a joke,do you know a joke,tell us a joke,do you know any jokes,can you tell me a joke,"
        "could you tell me a joke,can you tell a joke,i want to hear a joke,i'd like to hear a joke,another joke,"
        "tell me another joke,one more joke,do you know another joke,tell me a good joke,tell me a funny joke,"
        "give me a joke,let me hear a joke,make me laugh,make a joke,say something funny,tell me something funny,"
        "can i have a joke,let's hear a joke,how about a joke,have you got a joke,got any jokes,a joke for me,"
        "can you make me laugh,will you tell me a joke,cheer me up,tell the children a joke",
        _JOKES, "", "want"),
    "treat": _Talk(
        "trick or treat,hey trick or treat,happy halloween trick or treat",
        ("here is a treat for you.",), "treat", "alone"),
    "here": _Talk(
        "are you there,can you hear me,are you listening,hey archie,hey fenrir,are you still there,are you awake,"
        "hello are you there,hello can you hear me,do you hear me,are you listening to me,can you hear me now,"
        "is anyone there,anybody there,are you on,are you working,do you understand me,can you understand me,"
        "hey omni,omni,hello omni can you hear me,omni are you there",
        ("yes, i am here.", "yes, i can hear you."), "yes", "alone"),
    "robot": _Talk(
        "are you a robot,are you human,are you a human,are you a person,are you a real person,are you a machine,"
        "are you a computer,are you real,are you alive,am i talking to a robot,am i talking to a machine,"
        "am i talking to a person,are you some kind of robot,is this a robot,is this a real person,"
        "are you a man or a woman,are you a man,are you a woman,do you have a body,you're a robot right",
        ("i am only a voice in a computer.",), "a voice"),
    "age": _Talk(
        "how old are you,what's your age,what is your age,when were you born,when is your birthday,"
        "when's your birthday,are you old,are you young,what year were you born,tell me how old you are,"
        "are you very old,can i ask how old you are",
        ("i am very young.",), "young"),
    "home": _Talk(
        "where do you live,where are you,where are you| from,where do you come from,where were you born,"
        "where is your home,where's your home,do you have a home,do you live here,what country are you from,"
        "where are you| now,tell me where you live",
        ("i live in a computer.",), "computer"),
    "maker": _Talk(
        "who made you,who built you,who created you,who is your maker,who is your boss,how were you made,"
        "who do you work for,what are you made of,who taught you| to talk,who wrote you,where did you learn| to talk,"
        "how did you learn| to talk",
        ("people made me, out of many voices.",), "people made me"),
    "coffee": _Talk(
        "do you like coffee,do you drink coffee,do you love coffee,what do you think of coffee,"
        "would you like a coffee,do you want a coffee,do you want some coffee,would you like some coffee,"
        "is coffee good,can you drink coffee,have you ever had coffee,what's your favourite coffee,"
        "what is your favourite coffee,shall i make you a coffee",
        ("i like coffee, but i can not drink it.",), "can not drink"),
    "likes": _Talk(
        "what is your favourite colour,what's your favourite colour,what colour do you like,"
        "which colour do you like best,do you have a favourite colour,and your favourite colour,"
        "which is your favourite colour",
        ("i like green.",), "green"),
    "likes animal": _Talk(
        "what is your favourite animal,what's your favourite animal,what animal do you like,do you like animals,"
        "do you have a favourite animal,do you like cats,do you like dogs,do you have a pet,"
        "which animal do you like best,and your favourite animal",
        ("i like ducks.",), "ducks"),
    "unable": _Talk(
        "can you| see me,can you| dance,can you| eat,can you| drink,can you| run,can you| swim,can you| cook,"
        "can you| walk,can you| fly,can you| smell,can you| taste things,can you| drive a car,can you| jump,"
        "can you| climb a tree,do you eat,do you have eyes,do you have legs,do you have hands,do you eat food",
        ("no, i can only listen and talk.",), "no"),
    "sleep": _Talk(
        "do you sleep,do you ever sleep,are you tired,do you dream,are you sleepy,do you ever get tired,"
        "do you need sleep,when do you sleep,do you get tired",
        ("no, i never sleep.",), "never sleep"),
    "doing": _Talk(
        "what are you doing,what are you doing| now,what are you up to,what's up,are you busy,have you got time,"
        "do you have time,what are you thinking| about,what's new,do you have a minute,are you bored,"
        "what have you been doing",
        ("i am listening to you.",), "listening"),
    "feel": _Talk(
        "are you happy,are you sad,do you have feelings,do you feel anything,are you angry,do you like me,"
        "do you like talking,do you like to talk,do you like your job,do you like talking to me,are you my friend,"
        "can we be friends,will you be my friend,do you have friends,are you lonely",
        ("i like talking to you.",), "i like talking"),
    "language": _Talk(
        "do you speak french,do you speak german,do you speak spanish,what languages do you speak,"
        "can you speak french,can you speak german,can you speak spanish,do you only speak english,"
        "which languages do you know,do you speak other languages,do you speak english,"
        "how many languages do you speak",
        ("i only speak english.",), "english"),
    "praise": _Talk(
        "well done,good job,you are great,you're great,you are funny,you're funny,that was funny,that was great,"
        "i like your voice,you are smart,you're so smart,you are clever,you're very nice,you are nice,very good,"
        "that was good,you have a nice voice,you did that well,great job,i like you,you're the best,that's very good,"
        "you are very kind,you're amazing,i love you,that was very helpful,good answer,nice work,what a nice voice",
        ("thank you.", "thank you, that is kind."), "thank you", "say"),
    "blame": _Talk(
        "you are stupid,you're stupid,you are slow,you're too slow,you're wrong,you are wrong,that was bad,"
        "that was not funny,that's not funny,i don't like you,you are boring,you're boring,you don't listen,"
        "you don't understand me,you got it wrong,bad joke,you're no help",
        ("i am sorry.", "sorry about that."), "sorry", "say"),
    "sorry": _Talk(
        "i'm sorry,i am sorry,sorry about that,i'm so sorry,i apologise,i'm sorry for that,my mistake,my fault,"
        "i didn't mean that",
        ("that is all right.",), "all right", "say"),
    "meet": _Talk(
        "nice to meet you,good to meet you,it's nice to meet you,pleased to meet you,nice to talk to you,"
        "nice talking to you,glad to meet you,good to talk to you,good to see you,how nice to meet you",
        ("nice to meet you too.",), "too", "greet"),
    "tired": _Talk(
        "i'm tired,i am tired,i am so tired,i'm very tired,i had a long day,i did not sleep well,i'm sleepy,"
        "i'm exhausted,i could not sleep,i need a rest,what a long day i had",
        ("you should rest a little.",), "rest", "say"),
    "sad": _Talk(
        "i'm sad,i am sad,i feel sad,i'm not well,i feel bad,i'm lonely,i had a bad day,i'm not happy,i feel ill,"
        "i am ill today,i'm so sad today,i don't feel well",
        ("i am sorry to hear that.",), "sorry to hear", "say"),
    "happy": _Talk(
        "i'm happy,i am happy,i feel great,i'm so happy today,i had a good day,i feel good today,i'm in love,"
        "i had a great day,i'm doing well,i am fine,i'm fine,i'm fine thanks,i am very well thank you,"
        "what a beautiful day,i have good news",
        ("that is good to hear.",), "good to hear", "say"),
    "bored": _Talk(
        "i'm bored,i am bored,i'm so bored,this is boring,i have nothing to do,what should i do now,"
        "i don't know what to do,i feel bored",
        ("i can tell you a story, or a joke.",), "a story", "say"),
    "thirsty": _Talk(
        "i'm thirsty,i am thirsty,i'm so thirsty,i'm cold,i am so cold,it's cold in here,"
        "i'm very thirsty,i feel cold",
        ("you can order a coffee.",), "a coffee", "say"),
    "birthday": _Talk(
        "it's my birthday,today is my birthday,it is my birthday today,i have my birthday today,"
        "guess what it's my birthday,it's my birthday today",
        ("happy birthday{name}.",), "happy birthday", "say"),
    "holiday": _Talk(
        "merry christmas,merry christmas to you,i wish you a merry christmas,happy christmas",
        ("merry christmas.",), "merry christmas", "greet"),
    "year": _Talk(
        "happy new year,happy new year to you,i wish you a happy new year,a happy new year",
        ("happy new year.",), "happy new year", "greet"),
    "knock": _Talk(
        "knock knock,hey knock knock,hello knock knock",
        ("who is there?",), "who is there", "alone"),
}
_WEIGHTS = {"hello": 4, "how": 4, "who": 4, "can": 3, "thanks": 4, "bye": 3, "night": 2, "joke": 6}  # others: 1
_OWN = {kind: talk.own.split(",") for kind, talk in _TALK.items()}
_KIND = {marked(text)[0]: kind for kind, own in reversed(_OWN.items()) for text in own}


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask | None:
    """As in `Skill`; nothing while the agent is to wait."""
    if memory.waiting:
        return None
    kind = rng.choices(list(_TALK), [_WEIGHTS.get(kind, 1) for kind in _TALK])[0]
    text, decisive = marked(wording(rng, _OWN[kind], "smalltalk", kind, held_out))
    before, after = (rng.choice(words) for words in _AROUND[_TALK[kind].how])
    if before in text or text.split()[0] in _AROUND["ask"][0]:
        before = ""
    if after in text or before.endswith(after):
        after = ""
    return Ask(f"{before} {text} {after}".strip(), "smalltalk", kind, over=_TALK[kind].how != "say",
               decisive=decisive + len(before.split()))


def take(ask: Ask, memory: Memory) -> None:
    """As in `Skill`: there is nothing to remember."""


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """As in `Skill`; a joke is not the one that was told last."""
    talk = _TALK[ask.kind]
    fresh = [reply for reply in talk.replies if ask.kind != "joke" or reply != memory.said_whole]
    return Answer(_named(rng.choice(fresh), memory.name), {ask.kind: talk.fact} if talk.fact else {})


def _named(reply: str, name: str) -> str:
    return reply.format(name=f" {name}" if name else "")


def kind_of(text: str) -> str | None:
    """What kind of small talk a user's words are, or None if they are none of the lessons'."""
    return _KIND.get(text)


def reply_to(rng: random.Random, text: str) -> str | None:
    """The reply to a user's words whoever they are from, or None if they are no small talk of the lessons."""
    kind = _KIND.get(text)
    return _named(rng.choice(_TALK[kind].replies), "") if kind else None


def vocabulary() -> list[str]:
    """As in `Skill`; names are words of `recall`."""
    return [_named(reply, "") for talk in _TALK.values() for reply in talk.replies]
