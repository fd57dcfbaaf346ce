"""The HTTP side of a call, for our own client: POST an offer and get an answer, or take the session back."""

import ssl
from urllib.parse import urlsplit, urlunsplit

from aiohttp import ClientError, ClientResponseError, ClientSession

from omni.base.errors import WireError
from omni.transport.remote_session import ServerError, refusal, unreachable
from omni.wire import decode_created, decode_http_error, encode_create
from omni.wire.session import SessionConfig
from omni.wire.signalling import CreatedSession, CreateSession, Offer


class Signalling:
    """One server. `POST` and `DELETE` of `/v1/live/sessions`; each call has a connection of its own."""

    def __init__(self, url: str, name: str, headers: dict[str, str], tls: ssl.SSLContext | None):
        """Args:
            url: as `remote_session.address` gives it.
            name: of the server, for messages.
            headers: Authorization, if the server needs it.
            tls: None for the usual one.
        """
        parts = urlsplit(url)
        # aiohttp takes a password in the address for a second Authorization, which is an error.
        host = parts.netloc.rpartition("@")[2] if headers else parts.netloc
        self._parts = parts._replace(scheme={"ws": "http", "wss": "https"}[parts.scheme], netloc=host)
        self._name = name
        self._headers = {**headers, "Content-Type": "application/json", "User-Agent": "omni"}
        self._tls = tls

    async def create(self, session: SessionConfig, offer: str) -> CreatedSession:
        """Ask for a session. Cancelling it may leave one on the server, which gives it up when nobody comes.

        Raises:
            ServerError: nobody is there, or the server refuses; the message says why.
        """
        text = encode_create(CreateSession(session=session, transport=Offer(type="webrtc", sdp=offer)))
        status, body = await self._request("POST", "", text)
        if status != 201:
            raise ServerError(f"{self._name} refuses: {refusal(status, _sentence(body))}")
        try:
            return decode_created(body)
        except WireError as error:
            raise ServerError(f"{self._name} does not speak the protocol: {error}") from None

    async def delete(self, session_id: str) -> None:
        """Hang a session up; one that is over already is no error.

        Raises:
            ServerError: nobody is there.
        """
        await self._request("DELETE", f"/{session_id}")

    async def _request(self, method: str, path: str, text: str | None = None) -> tuple[int, bytes]:
        url = urlunsplit(self._parts._replace(path=self._parts.path + path))
        try:
            async with ClientSession() as http, http.request(method, url, data=text, headers=self._headers,
                                                             ssl=self._tls or True) as response:
                return response.status, await response.read()
        except ClientResponseError:
            raise ServerError(f"{self._name} cannot be reached: it does not speak HTTP") from None
        except (ClientError, OSError) as error:
            raise ServerError(f"{self._name} cannot be reached: {unreachable(error)}") from None


def _sentence(body: bytes) -> str:
    """The server's own, if it sent one."""
    try:
        return decode_http_error(body).message
    except WireError:
        return ""
