"""On a real RabbitMQ: `skolebro replay --publish` gives a consumer again what it lost, and nobody's values."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pika

from tests.support.exports import Export
from tests.support.rabbitmq import HOST, PORT, require_rabbitmq, url
from tests.support.world import DAYS, World

SMALL = "280555.xml"


def test_a_part_of_the_log_is_published_once_more_in_order_and_under_the_same_ids(tmp_path: Path) -> None:
    require_rabbitmq()
    world, exchange = World(tmp_path / "world"), f"test.{uuid4()}"
    world.settings["broker"] = {"url_file": world.secret("broker-url", url()), "exchange": exchange}
    world.write()
    world.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(3).bytes())
    world.sync()
    connection = pika.BlockingConnection(pika.ConnectionParameters(HOST, PORT))
    channel = connection.channel()
    try:
        channel.exchange_declare(exchange, "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, exchange, "#")
        answer = world.run("replay", "--from", "5", "--to", "14", "--publish", "--json").ended(0)
        got = [channel.basic_get(queue, auto_ack=True) for _ in range(11)]
    finally:
        channel.exchange_delete(exchange)
        connection.close()
    assert answer.json == {"published": 10, "from": 5, "to": 14}
    assert got.pop()[0] is None, "nothing but what was asked for"
    told = [json.loads(body) for _, _, body in got]
    assert [int(event["sequence"]) for event in told] == list(range(5, 15))
    ids = world.rows("SELECT id FROM events WHERE sequence BETWEEN 5 AND 14 ORDER BY sequence")
    assert (
        [event["id"] for event in told]
        == [properties.message_id for _, properties, _ in got]
        == [i for (i,) in ids]
    )
    assert not any("given_name" in event["data"]["object"] for event in told)
