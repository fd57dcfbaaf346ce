"""Numbers in words."""

_ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
         "seventeen eighteen nineteen").split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()

DIGITS = _ONES[:10]


def words(number: int) -> str:
    """The number (-999 to 999) in words, American style without "and"."""
    if number < 0:
        return "minus " + words(-number)
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f" {_ONES[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_ONES[hundreds]} hundred" + (f" {words(rest)}" if rest else "")


def vocabulary() -> list[str]:
    """Every word a number may use."""
    return [*_ONES, *_TENS[1:], "hundred", "minus", "oh"]
