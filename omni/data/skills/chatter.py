"""Talk that is not for the agent: people telling, reading, planning, quarrelling with each other.

Nothing here asks the agent for anything, though much of it shares words with what does: somebody else's order, a sum in
a story. Only the user's side exists; there is no reply to learn but silence.
"""

import random

from omni.data.skills import orders, unknown

_PEOPLE = ("my brother,my sister,the neighbour,our teacher,the captain,a young man,the old woman,her mother,"
           "the doctor,peter,anna,mister brown,the driver,his uncle,the children,a stranger,the farmer,their boss,"
           "the king,everybody,nobody,the boy,the girl,our friends,the painter,a soldier,the band,the queen,two men,"
           "the dog,that guy from work,my wife,my husband,the whole team,somebody").split(",")
_VERBS = ("walked to,looked at,talked about,wrote down,forgot,remembered,painted,sold,bought,carried,opened,closed,"
          "broke,found,lost,followed,waited for,laughed at,thought about,cleaned,cooked,burned,counted,borrowed,"
          "returned,watched,missed,asked about,hid,built,crossed,left,visited,dreamed of,ran from,fixed,promised,"
          "read,heard,heard about,saw,never saw,always liked,did not want,could not find,was afraid of,"
          "had to leave").split(",")
_THINGS = ("the house,an old bridge,the garden,a letter,the river,the mountain,his shoes,a broken window,the market,"
           "the train,her bicycle,the church,some bread,a bottle of wine,the newspaper,a small boat,the island,"
           "the road,the kitchen,a long story,the second chapter,the hospital,the money,a red car,the piano,"
           "the school,the door,the horses,a basket of apples,the cold water,the last bus,seven books,"
           "the photograph,a green hat,the office,the problem,the wedding,the music,the beach,the whole thing,"
           "that film,the hotel,the engine,the lake").split(",")
_TIMES = ("yesterday,last week,in the morning,after the war,on monday,before dinner,for three days,every summer,"
          "at the end of the street,in the middle of the night,two years ago,in november,all day long,"
          "when it was dark,on the way home,in the rain,without a word,as usual,at noon,for the first time,"
          "because of the weather,in the other room,with great care,around nine,over there").split(",")
_JOINS = ("and,but,so,because,and then,while,until,although,before,after that").split(",")
_TELLS = ("so then she said,he told me that,i think,you know,i mean,well,they say,as i said,anyway,i heard that,"
          "listen,no no,the thing is,apparently,it turns out that,once upon a time,in chapter two,she wrote that,"
          "we all know that,that is why").split(",")
_QUOTES = ("so then she said,he asked her,and i told him,they always say,she wanted to know,my father used to ask,"
           "the waiter asked her,the man in front of me said,in the play he says,and then they shouted").split(",")
_ENDS = ("and he laughed,you know,right,i suppose,and that was it,of course,as far as i know,"
         "or something like that,do you remember,isn't it,so funny,anyway,what a day,and so on").split(",")
_LINES = ("i will be home around six,did you lock the door,your turn to do the dishes,"
          "where did you put the keys mum,the next train to the airport is late,more on this story after the break,"
          "dinner is ready kids,and now the weather for the weekend,it will be cloudy with some rain in the north,"
          "she is on the other line,tell your father to come down,pass me the salt will you,no i did not see it,"
          "who left the light on,they scored in the last minute,the meeting is moved to friday,page forty two,"
          "put it on the table,he is asleep be careful,i love this song,come here boy,did he call you back,"
          "we should go soon,this is your captain speaking,please mind the gap,thank you for calling,"
          "good night sweetheart").split(",")


def text(rng: random.Random) -> str:
    """A few seconds of it."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(_LINES)
    if kind < 0.35:  # the words of somebody else's order or question
        words = unknown.question(rng) if rng.random() < 0.4 else orders.wording(rng, orders.draw_slots(rng))
        return f"{rng.choice(_QUOTES)} {words} {rng.choice(_ENDS)}"
    parts = [_clause(rng) for _ in range(rng.choices([1, 2, 3], [4, 4, 2])[0])]
    words = parts[0]
    for part in parts[1:]:
        words += f" {rng.choice(_JOINS)} {part}"
    if rng.random() < 0.3:
        words = f"{rng.choice(_TELLS)} {words}"
    return f"{words} {rng.choice(_ENDS)}" if rng.random() < 0.2 else words


def _clause(rng: random.Random) -> str:
    words = f"{rng.choice(_PEOPLE)} {rng.choice(_VERBS)} {rng.choice(_THINGS)}"
    return f"{words} {rng.choice(_TIMES)}" if rng.random() < 0.6 else words
