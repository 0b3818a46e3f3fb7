"""The store on PostgreSQL keeps the port's promises, and its own: shared, durable, and clear when it cannot."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from threading import Thread

import psycopg
import pytest

from bridge.adapters.sql_copy import WORTH_IT
from bridge.adapters.store_sql import SqlStore, open_postgres
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, StoreError, StoreUnavailable
from bridge.ports import Store
from bridge.testing.store_samples import TOWN, event, person
from tests.conformance.test_store import Everything, people, put_person
from tests.support.needs import require
from tests.support.postgres import APPLICATION, SERVER, columns, database, make_all, shared_store

AT_ONCE = timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    with database() as url:
        yield url


@pytest.fixture
def store(shared: str) -> Iterator[SqlStore]:
    with shared_store(shared) as store:
        yield store


@pytest.fixture
def url() -> Iterator[str]:
    with database() as url:
        yield url


def end_connections() -> None:
    """End what Skolebro has open at the server, of this test process alone."""
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as by_hand:
        by_hand.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [APPLICATION]
        )


class TestPostgresStore(Everything):
    @pytest.fixture
    def store(self, shared: str) -> Iterator[Store]:
        with shared_store(shared) as store:
            yield store


# ---------------------------------------------------------------- bulk


def test_many_rows_arrive_as_few_do(store: SqlStore) -> None:
    names = [f"p{number:04}" for number in range(3 * WORTH_IT)]
    with store.write() as uow:
        uow.put_entities(TOWN, map(person, names))
        uow.append_events(TOWN, list(map(event, names)))
    with store.read() as reader:
        assert [row.key[0] for row in reader.scan(TOWN, Kind.PERSON, None, 1_000)] == names
        assert [one.sequence for one in reader.events(TOWN, 0, 1_000)] == list(range(1, len(names) + 1))


def test_many_rows_replace_others_and_of_two_with_one_key_the_later_stays(store: SqlStore) -> None:
    names = [f"p{number:04}" for number in range(2 * WORTH_IT)]
    for body in (b"1", b"2"):
        with store.write() as uow:
            uow.put_entities(TOWN, [person(name, body=body) for name in names])
            uow.put_entities(TOWN, [person(name, body=body + b"!") for name in (*names, *names)])
    with store.read() as reader:
        assert {row.body for row in reader.scan(TOWN, Kind.PERSON, None, 1_000)} == {b"2!"}


def test_what_is_rolled_back_leaves_nothing_for_the_next_bulk(store: SqlStore) -> None:
    with store.write() as uow:
        uow.put_entities(TOWN, [person(f"gone{number}") for number in range(WORTH_IT)])
        uow.rollback()
    with store.write() as uow:
        uow.put_entities(TOWN, [person(f"here{number:03}") for number in range(WORTH_IT)])
    assert people(store) == [f"here{number:03}" for number in range(10)]


def test_names_sort_by_their_code_points_whatever_the_language_of_the_database(store: SqlStore) -> None:
    names = ["Ane", "Zoe", "ane", "Åse", "ærø", "øre"]
    for name in names:
        put_person(store, name)
    assert people(store) == sorted(names)


# ---------------------------------------------------------------- many processes


def test_two_that_open_an_empty_database_at_once_make_one_schema(url: str) -> None:
    opened: list[SqlStore] = []
    threads = [Thread(target=lambda: opened.append(open_postgres(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == len(threads)
    put_person(opened[0], "jens")
    assert all(people(store) == ["jens"] for store in opened)
    for store in opened:
        store.close()


def test_a_writer_takes_its_turn_before_its_block_begins(shared: str, store: SqlStore) -> None:
    other = open_postgres(shared, busy_timeout=AT_ONCE)
    entered = []
    with store.write(), pytest.raises(StoreUnavailable, match="stayed locked"), other.write():
        entered.append(True)
    other.close()
    assert not entered


def test_writers_see_what_the_one_before_them_wrote(shared: str, store: SqlStore) -> None:
    """Each reads what is there and adds one: nothing is lost where many do it at once."""
    others = [open_postgres(shared) for _ in range(4)]

    def count_up(other: SqlStore) -> None:
        for _ in range(10):
            with other.write() as uow:
                uow.set_cursor("count", uow.cursor("count") + 1)

    threads = [Thread(target=count_up, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as reader:
        assert reader.cursor("count") == 40
    for other in others:
        other.close()


def test_a_reader_sees_one_moment(store: SqlStore) -> None:
    put_person(store, "jens")
    with store.read() as reader:
        assert reader.entity_counts(TOWN) == {Kind.PERSON: 1}
        put_person(store, "anna")
        assert reader.entity_counts(TOWN) == {Kind.PERSON: 1}
    assert people(store) == ["anna", "jens"]


def test_a_connection_that_the_server_ended_is_replaced(shared: str, store: SqlStore) -> None:
    put_person(store, "jens")
    end_connections()
    put_person(store, "anna")
    assert people(store) == ["anna", "jens"]


def test_a_writer_whose_connection_is_lost_changes_nothing_and_says_so(shared: str, store: SqlStore) -> None:
    def write_and_lose() -> None:
        with store.write() as uow:
            uow.put_entities(TOWN, [person("jens")])
            end_connections()
            uow.put_entities(TOWN, [person("anna")])

    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        write_and_lose()
    assert people(store) == []


# ---------------------------------------------------------------- the schema


def test_the_revisions_make_what_the_tables_say(url: str) -> None:
    open_postgres(url).close()
    with database() as plain:
        make_all(plain)
        assert columns(url) == columns(plain)


def test_a_database_of_a_newer_skolebro_is_refused(url: str) -> None:
    open_postgres(url).close()
    with psycopg.connect(url, autocommit=True) as by_hand:
        by_hand.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="newer Skolebro"):
        open_postgres(url)


def test_a_database_of_another_program_is_refused_and_untouched(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as by_hand:
        by_hand.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreUnavailable, match="another program"):
        open_postgres(url)
    assert set(columns(url)) == {"recipes"}


def test_a_server_that_may_lose_a_commit_fails_the_check(url: str) -> None:
    open_postgres(url).close()
    with pytest.raises(StoreUnavailable, match="synchronous_commit off"):
        open_postgres(url + "%20-csynchronous_commit%3Doff")


# ---------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://postgres@127.0.0.1:1/skolebro", "cannot be reached"),
        (f"{SERVER}/skolebro_is_not_here", "does not exist"),
        (f"{SERVER.replace('postgres@', 'nobody_we_know:canary@')}/postgres", "refused the user"),
    ],
)
def test_a_server_that_cannot_be_used_says_why_and_tells_no_password(url: str, told: str) -> None:
    require("postgresql")
    with pytest.raises(StoreUnavailable, match=told) as caught:
        open_postgres(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["mysql://somewhere/skolebro", "postgresql://somewhere", "skolebro", "sqlite:///a.db"]
)
def test_a_url_of_another_database_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://"):
        open_postgres(url)


def test_an_error_never_tells_a_value(store: SqlStore) -> None:
    for number in (1, WORTH_IT):
        broken = [replace(person(f"010101{place:04}"), hash=None) for place in range(number)]  # type: ignore[arg-type]
        with pytest.raises(StoreError) as caught, store.write() as uow:
            uow.put_entities(TOWN, broken)
        told = "".join(traceback.format_exception(caught.value))
        assert "refused a row" in told
        assert "010101" not in told
