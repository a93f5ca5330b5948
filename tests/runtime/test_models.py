"""The models that settings ask for, and the kinds of tasks that a worker does with them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nervio.adapters.clock import SystemClock
from nervio.kernel.ids import new_id
from nervio.ports.models import Ability, Models
from nervio.ports.workers import Answer, Assignment, Job, TaskFailed
from nervio.runtime import env_files
from nervio.runtime.models import kinds_of, make_models, names_of
from nervio.runtime.settings import OLD_NAMES, SettingsError, known_variables, load_settings
from tests.model_peer import KEY, ModelPeer, a_provider

PROVIDERS = "NERVIO_MODELS__PROVIDERS"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the variables nor the .env of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [*known_variables(), *OLD_NAMES]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def peer() -> AsyncIterator[ModelPeer]:
    async with a_provider() as listening:
        yield listening


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> Models:
    """The models of an environment; names without their `NERVIO_MODELS__`."""
    for name, value in values.items():
        monkeypatch.setenv(name if name == "OPENAI_API_KEY" else f"NERVIO_MODELS__{name}", value)
    return make_models(load_settings(), SystemClock())


def a_kitchen(peer: ModelPeer) -> dict[str, str]:
    """A provider of our own in the settings."""
    return {
        "PROVIDERS__KITCHEN__BASE_URL": peer.url,
        "PROVIDERS__KITCHEN__API_KEY": KEY,
        "PROVIDERS__KITCHEN__CHAT_MODELS": "cook, waiter",
        "PROVIDERS__KITCHEN__VISION_MODELS": "guard",
        "PROVIDERS__KITCHEN__EMBED_MODELS": "map",
        "PROVIDERS__KITCHEN__ALLOW_PRIVATE_ADDRESSES": "true",
        "PRICES": '{"cook": {"input": 1000000, "output": 2000000, "currency": "EUR"}}',
    }


async def done(models: Models, kind: str, payload: Any, model: str = "") -> tuple[Answer, list[str]]:
    """What a task of a kind comes to, and the parts that were shown."""
    shown: list[str] = []
    text = json.dumps(payload)
    assignment = Assignment(new_id(), new_id(), 1, kind, model, text, 1, len(text))
    return await kinds_of(models)[kind](Job(assignment, json.loads(text), shown.append)), shown


def asked(models: Models, ability: Ability) -> list[str]:
    """Who is asked for an ability, in order."""
    return [f"{offer.provider}/{offer.model}" for offer in models.offers if offer.ability is ability]


# -- settings ----------------------------------------------------------------------------------------------------------


def test_without_a_provider_the_offline_model_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {offer.provider for offer in given(monkeypatch).offers} == {"offline"}


def test_the_old_key_of_openai_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    models = given(monkeypatch, OPENAI_API_KEY=KEY)
    assert asked(models, Ability.CHAT)[0] == "openai/gpt-5-mini"
    assert asked(models, Ability.EMBED) == ["openai/text-embedding-3-small"]
    assert all(offer.price for offer in models.offers)


async def test_every_name_that_a_worker_is_known_by_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    models = given(monkeypatch)
    assert names_of(models) == (
        "offline-chat", "offline/offline-chat", "offline-hash-384", "offline/offline-hash-384",
    )  # fmt: skip
    for name in names_of(models)[:2]:
        answer, _ = await done(models, "chat", {"messages": [HELLO]}, name)
        assert answer.result["model"] == "offline-chat"


@pytest.mark.parametrize("preset", ["openai", "gemini", "deepseek"])
def test_a_preset_needs_its_key_only(monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    models = given(monkeypatch, **{f"PROVIDERS__{preset.upper()}__API_KEY": KEY})
    assert asked(models, Ability.CHAT)[0].startswith(f"{preset}/")


def test_providers_stand_in_the_order_that_is_asked_for_then_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    models = given(
        monkeypatch,
        PROVIDERS__OLLAMA__CHAT_MODELS="llama",
        PROVIDERS__DEEPSEEK__API_KEY=KEY,
        PROVIDERS__GEMINI__API_KEY=KEY,
        ORDER="Ollama, offline",
    )
    assert asked(models, Ability.CHAT) == [
        "ollama/llama", "offline/offline-chat", "deepseek/deepseek-flash", "deepseek/deepseek-chat",
        "gemini/gemini-3.8-flash",
    ]  # fmt: skip


def test_a_second_account_takes_the_manners_of_its_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    models = given(
        monkeypatch,
        PROVIDERS__SPARE__PRESET="openai",
        PROVIDERS__SPARE__API_KEY=KEY,
        PROVIDERS__SPARE__CHAT_MODELS="gpt-4o-mini,gpt-next",
        PRICES='{"spare/gpt-4o-mini": {"input": 1}, "gpt-5-mini": null}',
    )
    prices = {offer.model: offer.price for offer in models.offers}
    assert prices["gpt-4o-mini"] is not None and prices["gpt-4o-mini"].input_micros == 1
    assert (prices["gpt-next"], prices["gpt-5-mini"]) == (None, None)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"PROVIDERS__GEMINI__CHAT_MODELS": "x"}, f"{PROVIDERS}__GEMINI__API_KEY: is needed"),
        ({"PROVIDERS__OPENAI__CHAT_MODELS": "x"}, "NERVIO_SECRETS__OPENAI_API_KEY (OPENAI_API_KEY): is needed"),
        ({"PROVIDERS__MINE__API_KEY": "x"}, f"{PROVIDERS}__MINE__BASE_URL: is needed"),
        ({"PROVIDERS__MINE__BASE_URL": "models.example"}, f"{PROVIDERS}__MINE__BASE_URL: write an address such as"),
        ({"PROVIDERS__MINE__BASE_URL": "https://key@models.example"}, "the key stands in api_key"),
        ({"PROVIDERS__GEMINI__API_KEY": "sk-abc…"}, f"{PROVIDERS}__GEMINI__API_KEY: holds characters that no key has"),
        ({"PROVIDERS__MINE__BASE_URL": "https://señor.example"}, "write an address such as"),
        ({"PROVIDERS__MINE__API_KEE": "x"}, f"{PROVIDERS}__MINE__API_KEE: "),
        ({"PROVIDERS__MINE__PRESET": "chatty"}, f"{PROVIDERS}__MINE__PRESET: "),
        ({"PROVIDERS__OFFLINE__PRESET": "other"}, "'offline' is no name of a provider"),
        ({"ORDER": "openai"}, "NERVIO_MODELS__ORDER: there is no provider 'openai'"),
        ({"TENANTS": '{"t": {"providers": "openai"}}'}, "NERVIO_MODELS__TENANTS: there is no provider 'openai'"),
        ({"POLICY": "dearest"}, "NERVIO_MODELS__POLICY: "),
        ({"PRICES": '{"m": {"input": -1}}'}, "NERVIO_MODELS__PRICES__M__INPUT: "),
        ({"PRICES": '{"m": {"inptu": 1}}'}, "NERVIO_MODELS__PRICES__M__IN"),
        ({"WHOLE_SECNDS": "1"}, "Did you mean NERVIO_MODELS__WHOLE_SECONDS?"),
    ],
)
def test_what_is_wrong_is_said_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        given(monkeypatch, **values)
    assert says in str(refused.value)


def test_keys_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    models = given(monkeypatch, PROVIDERS__GEMINI__API_KEY=KEY, OPENAI_API_KEY=f"{KEY}-2")
    settings = load_settings()
    assert KEY not in repr(settings) + str(env_files.effective(settings)) + repr(models) + repr(vars(models))


# -- kinds of tasks ----------------------------------------------------------------------------------------------------


async def test_a_chat_shows_its_parts_and_tells_what_it_cost(monkeypatch: pytest.MonkeyPatch, peer: ModelPeer) -> None:
    models = given(monkeypatch, **a_kitchen(peer))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "soup of the day"}]
    answer, shown = await done(models, "chat", {"messages": messages, "max_tokens": 50, "temperature": 0})
    assert answer.result == {
        "text": "You said: soup of the day ", "model": "cook", "provider": "kitchen", "finish_reason": "stop",
    }  # fmt: skip
    assert "".join(shown) == answer.result["text"] and len(shown) == 6
    assert answer.usage == {
        "input_tokens": 11, "output_tokens": 7, "cached_tokens": 0, "cost_micros": 25, "currency": "EUR",
        "is_estimated": False, "provider": "kitchen", "model": "cook",
    }  # fmt: skip
    sent = peer.calls[0].body
    assert (sent["messages"], sent["max_tokens"], sent["temperature"]) == (messages, 50, 0)
    await models.close()


async def test_the_model_of_the_task_is_asked(monkeypatch: pytest.MonkeyPatch, peer: ModelPeer) -> None:
    models = given(monkeypatch, **a_kitchen(peer))
    messages = [{"role": "user", "content": "hello"}]
    for model, wanted in (("waiter", "waiter"), ("kitchen/waiter", "waiter"), ("kitchen/guest", "guest"), ("", "cook")):
        answer, _ = await done(models, "chat", {"messages": messages}, model)
        assert (answer.result["model"], peer.calls[-1].body["model"]) == (wanted, wanted)
    priced, _ = await done(models, "chat", {"messages": messages}, "cook")
    assert priced.usage is not None and priced.usage["cost_micros"] == 25
    unpriced, _ = await done(models, "chat", {"messages": messages}, "waiter")
    assert unpriced.usage is not None and unpriced.usage["cost_micros"] is None
    await models.close()


async def test_a_picture_goes_to_one_who_sees_in_either_kind(monkeypatch: pytest.MonkeyPatch, peer: ModelPeer) -> None:
    models = given(monkeypatch, **a_kitchen(peer))
    payload = {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is this"}, PICTURE]}]}
    for kind in ("vision", "chat"):
        answer, _ = await done(models, kind, payload)
        assert (answer.result["model"], answer.result["text"].split()[2]) == ("guard", "1")
    await models.close()


async def test_texts_become_vectors(monkeypatch: pytest.MonkeyPatch, peer: ModelPeer) -> None:
    models = given(monkeypatch, **a_kitchen(peer))
    answer, _ = await done(models, "embed", {"texts": ["soap", "salt", "a"]})
    assert answer.result == {"vectors": [[4, 1, 2, 3], [4, 1, 2, 3], [1, 1, 2, 3]], "dimensions": 4, "model": "map"}
    json.dumps(answer.result)
    await models.close()


async def test_every_kind_works_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    models = given(monkeypatch)
    answer, shown = await done(models, "chat", {"messages": [{"role": "user", "content": "¿cuánto jabón hay?"}]})
    assert "sin conexión" in answer.result["text"] and PROVIDERS in answer.result["text"]
    assert "".join(shown) == answer.result["text"]
    payload = {"messages": [{"role": "user", "content": [PICTURE]}]}
    assert "image/png" in (await done(models, "vision", payload))[0].result["text"]
    embedded, _ = await done(models, "embed", {"texts": ["soap"]})
    assert embedded.result["dimensions"] == len(embedded.result["vectors"][0])
    json.dumps([embedded.result, embedded.usage])


async def test_a_failure_says_whether_and_when_to_try_again(monkeypatch: pytest.MonkeyPatch, peer: ModelPeer) -> None:
    models = given(monkeypatch, **a_kitchen(peer))
    payload = {"messages": [{"role": "user", "content": "hello"}]}
    peer.ways.append("429 for an hour")
    with pytest.raises(TaskFailed, match="kitchen: too many requests") as late:
        await done(models, "chat", payload, "cook")
    assert late.value.may_help and late.value.retry_after_seconds == 3600
    peer.ways.append("no balance")
    with pytest.raises(TaskFailed, match=f"no balance left .*See {PROVIDERS}__KITCHEN__API_KEY") as poor:
        await done(models, "chat", payload, "waiter")
    assert not poor.value.may_help
    peer.ways.append("no model")
    with pytest.raises(TaskFailed, match=f"See {PROVIDERS}__KITCHEN__EMBED_MODELS"):
        await done(models, "embed", {"texts": ["a"]})
    await models.close()


async def test_a_model_of_any_name_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, peer: ModelPeer) -> None:
    models = given(monkeypatch, **a_kitchen(peer))
    answer, _ = await done(models, "chat", {"messages": [HELLO]}, "kitchen/señor\nfoo")
    assert answer.result["model"] == peer.calls[0].body["model"] == "señor\nfoo"
    with pytest.raises(TaskFailed, match="model holds half of a character"):
        await done(models, "embed", {"texts": ["a"]}, "\ud800")
    await models.close()


HELLO = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("kind", "payload", "says"),
    [
        ("chat", [], "the payload must be an object with messages, max_tokens, temperature."),
        ("chat", {}, "messages must be a list of 1 to 1000."),
        ("chat", {"messages": []}, "messages must be a list"),
        ("chat", {"messages": ["hello"]}, "messages[0] must be an object with role, content."),
        ("chat", {"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role must be one of system, user,"),
        ("chat", {"messages": [HELLO, {"role": "user"}]}, "messages[1].content must be a text or a list of parts."),
        ("chat", {"messages": [{"role": "user", "content": " "}]}, "messages[0].content must not be empty."),
        (
            "chat",
            {"messages": [{"role": "user", "content": "\ud800"}]},
            "messages[0].content holds half of a character",
        ),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "messages[0].content[0].type must"),
        (
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text must be",
        ),
        ("chat", {"messages": [HELLO], "max_tokens": 0}, "max_tokens must be a whole number from 1 to 1000000."),
        ("chat", {"messages": [HELLO], "max_tokens": True}, "max_tokens must be a whole number"),
        ("chat", {"messages": [HELLO], "temperature": "hot"}, "temperature must be a number from 0 to 2."),
        (
            "chat",
            {"messages": [HELLO], "temprature": 1},
            "temprature is not known; there are messages, max_tokens, temper",
        ),
        ("chat", {"messages": [{**HELLO, "name": "x"}]}, "messages[0].name is not known; there are role, content."),
        ("vision", {"messages": [HELLO]}, "messages needs a picture for a vision task:"),
        (
            "vision",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
            "messages[0].content[0].image_url.url must begin with data:image/…;base64, or with https://.",
        ),
        ("embed", {"texts": "soap"}, "texts must be a list of 1 to 256."),
        ("embed", {"texts": ["soap", ""]}, "texts[1] must not be empty."),
        ("embed", {"texts": ["soap", 7]}, "texts[1] must be a text."),
        ("embed", {"text": ["soap"]}, "text is not known; there are texts."),
    ],
)
async def test_a_payload_that_is_wrong_is_told_by_its_field(
    monkeypatch: pytest.MonkeyPatch, kind: str, payload: Any, says: str
) -> None:
    with pytest.raises(TaskFailed) as failed:
        await done(given(monkeypatch), kind, payload)
    assert says in str(failed.value)
    assert not failed.value.may_help
