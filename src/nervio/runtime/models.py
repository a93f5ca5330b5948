"""The models that the settings ask for, and the kinds of tasks that they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import SecretStr

from nervio.adapters.models.offline import NAME as OFFLINE
from nervio.adapters.models.offline import OfflineModels
from nervio.adapters.models.policy import Policy, Restriction
from nervio.adapters.models.prices import PriceBook
from nervio.adapters.models.quirks import QUIRKS
from nervio.adapters.models.routed import RoutedModels
from nervio.ports.clock import Clock
from nervio.ports.models import Ability, ModelError, Models, Price, Usage
from nervio.ports.workers import Answer, Do, Job, TaskFailed
from nervio.runtime.model_payloads import chat_request, embed_request
from nervio.runtime.models_settings import ModelSettings, Preset, ProviderSettings
from nervio.runtime.settings import Settings, SettingsError

GROUP = "NERVIO_MODELS"
OPENAI = "openai"
OPENAI_KEY = "NERVIO_SECRETS__OPENAI_API_KEY (OPENAI_API_KEY)"

_HINT = f"{GROUP}__PROVIDERS__<NAME>__API_KEY."


def make_models(settings: Settings, clock: Clock) -> Models:
    """The providers of the settings behind their policy; connects to nothing. Raises SettingsError that names the variable.

    The offline model answers where there is no other, or where `order` names it: an answer that only says that it is none would
    be a poor thing to fall back to unasked.
    """
    group = settings.models
    wanted = dict(group.providers)
    if settings.secrets.openai_api_key is not None:
        wanted.setdefault(OPENAI, ProviderSettings.model_validate({}))
    for name in group.order:
        if name not in wanted and name != OFFLINE:
            raise SettingsError(
                f"{GROUP}__ORDER: there is no provider {name!r}; there are {', '.join(sorted(wanted))}."
            )
    prices = PriceBook(_prices(group))
    made: dict[str, Models] = {}
    for name in dict.fromkeys((*group.order, *sorted(wanted))):
        made[name] = OfflineModels(_HINT) if name == OFFLINE else _provider(name, wanted[name], settings, prices, clock)
    if not made:
        made[OFFLINE] = OfflineModels(f"See {_HINT}")
    return RoutedModels(
        made,
        clock,
        policy=Policy(group.policy),
        restrictions=_restrictions(group, made),
        currency=group.currency,
        setting=GROUP,
    )


def names_of(models: Models) -> tuple[str, ...]:
    """What a task may name as its model, for the profile of a worker: each by its own name and with its provider's before it."""
    names = (name for offer in models.offers for name in (offer.model, f"{offer.provider}/{offer.model}"))
    return tuple(dict.fromkeys(names))


def kinds_of(models: Models) -> Mapping[str, Do]:
    """What a worker does that asks these models: chat and vision, whose parts are shown as they come, and embed."""

    async def chat(job: Job) -> Answer:
        request = chat_request(job.assignment, job.payload)
        try:
            answer = await models.chat(request, job.emit)
        except ModelError as error:
            raise _failed(error) from None
        result = {
            "text": answer.text,
            "model": answer.model,
            "provider": answer.provider,
            "finish_reason": answer.finish_reason,
        }
        return Answer(result, _usage(answer.usage, answer.provider, answer.model))

    async def embed(job: Job) -> Answer:
        request = embed_request(job.assignment, job.payload)
        try:
            answer = await models.embed(request)
        except ModelError as error:
            raise _failed(error) from None
        result = {"vectors": answer.vectors, "dimensions": answer.dimensions, "model": answer.model}
        return Answer(result, _usage(answer.usage, answer.provider, answer.model))

    return {Ability.CHAT.value: chat, Ability.VISION.value: chat, Ability.EMBED.value: embed}


def _provider(name: str, given: ProviderSettings, settings: Settings, prices: PriceBook, clock: Clock) -> Models:
    # The client of HTTP is imported only where somebody is to be asked: a shop on one machine starts without.
    from nervio.adapters.models import openai_compatible as compatible
    from nervio.adapters.models.attempts import Limits
    from nervio.adapters.models.failures import Settings as Variables

    group = settings.models
    prefix = f"{GROUP}__PROVIDERS__{name.upper()}"
    preset = given.preset or (name if name in get_args(Preset) else "other")
    quirks = QUIRKS[preset]
    base_url = given.base_url or quirks.base_url
    if not base_url:
        raise SettingsError(
            f"{prefix}__BASE_URL: is needed, because {name!r} is no preset ({', '.join(sorted(QUIRKS))})."
        )
    key, key_variable = given.api_key, f"{prefix}__API_KEY"
    if key is None and name == OPENAI:
        key, key_variable = settings.secrets.openai_api_key, OPENAI_KEY
    if key is None and quirks.needs_key and base_url == quirks.base_url:
        raise SettingsError(f"{key_variable}: is needed to ask {name!r}.")
    models = {
        Ability.CHAT: given.chat_models or quirks.models.get(Ability.CHAT, ()),
        Ability.VISION: given.vision_models or quirks.models.get(Ability.VISION, ()),
        Ability.EMBED: given.embed_models or quirks.models.get(Ability.EMBED, ()),
    }
    is_private = quirks.is_private if given.allow_private_addresses is None else given.allow_private_addresses
    variables = Variables(
        name,
        f"{prefix}__BASE_URL",
        key_variable,
        f"{prefix}__{{ability}}_MODELS",
        _checked_key(key, key_variable),
    )
    provider = compatible.Provider(name, preset, quirks, variables, base_url, models, is_private)
    limits = Limits(
        GROUP,
        group.connect_seconds,
        group.first_part_seconds,
        group.next_part_seconds,
        group.whole_seconds,
        group.attempts,
        longest_pause_seconds=group.longest_pause_seconds,
        largest_answer_bytes=group.largest_answer_bytes,
    )
    return compatible.OpenAICompatible(provider, clock, limits=limits, prices=prices)


def _checked_key(key: SecretStr | None, variable: str) -> str:
    """The key as it is sent. Raises SettingsError where no header could hold it, which would show it in an error."""
    text = "" if key is None else key.get_secret_value().strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise SettingsError(f"{variable}: holds characters that no key has; copy it again.")
    return text


def _prices(group: ModelSettings) -> dict[str, Price | None]:
    return {
        name: None if given is None else Price(given.input, given.output, given.currency, given.cached_input)
        for name, given in group.prices.items()
    }


def _restrictions(group: ModelSettings, made: Mapping[str, Models]) -> dict[str, Restriction]:
    found = {}
    for tenant_id, given in group.tenants.items():
        unknown = sorted(set(given.providers or ()) - made.keys())
        if unknown:
            known = ", ".join(sorted(made))
            raise SettingsError(f"{GROUP}__TENANTS: there is no provider {unknown[0]!r}; there are {known}.")
        providers = None if given.providers is None else frozenset(given.providers)
        found[tenant_id] = Restriction(providers, None if given.policy is None else Policy(given.policy))
    return found


def _usage(usage: Usage, provider: str, model: str) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost_micros": usage.cost_micros,
        "currency": usage.currency,
        "is_estimated": usage.is_estimated,
        "provider": provider,
        "model": model,
    }


def _failed(error: ModelError) -> TaskFailed:
    return TaskFailed(str(error), may_help=error.may_help, retry_after_seconds=error.retry_after_seconds)
