"""No personal value reaches a log line or a metric, whoever tries to put it there and however."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import SnapshotInvalid, StoreUnavailable
from bridge.engine.guard import REASON_TEXTS
from bridge.observe import KEY_TEXTS, Keys, LogEvent, Metrics, configure_logging, install_excepthook, log
from bridge.observe.labels import HOLD_REASONS
from bridge.observe.redact import clean_line, clean_text, clean_value

NAME, EMAIL = "Signe Ærøskøbing-Canary", "signe.canary@skole.example"
CPRS = ("010190-1234", "0101901234", "010190 1234", "610190-1234", "290200.4567")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging to a text, put back afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, sys.unraisablehook)
    before = root.handlers, root.level
    out = io.StringIO()
    configure_logging("debug", json=True, stream=out)
    yield out
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers, root.level = before
    sys.excepthook, sys.unraisablehook = hooks


def emit(**keys: object) -> None:
    """What code does that the type checker never saw."""
    log.emit(LogEvent.LOOP_FAILED, **cast(Any, keys))


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    return cast(dict[str, Any], json.loads(line))


class TestOurOwnLines:
    def test_a_line_carries_time_level_event_and_its_keys(self, stream: io.StringIO) -> None:
        log.bind(municipality="101").emit(LogEvent.SNAPSHOT_RECORDED, institution="101001", changes=3)
        line = only_line(stream)
        assert list(line)[:3] == ["ts", "level", "event"]
        assert line.items() >= {"level": "info", "event": "snapshot.recorded", "municipality": "101"}.items()
        assert line.items() >= {"institution": "101001", "changes": 3}.items()

    def test_keys_outside_the_catalogue_are_dropped_and_counted(self, stream: io.StringIO) -> None:
        metrics = Metrics("0")
        configure_logging("info", json=True, stream=stream, on_dropped=metrics.log_keys_dropped)
        emit(name=NAME, cpr=CPRS[0], email=EMAIL, loop="intake")
        assert only_line(stream)["loop"] == "intake"
        assert NAME not in stream.getvalue() and CPRS[0] not in stream.getvalue()
        assert b"bridge_log_keys_dropped_total 3.0" in metrics.exposition()

    def test_an_unexpected_type_is_told_by_its_name_only(self, stream: io.StringIO) -> None:
        emit(id={"name": NAME}, reason=object(), origin=[NAME.encode()], counts={"person.created": 2, "x": NAME})
        line = only_line(stream)
        assert (line["id"], line["reason"], line["origin"]) == ({}, "<object>", [])
        assert line["counts"] == {"person.created": 2}

    def test_lines_below_the_level_are_not_written(self, stream: io.StringIO) -> None:
        configure_logging("warning", json=True, stream=stream)
        log.emit(LogEvent.SNAPSHOT_RECORDED)
        assert stream.getvalue() == ""

    def test_a_log_that_is_gone_does_not_stop_the_bridge(self, stream: io.StringIO) -> None:
        stream.close()
        log.emit(LogEvent.APP_STARTED)

    def test_a_terminal_gets_the_same_values_for_people(self, stream: io.StringIO) -> None:
        configure_logging("info", json=False, stream=stream)
        emit(loop="intake", name=NAME, reason="a\nb")
        assert "loop.failed" in stream.getvalue() and NAME not in stream.getvalue()
        assert stream.getvalue().count("\n") == 1


class TestErrors:
    def test_our_own_error_is_told_with_its_text(self, stream: io.StringIO) -> None:
        emit(error=SnapshotInvalid("truncated", "byte 17"))
        line = only_line(stream)
        assert (line["error"], line["text"]) == ("SnapshotInvalid", "snapshot refused: truncated at byte 17")

    def test_any_other_error_is_told_by_type_and_place(self, stream: io.StringIO) -> None:
        try:
            clean_value_of_nobody(NAME)
        except KeyError as error:
            emit(error=error)
        line = only_line(stream)
        assert line["error"] == "KeyError" and "test_observe.py:" in line["where"]
        assert "text" not in line and NAME not in stream.getvalue()

    def test_the_place_is_the_innermost_of_ours(self, stream: io.StringIO) -> None:
        try:
            log.emit(cast(LogEvent, NAME))  # no event: it has no level
        except AttributeError as error:
            emit(error=error)
        assert only_line(stream)["where"].startswith("bridge/observe/log.py:")

    def test_the_error_beneath_is_named_but_not_quoted(self, stream: io.StringIO) -> None:
        error = StoreUnavailable("the store cannot be written")
        error.__cause__ = ValueError(f"Key (cpr)=({CPRS[0]})")
        emit(error=error)
        assert only_line(stream)["cause"] == "ValueError" and CPRS[0] not in stream.getvalue()


def clean_value_of_nobody(name: str) -> object:
    return {}[name]


class TestThirdParties:
    def test_the_template_is_told_and_the_values_are_not(self, stream: io.StringIO) -> None:
        logging.getLogger("vendor.library").warning("Retrying %s for %s", NAME, CPRS[1])
        line = only_line(stream)
        assert (line["logger"], line["template"]) == ("vendor.library", "Retrying %s for %s")
        assert (line["event"], line["outcome"]) == ("thirdparty.log", "warning")

    def test_a_message_put_together_beforehand_is_not_told(self, stream: io.StringIO) -> None:
        logging.getLogger("sqlalchemy").error(f"cannot insert {NAME}")
        assert only_line(stream)["template"] == "<str>"

    def test_a_plain_message_is_told(self, stream: io.StringIO) -> None:
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n")
        assert only_line(stream)["template"] == "Exception in ASGI application\\n"

    def test_an_exception_beneath_is_told_by_type(self, stream: io.StringIO) -> None:
        try:
            clean_value_of_nobody(NAME)
        except KeyError:
            logging.getLogger("kombu").exception("broken")
        assert only_line(stream)["error"] == "KeyError" and NAME not in stream.getvalue()

    def test_an_object_as_message_is_told_by_type(self, stream: io.StringIO) -> None:
        logging.getLogger("kombu").error(ValueError(NAME))
        assert only_line(stream)["template"] == "<ValueError>" and NAME not in stream.getvalue()

    def test_chatter_below_warning_is_not_told(self, stream: io.StringIO) -> None:
        logging.getLogger("kombu").info("hello")
        assert stream.getvalue() == ""


class TestUncaughtErrors:
    def test_a_thread_that_dies_prints_type_and_place_only(self, stream: io.StringIO) -> None:
        before = threading.excepthook
        install_excepthook()
        try:
            thread = threading.Thread(target=clean_value_of_nobody, args=(NAME,))
            thread.start()
            thread.join()
        finally:
            threading.excepthook = before
        line = only_line(stream)
        assert (line["event"], line["error"]) == ("app.failed", "KeyError")
        assert NAME not in stream.getvalue()

    def test_a_process_that_dies_prints_type_and_place_only(self) -> None:
        code = f"from bridge.observe import install_excepthook; install_excepthook(); {{}}[{NAME!r}]"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert NAME not in ended.stderr and "Traceback" not in ended.stderr
        assert json.loads(ended.stderr)["error"] == "KeyError"


class TestValues:
    @pytest.mark.parametrize("cpr", CPRS)
    def test_a_cpr_shape_is_masked(self, cpr: str) -> None:
        assert clean_text(f"before {cpr} after") == "before ******-**** after"

    @pytest.mark.parametrize(
        "text", ["101001", "991390-1234", "12345678901", "5c0f7c26-5a53-5a0e-9a3c-010190123412"]
    )
    def test_what_is_no_cpr_stays(self, text: str) -> None:
        assert clean_text(text) == text

    def test_a_uuid_that_happens_to_look_like_one_stays(self) -> None:
        assert clean_text("ab010190-1234-5a0e-9a3c-6f1f0a4d6b11") == "ab010190-1234-5a0e-9a3c-6f1f0a4d6b11"

    def test_a_trace_id_that_happens_to_look_like_one_stays_and_other_hex_digits_do_not(self) -> None:
        trace = "ab0101901234da6a3ce929d0e0e4736f"
        assert clean_text(f"of {trace}") == f"of {trace}"
        assert clean_text(trace[1:]) == "b******-****da6a3ce929d0e0e4736f"
        assert clean_text(f"{trace}0") == "ab******-****da6a3ce929d0e0e4736f0"

    def test_a_cpr_given_as_a_number_is_masked(self) -> None:
        assert clean_value(101901234) == "******-****"
        assert clean_value(4_000_000) == 4_000_000

    def test_an_e_mail_address_is_masked(self) -> None:
        assert EMAIL not in clean_text(f"to {EMAIL}") and "signe" not in clean_text(f"amqp://{EMAIL}/")

    @pytest.mark.parametrize(
        "text", ['x\n{"event": "audit.verified"}', "x\r\ny", "x\x1b[2Jy", "x\u2028y", "x\ud800"]
    )
    def test_a_text_cannot_begin_a_line_or_steer_a_terminal(self, text: str) -> None:
        assert clean_text(text).isprintable()

    @given(st.text())
    def test_any_text_comes_out_short_and_on_one_line(self, text: str) -> None:
        clean = clean_text(text)
        assert len(clean) <= 300 and len(clean.splitlines()) <= 1

    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.binary()))
    def test_only_catalogued_keys_come_out(self, line: dict[str, Any]) -> None:
        kept, dropped = clean_line(line)
        assert kept.keys() <= KEY_TEXTS.keys() and len(kept) + dropped == len(line)
        json.dumps(kept)


class TestCatalogue:
    def test_every_key_that_may_be_given_is_described(self) -> None:
        assert KEY_TEXTS.keys() == Keys.__annotations__.keys() | {"ts", "level", "event"}

    def test_every_event_has_a_name_a_level_and_a_sentence(self) -> None:
        for event in LogEvent:
            assert event.value == event.value.lower() and "." in event.value
            assert event.text.endswith(".") and event.level in ("debug", "info", "warning", "error", "critical")

    def test_every_reason_to_hold_has_its_label(self) -> None:
        assert set(REASON_TEXTS) <= HOLD_REASONS


class TestMetrics:
    def test_what_is_counted_is_exposed(self) -> None:
        metrics = Metrics("1.2.3")
        metrics.fetched("101", "recorded")
        metrics.changed("person", "created", 5)
        metrics.delivered("101/aula", "delivered")
        metrics.delivery_took("101/aula", timedelta(milliseconds=20))
        metrics.confirmed_after("101/aula", timedelta(seconds=3))
        metrics.responded("101/aula", 503)
        metrics.published("unroutable: no queue is bound for 101.person.created")
        metrics.ticked("intake", datetime(2026, 1, 1, tzinfo=UTC))
        text = metrics.exposition().decode()
        assert 'bridge_source_fetches_total{result="recorded",source="101"} 1.0' in text
        assert 'bridge_changes_detected_total{entity="person",op="created"} 5.0' in text
        assert 'bridge_deliveries_total{outcome="delivered",target="101/aula"} 1.0' in text
        assert 'bridge_http_responses_total{code_class="5xx",target="101/aula"} 1.0' in text
        assert 'bridge_publish_total{result="unroutable"} 1.0' in text
        assert 'bridge_end_to_end_latency_seconds_bucket{le="5.0",target="101/aula"} 1.0' in text
        assert 'version="1.2.3"' in text

    def test_a_word_outside_the_closed_sets_is_other(self) -> None:
        metrics = Metrics("0")
        metrics.refused(NAME)
        metrics.fetched("101", NAME)
        metrics.changed(NAME, NAME)
        metrics.audited(NAME)
        metrics.published(NAME)
        metrics.delivered("101/aula", NAME)
        text = metrics.exposition().decode()
        assert NAME not in text and 'reason="other"' in text
