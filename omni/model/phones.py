"""The phones of the agent's voice: those of General American as cmulex has them, and a pause.

Phone k of the list has id k + 1; id 0 is none.
"""

PHONES = ("aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh "
          "pau").split()
PAUSE = PHONES.index("pau") + 1


def phone_id(name: str) -> int:
    """Id of a phone by its name.

    Raises:
        KeyError: there is none of this name.
    """
    try:
        return PHONES.index(name) + 1
    except ValueError as error:
        raise KeyError(name) from error
