"""Ids grow, are unique across threads and forks, and are UUIDv7 to anybody who reads them."""

import os
import threading
import time
import uuid

import pytest

from nervio.kernel.ids import NIL, is_id, new_id, new_ids


def test_ids_are_version_7_of_the_standard_variant_and_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_ids(300)
    for text in made:
        value = uuid.UUID(text)
        assert str(value) == text
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert is_id(text)
    assert before <= uuid.UUID(made[0]).int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_ids_of_a_process_grow_strictly_over_many_calls() -> None:
    made = [text for count in (1, 5000, 3, 1, 600) for text in new_ids(count)] + [new_id()]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_threads_never_get_the_same_id() -> None:
    made: list[list[str]] = [[] for _ in range(8)]

    def make(into: list[str]) -> None:
        for _ in range(300):
            into.extend(new_ids(3))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [text for part in made for text in part]
    assert len(set(every)) == len(every) == 8 * 900


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_repeat_its_parents_random_digits() -> None:
    new_id()  # leaves digits in the buffer, which the child inherits
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id()[19:].encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert new_id()[19:] != theirs


@pytest.mark.parametrize("text", ["", "nobody", NIL.upper() + "0", "01890000-0000-7000-8000-00000000000G", NIL[:-1]])
def test_what_is_no_id_is_told_apart(text: str) -> None:
    assert not is_id(text)
    assert is_id(NIL)
