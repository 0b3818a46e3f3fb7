"""A YAML file is read and checked; each mistake gets its line, its dotted key and what is allowed there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bridge.config.notices import (
    MailSection,
    NoticeSettings,
    NoticesSection,
    RecipientsSection,
    WebhookSection,
)
from bridge.config.presets import package_presets
from bridge.config.sections import (
    AnomaliesSection,
    BreakerSection,
    BrokerSection,
    DatabaseSection,
    FeedSection,
    GuardSection,
    HistorySection,
    LeaversSection,
    LogSection,
    MunicipalitySection,
    MunicipalitySettings,
    QueueSection,
    ReconcileSection,
    RetrySection,
    ScheduleSettings,
    Settings,
    SourceSettings,
    TargetCommon,
    TargetGuardSection,
    TargetSettings,
    Top,
    WebSection,
)
from bridge.config.vendor_queues import VendorQueueSection, queue_name, queue_of
from bridge.config.vendors import VendorSection, VendorSettings, targets_problem, vendor_problem
from bridge.connector import Connector
from bridge.domain.errors import ConfigError, MappingError
from bridge.domain.ids import TargetId
from bridge.domain.nearest import did_you_mean
from bridge.mapping import TargetMapping, load_mapping, require_purposes
from bridge.mapping.plain_yaml import PlainYaml

_CREDENTIAL = "credential:"


def load_settings(path: Path, connectors: Mapping[str, Connector]) -> Settings:
    """Read and check a configuration file.

    Raises `ConfigError` with one sentence: file, line, key, and what is allowed there.
    """
    return _Loader(path, connectors).settings()


_Model = TypeVar("_Model", bound=BaseModel)
_At = tuple[str, ...]


class _Loader:
    def __init__(self, path: Path, connectors: Mapping[str, Connector]) -> None:
        self._path = path
        self._folder = path.resolve().parent
        self._connectors = connectors
        self._lines: dict[_At, int] = {}

    def settings(self) -> Settings:
        raw = self._read()
        top = self._section(Top, raw, ())
        municipalities = tuple(self._municipality(code, value) for code, value in top.municipalities.items())
        vendors = self._vendors(top.vendors or {}, municipalities)
        broker = self._with_queues(self._broker(top.broker) if top.broker else None, vendors)
        self._require_apart(municipalities, broker)
        return Settings(
            path=self._path,
            state_folder=self._state_folder(top.state_folder, is_shared=top.database is not None),
            database=self._section(DatabaseSection, top.database, ("database",)) if top.database else None,
            web=self._section(WebSection, top.web or {}, ("web",)),
            log=self._section(LogSection, top.log or {}, ("log",)),
            retry=self._section(RetrySection, top.retry or {}, ("retry",)),
            breaker=self._section(BreakerSection, top.breaker or {}, ("breaker",)),
            broker=broker,
            history=self._section(HistorySection, top.history or {}, ("history",)),
            municipalities=municipalities,
            notices=self._notices(top.notices, municipalities),
            vendors=vendors,
        )

    def _vendors(self, raw: dict[str, Any], here: tuple[MunicipalitySettings, ...]) -> tuple[VendorSettings, ...]:
        found = tuple(self._vendor(name, section, here) for name, section in raw.items())
        there = {target.id: target.config.discloses for one in here for target in one.targets}
        problem = targets_problem({one.name: one.section for one in found}, there)
        if problem is not None:
            raise self._error(("vendors", problem[0], "targets"), problem[1])
        return found

    def _vendor(self, name: str, raw: Any, here: tuple[MunicipalitySettings, ...]) -> VendorSettings:
        at = ("vendors", name)
        section = self._section(VendorSection, raw, at)
        problem = vendor_problem(name, section, {one.code: one.institutions for one in here})
        if problem is not None:
            raise self._error((*at, *filter(None, problem[:1])), problem[1])
        return VendorSettings(
            name=name,
            municipalities=tuple(sorted(section.municipalities)),
            institutions=section.institutions,
            mapping=self._mapping(section.mapping, at),
            section=section,
        )

    def _broker(self, raw: Any) -> BrokerSection:
        queues = raw.get("queues") if isinstance(raw, dict) else None
        if isinstance(queues, dict):  # each by itself, so that a mistake is told by its own line
            raw = {**raw, "queues": {name: self._queue(str(name), value) for name, value in queues.items()}}
        return self._section(BrokerSection, raw, ("broker",))

    def _with_queues(
        self, broker: BrokerSection | None, vendors: tuple[VendorSettings, ...]
    ) -> BrokerSection | None:
        """The broker with the queues of those vendors that have one."""
        made: dict[str, QueueSection] = {}
        for vendor in vendors:
            if not vendor.has_queue:
                continue
            at, name, raw = ("vendors", vendor.name, "queue"), queue_name(vendor.name), vendor.section.queue
            section = self._section(VendorQueueSection, {} if raw is True else raw, at)
            if broker is None:
                raise self._error(at, "there is no broker; give broker.url_file at the top of the file")
            if name in broker.queues:
                raise self._error(at, f"broker.queues has a queue {name} already; take it out")
            try:
                made[name] = queue_of(vendor, section)
            except ValueError as error:
                raise self._error(at, str(error)) from error
        if broker is None or not made:
            return broker
        told = {field: getattr(broker, field) for field in BrokerSection.model_fields}
        return self._section(BrokerSection, told | {"queues": {**broker.queues, **made}}, ("broker",))

    def _require_apart(self, here: tuple[MunicipalitySettings, ...], broker: BrokerSection | None) -> None:
        """Nothing by which documents go has the name of what events go by, at whichever broker it is."""
        for one in here:
            names = one.feed.names & broker.names if one.feed is not None and broker is not None else ()
            for name in sorted(names):
                raise self._error(
                    ("municipalities", one.code, "feed"),
                    f"events go by {name} too, and whoever reads them would get the documents of this feed; give "
                    "queue, exchange or dead_letters another name",
                )

    def _queue(self, name: str, raw: Any) -> QueueSection:
        section = {"keys": raw} if isinstance(raw, list) else raw
        return self._section(QueueSection, section, ("broker", "queues", name))

    def _notices(self, raw: Any, here: tuple[MunicipalitySettings, ...]) -> NoticeSettings | None:
        section = self._section(NoticesSection, raw, ("notices",)) if raw else None
        mail, webhook = (section.mail, section.webhook) if section else (None, None)
        stray = next((one.code for one in here if one.recipients is not None and not mail), None)
        if stray is not None:
            at = ("municipalities", stray, "notices", "to")
            raise self._error(at, "there is no mail server; give notices.mail at the top of the file")
        if section is None:
            return None
        return NoticeSettings(
            mail=self._section(MailSection, mail, ("notices", "mail")) if mail else None,
            webhook=self._section(WebhookSection, webhook, ("notices", "webhook")) if webhook else None,
            remind_after=section.remind_after,
            console_url=section.console_url,
        )

    def _municipality(self, code: str, raw: Any) -> MunicipalitySettings:
        at = ("municipalities", code)
        section = self._section(MunicipalitySection, raw, at)
        source = self._source(section.source, (*at, "source"))
        return MunicipalitySettings(
            code=code,
            name=section.name,
            institutions=section.institutions,
            schedule=ScheduleSettings(
                interval=section.interval or source.connector.default_interval,
                cron=section.cron,
                zone=section.zone,
                jitter=section.jitter,
                quiet_hours=tuple(section.quiet_hours),
            ),
            guard=self._section(GuardSection, section.guard or {}, (*at, "guard")),
            source=source,
            feed=self._section(FeedSection, section.feed, (*at, "feed")) if section.feed else None,
            targets=tuple(
                self._target(code, name, value, section.institutions, (*at, "targets", name))
                for name, value in (section.targets or {}).items()
            ),
            recipients=self._recipients(section.notices, (*at, "notices")) if section.notices else None,
            anomalies=self._section(AnomaliesSection, section.anomalies or {}, (*at, "anomalies")),
        )

    def _recipients(self, raw: Any, at: _At) -> tuple[str, ...]:
        return tuple(self._section(RecipientsSection, raw, at).to)

    def _source(self, raw: Any, at: _At) -> SourceSettings:
        connector, rest = self._connector(raw, at, {"connector"}, lambda c: c.source is not None, "a source")
        return SourceSettings(connector, self._section(connector.config, rest, at, extra={"connector"}))

    def _target(self, code: str, name: str, raw: Any, known: frozenset[str] | None, at: _At) -> TargetSettings:
        common = set(TargetCommon.model_fields)
        connector, rest = self._connector(raw, at, common, lambda c: c.target is not None, "a target")
        shared = self._section(TargetCommon, {k: v for k, v in raw.items() if k in common}, at)
        strangers = sorted((shared.institutions or frozenset()) - known) if known is not None else []
        if strangers:
            raise self._error(
                (*at, "institutions"),
                f"{strangers[0]} is not among the institutions of municipality {code}",
            )
        config = self._section(connector.config, rest, at, extra=common)
        return TargetSettings(
            id=TargetId(f"{code}/{name}"),
            name=name,
            connector=connector,
            config=config,
            mapping=self._mapping(shared.mapping or config.default_mapping or connector.default_mapping, at),
            institutions=shared.institutions if shared.institutions is not None else known,
            guard=self._section(TargetGuardSection, shared.guard or {}, (*at, "guard")),
            leavers=self._section(LeaversSection, shared.leavers or {}, (*at, "leavers")),
            reconcile=self._section(ReconcileSection, shared.reconcile or {}, (*at, "reconcile")),
            groups_early=shared.groups_early,
            start=shared.start,
        )

    def _connector(
        self, raw: Any, at: _At, common: set[str], fits: Callable[[Connector], bool], what: str
    ) -> tuple[Connector, dict[str, Any]]:
        if not isinstance(raw, dict) or not isinstance(raw.get("connector"), str):
            raise self._error((*at, "connector"), f"missing; allowed are {self._names(fits)}")
        name = raw["connector"]
        if name not in self._connectors:
            hint = did_you_mean(name, self._connectors)
            raise self._error(
                (*at, "connector"), f"unknown connector {name!r}; {hint}allowed are {self._names(fits)}"
            )
        if not fits(self._connectors[name]):
            raise self._error((*at, "connector"), f"{name!r} is not {what}; allowed are {self._names(fits)}")
        return self._connectors[name], {k: v for k, v in raw.items() if k not in common}

    def _names(self, fits: Callable[[Connector], bool]) -> str:
        return ", ".join(sorted(name for name, connector in self._connectors.items() if fits(connector)))

    def _mapping(self, name: str | None, at: _At) -> TargetMapping:
        if name is None:
            raise self._error((*at, "mapping"), "missing; name a preset or a path to a .yaml file")
        try:
            mapping = load_mapping(name, self._folder, lambda: package_presets(self._connectors))
            require_purposes(mapping)
        except MappingError as error:
            raise self._error((*at, "mapping"), str(error)) from error
        return mapping

    def _state_folder(self, folder: Path, *, is_shared: bool) -> Path:
        """Where the database is elsewhere there is only a key in it, which a platform may hand over to be read."""
        path = self._folder / folder
        if is_shared and path.is_dir():
            return path
        if not path.is_dir() and not path.parent.is_dir():
            raise self._error(("state_folder",), f"{path.parent} is no folder; create it or name another one")
        nearest = path if path.exists() else path.parent
        if not os.access(nearest, os.W_OK):
            raise self._error(("state_folder",), f"{nearest} cannot be written by this user")
        if path.exists() and not path.is_dir():
            raise self._error(("state_folder",), f"{path} is a file; a folder is needed")
        return path

    # ------------------------------------------------------------ one section

    def _section(self, model: type[_Model], raw: Any, at: _At, extra: set[str] | None = None) -> _Model:
        """Check one flat section; `extra` are keys that were taken out before and are allowed too."""
        if not isinstance(raw, dict):
            raise self._error(at, "expected keys and values, one `key: value` a line, indented by two spaces")
        values = {key: self._file_reference(key, value, at) for key, value in raw.items()}
        try:
            return model.model_validate(values)
        except ValidationError as error:
            raise self._explain(model, error, at, extra or set()) from error

    def _explain(self, model: type[BaseModel], error: ValidationError, at: _At, extra: set[str]) -> ConfigError:
        found = error.errors(include_url=False, include_input=False)
        # A key that is missing is often there, misspelt: the mistake is told, not what follows from it.
        first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
        where = (*at, *(str(part) for part in first["loc"][:1]))
        allowed = sorted({*model.model_fields, *extra})
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(where[-1], allowed)
            return self._error(where, f"unknown key; {hint}allowed are {', '.join(allowed)}")
        if first["type"] == "missing":
            return self._error(where, f"missing; it must be given ({_meaning(model, where[-1])})")
        message = first["msg"].removeprefix("Value error, ")
        return self._error(where, message[0].lower() + message[1:])

    def _file_reference(self, key: Any, value: Any, at: _At) -> Any:
        """Resolve ``…_file(s)`` and ``…folder`` against the configuration's folder; what they name must exist."""
        if isinstance(value, list):
            return [self._listed_reference(key, part, (*at, str(key))) for part in value]
        name = str(key)
        is_file = name.endswith(("_file", "_files"))
        if not isinstance(value, str) or not (is_file or name.endswith("_folder") or name == "folder"):
            return value
        if name == "state_folder":
            return Path(value)
        path = self._credential(value, (*at, name)) if value.startswith(_CREDENTIAL) else self._folder / value
        if is_file:
            if not path.is_file():
                allowed = "a path to a readable file: make it, a secret with mode 0600"
                raise self._error((*at, name), f"no file at {path}; allowed is {allowed}")
            if not os.access(path, os.R_OK):
                raise self._error((*at, name), f"{path} cannot be read by this user")
        elif not path.is_dir():
            raise self._error((*at, name), f"no folder at {path}; create it or name another one")
        return path

    def _listed_reference(self, key: Any, value: Any, at: _At) -> Any:
        """The same in a list, of paths or of tables."""
        if isinstance(value, dict):
            return {name: self._file_reference(name, part, at) for name, part in value.items()}
        return self._file_reference(key, value, at[:-1])

    def _credential(self, value: str, at: _At) -> Path:
        """A systemd credential (LoadCredential=): the folder is handed over in the environment."""
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise self._error(at, f"{value} asks for a systemd credential, but no credentials were handed over")
        return Path(folder) / value.removeprefix(_CREDENTIAL)

    # ------------------------------------------------------------ the file

    def _read(self) -> Any:
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConfigError(
                f"{self._path}: the configuration cannot be read ({reason}); `skolebro init` writes one"
            ) from error
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            for at, line in self._walk(node, ()):
                self._lines[at] = line
            return yaml.load(text, Loader=PlainYaml)  # noqa: S506 - a subclass of SafeLoader
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f":{mark.line + 1}" if mark else ""
            raise ConfigError(
                f"{self._path}{place}: not readable as YAML: {getattr(error, 'problem', '')}"
            ) from error

    def _walk(self, node: Any, at: _At) -> Iterator[tuple[_At, int]]:
        """Yield the line of every key; refuse a key that stands twice (YAML would silently take the last)."""
        if not isinstance(node, yaml.MappingNode):
            return
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            here = (*at, name)
            yield here, key.start_mark.line + 1
            if name in seen:
                self._lines[here] = key.start_mark.line + 1
                raise self._error(here, "this key stands twice")
            seen.add(name)
            yield from self._walk(value, here)

    def _error(self, at: _At, message: str) -> ConfigError:
        line = next((self._lines[at[:n]] for n in range(len(at), 0, -1) if at[:n] in self._lines), None)
        place = f"{self._path}:{line}" if line else str(self._path)
        return ConfigError(f"{place}: {'.'.join(at) or 'the file'}: {message}")


def _meaning(model: type[BaseModel], key: str) -> str:
    field = model.model_fields.get(key)
    if field is None:
        return "see the documentation"
    return field.description or str(getattr(field.annotation, "__name__", field.annotation))
