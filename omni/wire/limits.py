"""Bounds of the wire. Every one is answered with an error that names the parameter; none is cut off in silence.

The upstream protocol bounds text in tokens of its own tokenizer. Here a token is counted as four characters, which is
the usual average of English text; a text below the bound in characters is always accepted, whatever its tokens.
"""

CHARACTERS_PER_TOKEN = 4

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""One event in UTF-8. Holds the longest append: 30 s of PCM at 24 kHz are 1,920,000 characters of base64."""

MAX_APPEND_S = 30
"""Seconds of audio in one `session.input_audio.append`; a first burst of this length is kept by the session."""

MAX_INSTRUCTIONS_CHARACTERS = 16_384 * CHARACTERS_PER_TOKEN
MAX_CONTEXT_CHARACTERS = 500 * CHARACTERS_PER_TOKEN
"""`content` of instructions, thinking and commentary appended to a running session."""

MAX_INPUT_MESSAGES = 128
MAX_INPUT_CHARACTERS = 8_192 * CHARACTERS_PER_TOKEN
"""All messages of `session.input` together."""

MAX_NAME_CHARACTERS = 512
"""Identifiers and names: event_id, model, voice, delegation_id, safety_identifier."""

MAX_PERMISSIONS = 64
"""Entries of one list of `client.data_channel`."""

MAX_SDP_BYTES = 64 * 1024
"""One session description. A browser's audio offer with a data channel is 2 to 6 KiB."""

MAX_OFFER_BYTES = 512 * 1024
"""The whole body that creates a WebRTC session: instructions and input in escaped JSON, and the SDP."""

MAX_WIRE_MS = 2**53 - 1
"""Largest integer that JSON carries exactly between Python and JavaScript."""
