"""What JetStream alone does: a connection lost in mid-sentence, messages of others, a full stream, a stream made anew."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, StreamConfig

from nervio.adapters.bus.nats import NatsBus
from nervio.adapters.bus.nats_messages import PublishRefused
from nervio.adapters.bus.nats_session import Session
from nervio.kernel.ids import new_id
from nervio.ports.bus import Event
from tests import services
from tests.conformance.buses import Journal, Transport, a_transport, an_event, publish

pytestmark = pytest.mark.services("nats")
FOREIGN = [b"hello", b"{}", b""]


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    """A connection of somebody else."""
    made = await Session.open(services.url("nats"))
    yield made
    await made.close()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """JetStream."""
    async with a_transport("nats") as made:
        yield made


def a_bus(transport: Transport) -> NatsBus:
    """Another process's."""
    bus = transport.bus()
    assert isinstance(bus, NatsBus)
    return bus


async def interfere(session: Session, bus: NatsBus) -> None:
    """Puts messages into its stream that are none of ours."""
    answers = await session.publish([(f"{bus._name}.events.test", body, {}) for body in FOREIGN])
    assert all("error" not in answer for answer in answers)


async def test_what_is_published_while_the_connection_goes_fails_and_is_not_cancelled(session: Session) -> None:
    subject, taken = f"silent.{new_id()}", asyncio.Event()

    async def say_nothing(_message: Msg) -> None:
        taken.set()

    await session.listen(subject, say_nothing)
    publisher = await Session.open(services.url("nats"))
    publishing = asyncio.create_task(publisher.publish([(subject, b"1", {}), (subject, b"2", {})]))
    await taken.wait()
    await publisher.close()
    done, _ = await asyncio.wait([publishing], timeout=10)
    assert done
    assert not publishing.cancelled(), "that would end whoever publishes, without a word"
    assert isinstance(publishing.exception(), ConnectionError)


async def test_messages_of_others_keep_nobody_from_publishing_or_reading(
    transport: Transport, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    journal, publisher, reader = Journal(), a_bus(transport), a_bus(transport)

    async def note(event: Event) -> None:
        journal.note("reader", event)

    async def hear(event: Event) -> None:
        journal.note("listener", event)

    last = an_event(1)
    await publish(publisher, last)
    reader.subscribe("*", note, journal.group())
    reader.subscribe("*", hear)
    await journal.until(lambda: bool(journal.handled))
    with caplog.at_level(logging.ERROR, logger="nervio"):
        await interfere(session, publisher)
        assert await publisher.newest() == last
        await publish(publisher, an_event(2))
        await journal.until(
            lambda: {who for who, event in journal.handled if event.position == 2} == {"reader", "listener"}
        )
    assert [record.message for record in caplog.records].count("foreign_entry") == len(FOREIGN)
    end = (await session.js.stream_info(publisher._stream)).state.last_seq
    async with asyncio.timeout(10):
        while True:
            (consumer,) = await session.js.consumers_info(publisher._stream)
            if consumer.ack_floor is not None and consumer.ack_floor.stream_seq == end:
                break
            await asyncio.sleep(0.05)


async def test_a_message_that_was_removed_by_hand_hides_none_before_it(transport: Transport, session: Session) -> None:
    bus, events = a_bus(transport), [an_event(1), an_event(2)]
    await publish(bus, *events)
    await session.js.delete_msg(bus._stream, 2)
    assert await bus.newest() == events[0]
    await bus.publish_all([events[1]])


async def test_a_stream_that_is_full_is_an_error_and_no_change_of_the_stream(
    transport: Transport, session: Session
) -> None:
    bus = a_bus(transport)
    await publish(bus, an_event(1))
    config: StreamConfig = (await session.js.stream_info(bus._stream)).config
    await session.js.update_stream(config.evolve(max_msgs=1, discard=DiscardPolicy.NEW))
    await bus.newest()
    with pytest.raises(PublishRefused, match="maximum messages"):
        await bus.publish_all([an_event(2), an_event(3)])
    await session.js.update_stream(config.evolve(max_msgs=-1))
    await publish(bus, an_event(2), an_event(3))


async def test_a_stream_that_was_made_anew_counts_again_and_no_event_is_taken_for_another(
    transport: Transport, session: Session
) -> None:
    journal, bus = Journal(), a_bus(transport)
    going_on = asyncio.Event()

    async def note(event: Event) -> None:
        journal.note("reader", event)
        if event.position == 1:
            await going_on.wait()

    bus.subscribe("*", note, journal.group())
    await publish(a_bus(transport), an_event(1))
    await journal.until(lambda: bool(journal.handled))
    await session.js.delete_stream(bus._stream)
    await publish(a_bus(transport), an_event(2, "another"))
    assert (await session.js.stream_info(bus._stream)).state.last_seq == 1
    await journal.until(lambda: 2 in journal.positions())
    going_on.set()
