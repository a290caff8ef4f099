"""One request to a model's server and what comes back: HTTP, statuses, bodies of bounded length, the server's words.

Keys are sent to the endpoint's own address and nowhere else, and are never part of a message.
"""

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from hub_speed.errors import EndpointDown, EndpointRefused, did_you_mean
from hub_speed.llm import dialects, proxies
from hub_speed.llm.address import Address, below, shown
from hub_speed.llm.dialects import Completion

TOO_MUCH_STATUS = {429, 503, 529}  # 529: "overloaded", as some servers say it
RETRY_STATUS = {408, 409, 424, 425, 429, 498, 499, *range(500, 600)}  # 424, 498, 499: of gateways whose server failed
REFUSED_STATUS = {*range(400, 500)} - RETRY_STATUS  # the server does not take this request, or this way of asking
NO_MONEY = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "exceeded_current_quota_error",
    "1113",
    "Arrearage",
}
"""Codes and types of errors that waiting does not mend, whatever their status: OpenAI's, and the last three those of
Moonshot, Z.ai and Alibaba."""
MAX_ANSWER_BYTES = 20_000_000  # Assumption: a hundred times the longest answer a prompt here asks for
MAX_HEADER_BYTES = 1 << 16  # Assumption: gateways put whole policies into one; aiohttp reads 8,190 bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)  # no connection, and so no request
CONNECT_S, KEEP_ALIVE_S = 10.0, 75.0  # Assumption: until a connection stands; until an idle one is closed


class TooLong(ValueError):
    """An answer of more than MAX_ANSWER_BYTES."""


@dataclass(frozen=True)
class Trouble:
    """A request that brought no usable answer, but may be sent again.

    Attributes:
        problem: what happened, in words.
        wait_s: how long the server asks to wait, None when it does not say.
        too_much: whether fewer requests at once might have helped.
        broken: whether the server itself failed, so that another replica might do better.
        charged: whether it may have to be paid for: the server answered (200) with something unusable, or the request
            was sent and no answer came.
        status: the HTTP status; 0 where none came, or an unusable 200.
    """

    problem: str
    wait_s: float | None = None
    too_much: bool = False
    broken: bool = False
    charged: bool = False
    status: int = 0


class Transport:
    """The HTTP connections to one model; use as an async context manager.

    Args:
        address: the model's address.
        timeout_s: seconds one answer may take.

    Attributes:
        model: the name the server knows the model by; its first one where the address names none.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.model = address.model
        self._address = address
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s))
        self._listed: dict[str, int | None] = {}
        self._headers = {"Content-Type": "application/json"}
        if address.key:
            self._headers["Authorization"] = f"Bearer {address.key}"
        if address.key and any("api-version=" in url for url in address.urls):
            self._headers["api-key"] = address.key  # as Azure wants it
        self._options: dict[str, dict[str, Any]] = {}  # URL → its headers and its proxy, where there is one
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._straight = not any(proxies.proxy_for(url) for url in self._address.urls)
        self._session = aiohttp.ClientSession(
            headers=self._headers if self._straight else None,  # each request's own cost a twentieth of its time
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),  # a balancer's cookie would send every request to the same server
            timeout=self._timeout,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def probe(self, root: str, max_tokens: int) -> None:
        """Ask a server for its models, to see whether it answers and takes answers of that length.

        A key may be good for a chat and not for a list: the first chat decides, where the model's name is known.

        Raises:
            EndpointRefused: nobody names the model, or no answer of that length fits into it.
            EndpointDown: no server answers.
        """
        url = below(root, "/v1/models" if self._address.dialect in dialects.UNVERSIONED else "/models")
        try:
            async with self._session.get(url, allow_redirects=False, **self._to(url)) as response:
                body = await _read(response)
        except TooLong:
            return  # no list of models, but somebody is there
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(root, error) from error
        if response.status in (401, 403) and not self.model:
            raise self._refused(response.status, url, body)
        self._listed = {name: takes for name, takes in models(body).items() if name == self._address.words(name)}
        self.model = self.model or next(iter(self._listed), "")
        longest = self._listed.get(self.model)
        if longest is not None and longest <= max_tokens:
            raise EndpointRefused(
                f"endpoint {self._address.name}: {self.model} at {shown(root)} takes {longest} tokens in all",
                got=f"answers of up to {max_tokens} tokens are to be asked for",
                fix="lower max_tokens of the recipe's teacher or generator, or serve a longer context",
            )

    async def ask(self, url: str, data: bytes, n: int) -> Completion | Trouble:
        """The answer to one request, or why there is none.

        Args:
            url: where the request goes.
            data: the request's body.
            n: the most texts the answer may have.

        Raises:
            EndpointRefused: the server's status says that asking again would not help, or it is 2xx, but not 200,
                and there is no answer with it.
        """
        status, body, started = 0, b"", time.monotonic()
        try:
            async with self._session.post(url, data=data, allow_redirects=False, **self._to(url)) as response:
                status = response.status
                body = await _read(response)
                if not 200 <= status < 300:
                    return self._unanswered(status, url, body, response.headers)
                answer = dialects.load(body, response.charset)
            if (inner := inner_status(answer)) != 200:
                return self._unanswered(inner, url, body, response.headers)
            completion = dialects.read(self._address.dialect, answer, self.model, time.monotonic() - started)
            if len(completion.texts) > n:
                return Trouble(f"asked for {n} answers, got {len(completion.texts)}", charged=True)
            return self._address.without_secrets(completion)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if isinstance(error, ValueError) and 200 < status < 300:
                raise self._refused(status, url, body or str(error).encode()) from error
            words = self._address.words(str(error) if isinstance(error, ValueError) else _named(error))
            late, unreadable = isinstance(error, TimeoutError), isinstance(error, ValueError)
            sent = not (status or unreadable or isinstance(error, UNSENT))
            return Trouble(words, too_much=late, broken=not unreadable, charged=sent or status == 200)

    def _unanswered(self, status: int, url: str, body: bytes, headers: Mapping[str, str]) -> Trouble:
        """What the status of an error means, where it may be asked again.

        Raises:
            EndpointRefused: asking again would not help.
        """
        if status not in RETRY_STATUS or codes(body) & NO_MONEY:
            raise self._refused(status, url, body)
        return Trouble(
            f"{status} {self._address.words(message(body))}",
            retry_after(headers, body),
            too_much=status in TOO_MUCH_STATUS,
            broken=status >= 500,
            status=status,
        )

    def _unreachable(self, root: str, error: Exception) -> EndpointDown:
        """What it means that no server answers, in words that name the fix."""
        at = shown(root)
        where, fix = f"no server answers at {at}", f"start the server, or pass --endpoint {self._address.name}=URL"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            where = f"the certificate of {at} is not trusted"
            fix = "if the server is your own, name the file with its authority's certificate in SSL_CERT_FILE"
        elif isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
            where, fix = f"the proxy for {at} does not let us through", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        elif isinstance(error, aiohttp.ClientResponseError):
            where, fix = f"what answers at {at} does not speak HTTP as it should", "check the address and the port"
        got = self._address.words(_named(error))
        return EndpointDown(f"endpoint {self._address.name}: {where}", got=got, fix=fix)

    def _to(self, url: str) -> dict[str, Any]:
        """The options of a request to a URL: the proxy that the environment names for it, and headers with one."""
        if self._straight:
            return {}
        if url not in self._options:
            self._options[url] = proxies.request_options(url, self._headers)
        return self._options[url]

    def _refused(self, status: int, url: str, body: bytes) -> EndpointRefused:
        """What a final status means, in words that name the fix."""
        name, model, no_money = self._address.name, self._address.model, codes(body) & NO_MONEY
        variable = self._address.key_variable
        fix = {
            401: f"set {variable} to a valid key",
            403: f"the key in {variable} may not use {model}",
            404: f"check the URL and the model's name: {model}" + self._other_models(),
            407: "put the proxy's user and password into HTTPS_PROXY or HTTP_PROXY",
        }.get(status, "")
        if 300 <= status < 400:
            fix = "pass the address it redirects to: a key is not carried elsewhere"
        if no_money:
            fix = "top up the account, or raise its limit; the same command then goes on where it stopped"
        got = self._address.words(message(body))
        refused = EndpointRefused(f"endpoint {name}: {shown(url)} answers {status}", got=got, fix=fix)
        refused.status, refused.no_money = status, bool(no_money)
        return refused

    def _other_models(self) -> str:
        """What the server lists instead of the model that was named, for a message."""
        if not self._listed or self.model in self._listed:
            return ""
        near = did_you_mean(self.model, self._listed)
        return f"; {near}" if near else f"; it serves {', '.join(list(self._listed)[:5])}"


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body of a response.

    Raises:
        TooLong: the body has more than MAX_ANSWER_BYTES.
    """
    chunks, size = [], 0
    while not response.content.at_eof():
        chunks.append(await response.content.readany())
        size += len(chunks[-1])
        if size > MAX_ANSWER_BYTES:
            response.close()
            raise TooLong(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return b"".join(chunks)


def _named(error: Exception) -> str:
    """An error with its type, for those whose text alone says little or nothing."""
    return f"{type(error).__name__}: {error}"


def _error(answer: Any) -> Any:
    """The error in an answer, which may stand in a list or in its only choice; the answer itself where none is named.

    MiniMax calls it base_resp.
    """
    answer = _first(answer)
    if not isinstance(answer, dict):
        return answer
    return _first(answer.get("error") or _error_of_choices(answer.get("choices")) or answer.get("base_resp")) or answer


def _error_of_choices(choices: Any) -> Any:
    """The error of the first choice, where each has one, as gateways write it."""
    if not isinstance(choices, list) or not all(isinstance(each, dict) and each.get("error") for each in choices):
        return None
    return choices[0]["error"] if choices else None


def _first(value: Any) -> Any:
    """The first value of a list, or of lists in lists; any other value as it is."""
    while isinstance(value, list) and value:
        value = value[0]
    return value


def _plain(value: Any) -> str:
    """A text or a number as text; empty for any other value."""
    return str(value) if isinstance(value, str | int) else ""


def message(body: bytes) -> str:
    """The server's own words about an error, as one line, without characters that a terminal would obey."""
    try:
        error = _error(orjson.loads(body))
        text = str(error.get("message") or error.get("status_msg") or error if isinstance(error, dict) else error)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
    return " ".join(_CONTROL.sub(" ", text).split())


def inner_status(answer: Any) -> int:
    """The status of an error that a gateway sends with status 200; 200 where the answer is none.

    Some have no `error`, but a code and a message where an answer would have its choices.
    """
    answer = _first(answer)
    if not isinstance(answer, dict):
        return 200
    if answer.get("choices"):
        if not _error_of_choices(answer["choices"]):
            return 200
    elif not (answer.get("error") or answer.get("base_resp") or (answer.get("code") and answer.get("message"))):
        return 200
    error = _error(answer)
    code, kind = map(_plain, (error.get("code"), error.get("type")) if isinstance(error, dict) else ("", error))
    kind = f"{kind} {_plain(error.get('status_msg'))}" if isinstance(error, dict) else kind
    status = int(code) if code.isdecimal() and len(code) == 3 else 0
    if 400 <= status < 600:
        return status
    return 429 if re.search("rate.?(?:limit|quota)|too.?many|overload", f"{code} {kind}", re.IGNORECASE) else 500


def codes(body: bytes) -> set[str]:
    """What an error calls itself: its code and its type, or the first word where it is a plain text."""
    try:
        error = _error(orjson.loads(body))
    except ValueError:
        return set()
    if isinstance(error, dict):
        return {_plain(error.get("code")), _plain(error.get("type"))}
    return set(re.findall(r"\A\W*(\w+)", _plain(error)))


def models(listing: bytes) -> dict[str, int | None]:
    """The models of a /v1/models answer, each with the tokens it takes where the server says so (vLLM does)."""
    try:
        found = dialects.load(listing)
    except ValueError:
        return {}
    found = found.get("data") if isinstance(found, dict) else found  # Together sends the list alone
    found = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return {each["id"]: _length(each.get("max_model_len")) for each in found if isinstance(each.get("id"), str)}


def _length(value: Any) -> int | None:
    """A number of tokens that a model takes; None for what is not one."""
    try:
        return max(0, int(value or 0)) or None
    except (TypeError, ValueError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Seconds the server asks to wait; None when it does not say.

    They stand in Retry-After as a number or a date, in retry-after-ms (Azure), or in the error itself: Gemini's
    retryDelay, "Please try again in 1m26.5s" (OpenAI, Groq), "Please retry after 58 seconds" (Azure).
    """
    told = [_wait(headers.get("Retry-After")), _wait(headers.get("retry-after-ms"), 1000)]
    if told == [None, None]:
        text = body[:MOST_ERROR_BYTES].decode("utf-8", "replace")
        told = [_seconds(found) for found in _RETRY_IN.finditer(text)]
    return max((each for each in told if each is not None), default=None)


_RETRY_IN = re.compile(
    r"""(?:\b(?:try\ again|retry)\ (?:in|after)\ |"retryDelay":\s*")
    (?=\d) (?:(?P<h>\d+)h)? (?:(?P<m>\d+)m(?!s))?
    (?:(?P<s>\d+(?:\.\d+)?)(?:s|\ ?sec(?:ond)?s?)\b)? (?:(?P<ms>\d+)ms)?""",
    re.VERBOSE | re.IGNORECASE,
)
MOST_ERROR_BYTES = 10_000  # of an error that are looked at. Assumption: what it says about a wait stands near its start
FIRST_DATE = 1e9  # Assumption: a greater number of seconds is a date, as some gateways write it, and no wait


def _seconds(found: re.Match[str]) -> float:
    h, m, s, ms = (float(part or 0) for part in found.group("h", "m", "s", "ms"))
    return 3600 * h + 60 * m + s + ms / 1000


def _wait(value: str | None, unit: int = 1) -> float | None:
    """Seconds from a header's number or HTTP date; None where it has neither.

    Args:
        value: of the header, if there is one.
        unit: how many of what it counts make a second.
    """
    if value is None:
        return None
    try:
        seconds = float(value) / unit
        return max(0.0, seconds - time.time() if seconds > FIRST_DATE else seconds)
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
