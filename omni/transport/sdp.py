"""What of a session description is looked at beside aiortc: an offer's bounds and shape, and addresses (RFC 8866)."""

import ipaddress

from omni.base.errors import WireError

MAX_LINES = 1000
MAX_LINE_CHARACTERS = 4096


def check_offer(sdp: str, max_candidates: int) -> str:
    """Check an offer and return it without the candidates that are of no use here.

    One audio section is needed, one data channel section is allowed. Candidates that are not UDP, or are named by host
    instead of address (mDNS), are dropped: a peer that reaches us is found by its own checks (RFC 8445,
    peer-reflexive candidates).

    Raises:
        WireError: code "invalid_sdp", with what is wrong.
    """
    lines = sdp.split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise _wrong(f"more than {MAX_LINES} lines")
    lines = [line.rstrip("\r") for line in lines]
    if lines[0] != "v=0":
        raise _wrong("it does not begin with v=0")
    if any(len(line) > MAX_LINE_CHARACTERS for line in lines):
        raise _wrong(f"a line is longer than {MAX_LINE_CHARACTERS} characters")
    kinds = [line[2:].split(" ", 1)[0] for line in lines if line.startswith("m=")]
    if kinds.count("audio") != 1 or kinds.count("application") > 1 or len(kinds) > 2 or \
            set(kinds) - {"audio", "application"}:
        raise _wrong("it needs one audio section and at most one data channel section, nothing else")
    for needed in ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"):
        if not any(line.startswith(needed) for line in lines):
            raise _wrong(f"no {needed[2:-1]}")
    if sum(line.startswith("a=candidate:") for line in lines) > max_candidates:
        raise _wrong(f"more than {max_candidates} candidates")
    kept = [line for line in lines if line and not (line.startswith("a=candidate:") and not _usable(line))]
    return "\r\n".join(kept) + "\r\n"


def addresses(sdp: str) -> list[tuple[str, int]]:
    """Where its owner can be reached, each place once: the UDP candidates that are named by address."""
    candidates = [line.split() for line in sdp.splitlines() if line.startswith("a=candidate:") and _usable(line)]
    return list(dict.fromkeys((parts[4], int(parts[5])) for parts in candidates))


def readdressed(sdp: str, places: dict[tuple[str, int], tuple[str, int]]) -> str:
    """The description with other addresses: of its candidates those remain that `places` has an address for.

    One that has none left does not say that this was all of them (RFC 8838 section 8.1): its owner is yet to be found.
    """
    kept = []
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            parts = line.split()
            place = places.get((parts[4], int(parts[5]))) if _usable(line) else None
            if place is None:
                continue
            parts[4:6] = place[0], str(place[1])
            line = " ".join(parts)
        if places or line != "a=end-of-candidates":
            kept.append(line)
    return "\r\n".join(kept) + "\r\n"


def _usable(line: str) -> bool:
    parts = line.split()
    if len(parts) < 8 or parts[2].lower() != "udp":
        return False
    try:
        ipaddress.ip_address(parts[4])
    except ValueError:
        return False
    return True


def _wrong(what: str) -> WireError:
    return WireError(f"the offer is not usable: {what}", code="invalid_sdp", param="transport.sdp")
