"""A vendor's queue shows no more than the vendor may see, or there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.app.bridge import open_bridge
from bridge.app.vendor_rights import hashed, rights_of
from bridge.config import Settings, load_settings
from bridge.domain.errors import ConfigError
from bridge.registry import Registry

WHOLE = """
mapping: test/whole
purpose: Books
resources:
  group:
    entity: group
    fields:
      school: {from: institution_number, required: true}
      id: {from: group_id, required: true}
  person:
    entity: person
    fields:
      id: {from: user_id, required: true, purpose: log-in}
  teaching:
    entity: teaching
    fields:
      group: {from: group, required: true, purpose: what}
"""
BY_REFERENCE = (
    WHOLE
    + """
  membership:
    entity: membership
    fields:
      group: {from: group, required: true, purpose: in what}
      person: {from: person, required: true, purpose: who}
"""
)


def settings(
    folder: Path,
    vendor: str,
    *,
    mapping: str = WHOLE,
    broker: str = "broker: {url_file: url}\n",
    feed: str = "",
) -> Settings:
    (folder / "in").mkdir(exist_ok=True)
    for name, text in (
        ("token", "0123456789abcdef" * 2),
        ("url", "amqps://skolebro:secret@broker.example/town%2F1"),
    ):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    (folder / "vendor.yaml").write_text(mapping)
    towns = "".join(
        f"  '{code}': {{name: B, institutions: all, source: {{connector: stil-folder, folder: in}}{feed}}}\n"
        for code in ("101", "102", "103")
    )
    path = folder / "skolebro.yaml"
    path.write_text(
        f"state_folder: state\n{broker}municipalities:\n{towns}vendors:\n"
        f"  books: {{municipalities: ['101', '103'], mapping: vendor.yaml, token_file: token, {vendor}}}\n"
    )
    return load_settings(path, Registry())


def keys(found: Settings) -> list[str]:
    assert found.broker is not None
    return found.broker.queues["vendor.books"].keys


def test_its_keys_are_its_municipalities_and_what_its_mapping_names(tmp_path: Path) -> None:
    found = settings(tmp_path, "queue: true")
    assert keys(found) == ["101.group.*", "101.person.*", "103.group.*", "103.person.*"]


def test_the_queues_of_others_stay_as_they_are(tmp_path: Path) -> None:
    broker = "broker: {url_file: url, queues: {analysis: ['#']}}\n"
    found = settings(tmp_path, "queue: {delivery_limit: 7, kinds: [group]}", broker=broker).broker
    assert found is not None
    assert found.queues["analysis"].keys == ["#"]
    assert (found.queues["vendor.books"].keys, found.queues["vendor.books"].delivery_limit) == (
        ["101.group.*", "103.group.*"],
        7,
    )


@pytest.mark.parametrize("told", ["queue: false", "queue: null", "requests_per_minute: 9"])
def test_who_asks_for_none_has_none(tmp_path: Path, told: str) -> None:
    broker = settings(tmp_path, told).broker
    assert broker is not None
    assert broker.queues == {}


@pytest.mark.parametrize(
    ("vendor", "mapping", "message"),
    [
        ("queue: true, institutions: ['101001']", WHOLE, "a queue cannot leave institutions out"),
        (
            "queue: true",
            WHOLE.replace("entity: person\n", "entity: person\n    when: {kinds: student}\n"),
            "a queue cannot leave some persons out",
        ),
        ("queue: true", BY_REFERENCE, "events in a queue hold the institution_number of a membership"),
        ("queue: true", WHOLE.replace("user_id, required: true", "given_name"), "hold the user_id of a person"),
        (
            "queue: {kinds: [perso]}",
            WHOLE,
            "its mapping names no 'perso'; did you mean 'person'? there are group, person",
        ),
        ("queue: {kinds: [teaching]}", WHOLE, "its mapping names no 'teaching'"),
        ("queue: {kinds: [group, group]}", WHOLE, "a kind stands twice"),
        ("queue: {kinds: []}", WHOLE, "vendors.books.queue.kinds"),
        ("queue: {keys: ['#']}", WHOLE, "unknown key"),
        ("queue: yes-please", WHOLE, "vendors.books.queue: expected keys and values"),
    ],
)
def test_what_would_show_more_than_the_vendor_may_see_is_a_mistake(
    tmp_path: Path, vendor: str, mapping: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, vendor, mapping=mapping)
    assert message in str(caught.value)
    assert "vendors.books.queue" in str(caught.value)


def test_a_refusal_names_the_feed_that_can(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HTTP feed"):
        settings(tmp_path, "queue: true, institutions: ['101001']")


def test_what_its_mapping_filters_may_be_left_out_as_a_whole(tmp_path: Path) -> None:
    filtered = WHOLE.replace("entity: person\n", "entity: person\n    when: {kinds: student}\n")
    assert keys(settings(tmp_path, "queue: {kinds: [group]}", mapping=filtered)) == ["101.group.*", "103.group.*"]


def test_an_empty_table_is_a_queue_with_what_is_usual(tmp_path: Path) -> None:
    assert keys(settings(tmp_path, "queue: {}")) == keys(settings(tmp_path, "queue: true"))


@pytest.mark.parametrize(
    ("broker", "message"),
    [
        ("", "there is no broker; give broker.url_file"),
        (
            "broker: {url_file: url, queues: {vendor.books: ['#']}}\n",
            "broker.queues has a queue vendor.books already",
        ),
        (
            "broker: {url_file: url, queues: {a: {keys: ['#'], dead_letters: vendor.books}}}\n",
            "is named as a queue and as the dead letters of one",
        ),
        (
            "broker: {url_file: url, queues: {a: {keys: ['#'], dead_letters: vendor.books.fill}}}\n",
            "vendor.books.fill fills a queue and is named as the dead letters of one",
        ),
    ],
)
def test_it_must_be_a_queue_of_its_own(tmp_path: Path, broker: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "queue: true", broker=broker)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("feed", "name"),
    [
        ("queue: vendor.books", "vendor.books"),
        ("queue: vendor.books.dead", "vendor.books.dead"),
        ("queue: stil, dead_letters: vendor.books", "vendor.books"),
        ("queue: stil, dead_letters: vendor.books.fill", "vendor.books.fill"),
        ("queue: stil, dead_letters: skolebro.events", "skolebro.events"),
        ("queue: stil, exchange: skolebro.events", "skolebro.events"),
        ("queue: stil, exchange: others.fill", "others.fill"),
        ("queue: others", "others"),
        ("queue: none", ""),
    ],
)
def test_no_documents_come_where_others_read_events(tmp_path: Path, feed: str, name: str) -> None:
    broker = "broker: {url_file: url, queues: {others: ['#']}}\n"
    feed = f", feed: {{url_file: url, {feed}}}"
    if not name:
        assert settings(tmp_path, "queue: true", broker=broker, feed=feed).municipalities[0].feed is not None
        return
    with pytest.raises(ConfigError, match=f"events go by {re.escape(name)} too") as caught:
        settings(tmp_path, "queue: true", broker=broker, feed=feed)
    assert "municipalities.101.feed" in str(caught.value)


def test_its_user_may_read_its_queue_at_the_virtual_host_and_do_nothing_else(tmp_path: Path) -> None:
    found = settings(tmp_path, "queue: true")
    bridge = open_bridge(found)
    rights = rights_of(bridge, found.vendors[0])
    bridge.store.close()
    assert rights.commands() == [
        ["rabbitmqctl", "add_user", "vendor.books"],
        ["rabbitmqctl", "set_permissions", "-p", "town/1", "vendor.books", "^$", "^$", r"^vendor\.books$"],
    ]
    assert "secret" not in str(rights)


def test_who_has_no_queue_needs_no_rights(tmp_path: Path) -> None:
    found = settings(tmp_path, "requests_per_minute: 9")
    bridge = open_bridge(found)
    with pytest.raises(ConfigError, match="has no queue"):
        rights_of(bridge, found.vendors[0])
    bridge.store.close()


def test_a_password_is_hashed_as_rabbitmq_does() -> None:
    """The example of RabbitMQ's own guide on passwords: "test12" with the salt 908DC60A."""
    assert hashed("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
