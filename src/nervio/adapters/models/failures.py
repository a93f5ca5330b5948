"""What a refusal of a provider means, in our words and with the setting that mends it. Keys never get into a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from nervio.adapters.outbound import Reply
from nervio.ports.models import Ability, Failure, ModelError

MOST_WORDS = 300
"""Characters of a provider's words that an error repeats."""

_NO_BALANCE = ("insufficient_quota", "insufficient balance", "billing", "credit balance")
_TOO_LONG = ("context_length", "context length", "maximum context", "too many tokens", "too long", "too large")
_NO_MODEL = ("model_not_found", "model not exist", "no such model", "unknown model", "is not found for api version")


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables that a person would change for a provider, and its key, which is taken out of every text."""

    provider: str
    base_url: str
    api_key: str
    models: str
    """With `{ability}` where the ability stands."""
    key: str = field(default="", repr=False)

    def models_for(self, ability: Ability) -> str:
        """The variable that lists the models of an ability."""
        return self.models.format(ability=ability.value.upper())


class Failures:
    """Makes the errors of one provider."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def of_reply(self, reply: Reply, model: str, ability: Ability, now: float) -> ModelError:
        """What an answer other than 200 means. `now`: seconds since 1970, for a `Retry-After` that is a date."""
        said, code = _said(reply)
        lower = f"{code} {said}".lower()
        status = reply.status
        words = f"HTTP {status}" + (f": {said}" if said else "")
        settings = self._settings
        if status == 402 or (status in (403, 429) and any(sign in lower for sign in _NO_BALANCE)):
            return self._make(Failure.REFUSED, f"the account has no balance left ({words}).", settings.api_key)
        if status in (401, 403) or (status == 400 and "api key" in lower and "valid" in lower):
            return self._make(Failure.REFUSED, f"the key is refused ({words}).", settings.api_key)
        if status == 429:
            return self._make(
                Failure.RATE_LIMITED, f"too many requests ({words}).", retry_after_seconds=_retry_after(reply, now)
            )
        if any(sign in lower for sign in _NO_MODEL) or (status == 404 and "model" in lower):
            variable = settings.models_for(ability)
            return self._make(Failure.UNKNOWN_MODEL, f"there is no model {model!r} ({words}).", variable)
        if status == 413 or (status in (400, 422) and any(sign in lower for sign in _TOO_LONG)):
            return self._make(Failure.TOO_LARGE, f"the request is more than {model} takes ({words}).")
        if status == 404 or 300 <= status < 400:
            return self._make(Failure.BAD_REQUEST, f"nothing answers at this address ({words}).", settings.base_url)
        if status >= 500 or status in (408, 409, 425):
            return self._make(
                Failure.FAILED, f"the provider failed ({words}).", retry_after_seconds=_retry_after(reply, now)
            )
        return self._make(Failure.BAD_REQUEST, f"the request is refused ({words}).")

    def in_stream(self, error: Any) -> ModelError:
        """An error that came in the middle of a stream, where no status tells its kind."""
        said = _message(error)
        lower = said.lower()
        if any(sign in lower for sign in _TOO_LONG):
            return self._make(Failure.TOO_LARGE, f"the request is more than the model takes ({said}).")
        return self._make(Failure.FAILED, f"the provider failed in the middle of its answer ({said}).")

    def unreachable(self, why: str) -> ModelError:
        """No connection, or one that broke before an answer began."""
        return self._make(Failure.UNREACHABLE, f"{why}.", self._settings.base_url)

    def malformed(self, what: str, *, is_address_doubtful: bool = False) -> ModelError:
        """What came cannot be used."""
        return self._make(Failure.MALFORMED, f"{what}.", self._settings.base_url if is_address_doubtful else "")

    def timeout(self, what: str, seconds: float, setting: str) -> ModelError:
        """It took too long."""
        return self._make(Failure.TIMEOUT, f"{what} within {seconds:g} s.", setting)

    def too_large(self, most_bytes: int, setting: str) -> ModelError:
        """An answer beyond all measure."""
        text = f"the answer is longer than {most_bytes} bytes."
        return self._make(Failure.TOO_LARGE, text, setting)

    def resting(self, failures: int, seconds: float, last_words: str) -> ModelError:
        """It is left alone for a while."""
        return self._make(
            Failure.UNREACHABLE,
            f"left alone for {seconds:.0f} s more after {failures} failures in a row; the last: {last_words}",
            retry_after_seconds=seconds,
        )

    def rate_limited(self, seconds: float) -> ModelError:
        """It asked to be left alone for longer than a call waits."""
        return self._make(
            Failure.RATE_LIMITED, f"it asked to wait for {seconds:.0f} s more.", retry_after_seconds=seconds
        )

    def _make(
        self, failure: Failure, text: str, setting: str = "", *, retry_after_seconds: float | None = None
    ) -> ModelError:
        key = self._settings.key
        if key:
            text = text.replace(key, "…")
        if not text.startswith(f"{self._settings.provider}: "):
            text = f"{self._settings.provider}: {text}"
        if setting:
            text = f"{text} See {setting}."
        return ModelError(
            failure,
            text,
            provider=self._settings.provider,
            setting=setting,
            retry_after_seconds=retry_after_seconds,
        )


def _said(reply: Reply) -> tuple[str, str]:
    """A provider's words and its code, as far as its answer has them."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return " ".join(reply.text.split())[:MOST_WORDS], ""
    error = _error_of(body)
    code = error.get("code") if isinstance(error, dict) else None
    return _message(error), str(code or "")


def _error_of(body: Any) -> Any:
    # Gemini puts its error into a list.
    if isinstance(body, list) and body:
        body = body[0]
    return body.get("error", body) if isinstance(body, dict) else body


def _message(error: Any) -> str:
    text = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(text).split())[:MOST_WORDS]


def _retry_after(reply: Reply, now: float) -> float | None:
    """The seconds of `Retry-After`, or of Google's `retryDelay` in the body."""
    told = reply.retry_after(now)
    return told if told is not None else next(_delays(reply), None)


def _delays(reply: Reply) -> Iterator[float]:
    try:
        error = _error_of(orjson.loads(reply.body))
    except orjson.JSONDecodeError:
        return
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                yield max(0.0, float(delay[:-1]))
            except ValueError:
                continue
