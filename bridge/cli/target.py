"""Targets as a whole: how they fare, one beside another, and switching them on and off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bridge.app import Bridge
from bridge.cli.common import CONFIG, UNFINISHED, Config, Json, fail, open_configured, who
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.config import TargetSettings
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, TargetError
from bridge.domain.ids import TargetId
from bridge.engine.breaker import resume, standing, switch_off
from bridge.engine.compare import Comparison, compare, to_send
from bridge.engine.desire import Rendering, deliveries_of
from bridge.engine.refresh import forget_target
from bridge.engine.report import note_shown
from bridge.observe import explained_target
from bridge.ports import ACTIVE, OFF, RETIRED, SHADOW, TargetState

target_app = typer.Typer(help="The platforms that are kept up to date.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="TARGET", help="A target's id, <municipality>/<name>.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it only what would be done is shown.")]
_NOW = {SHADOW: "in shadow: computes, sends nothing", RETIRED: "retired: gets nothing"}


@target_app.command("list")
def target_list(config: Config = CONFIG, json: Json = False) -> None:
    """List the configured targets: what they are, and whether anything is sent to them now."""
    bridge = open_configured(config)
    with bridge.store.read() as reader:
        rows = [
            {
                "target": target.id,
                "connector": target.connector.name,
                "system": target.config.system,
                "mapping": target.mapping.name,
                "is_sent": target.config.discloses,
                "pause_reason": _pauses(reader.target_state(target.id), target),
            }
            for target in bridge.settings.targets
        ]
    if json:
        print_json({"targets": rows})
        return
    table = new_table("target", "connector", "system", "mapping", "now")
    for row in rows:
        reason = row["pause_reason"]
        now = f"pauses: {reason}" if reason else "on" if row["is_sent"] else "observes only"
        add_row(table, row["target"], row["connector"], row["system"], row["mapping"], _NOW.get(str(reason), now))
    console.print(table)


def _pauses(state: TargetState, target: TargetSettings) -> str | None:
    """Why a target gets nothing now; one that is new may begin in shadow, and is there before the first sync."""
    stands = standing(state, begins_in_shadow=target.start == SHADOW)
    return state.pause_reason or (stands if stands != ACTIVE and target.config.discloses else None)


@target_app.command("compare")
def target_compare(
    target: Name,
    config: Config = CONFIG,
    other: Annotated[
        str | None,
        typer.Option("--with", metavar="TARGET", help="Which one to compare it with, if there are several."),
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="List the keys of what only one has, UNI-Logins too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a new target would have beside what an old one has; nothing is sent or changed."""
    bridge = open_configured(config)
    new = _rendering(bridge, _known(bridge, target))
    old = _rendering(bridge, _other(bridge, new, other))
    with bridge.store.read() as reader:
        found = compare(reader, new, old)
    if ids:
        shown = sum(len(one.only_new) + len(one.only_old) for one in found.kinds)
        town = new.scope.municipality
        note_shown(bridge.store, bridge.book(who()), "target compare", {town: shown}, new.target)
    if json:
        print_json({"new": new.target, "old": old.target, **_as_json(found, ids)})
    else:
        _show(new.target, old.target, found, ids)


@target_app.command("activate")
def target_activate(
    target: Name,
    config: Config = CONFIG,
    yes: Yes = False,
    probe: Annotated[bool, typer.Option(help="Ask the target first whether it would take our requests.")] = True,
    json: Json = False,
) -> None:
    """Switch on a target that is in shadow or retired: from now on it is sent what it should have."""
    bridge = open_configured(config)
    name = _known(bridge, target)
    with bridge.store.read() as reader:
        state, waits = reader.target_state(name), to_send(deliveries_of(reader, name))
    if state.pause_reason not in OFF and _pauses(state, _configured(bridge, name)) == SHADOW:
        raise ConfigError(
            f"{name} is new and begins in shadow with the first `skolebro sync`; switch it on after that. "
            "To have it sent to from the beginning, take `start: shadow` out"
        )
    if state.pause_reason not in OFF:
        _say(f"{name} is neither in shadow nor retired. Nothing was changed.", {"target": name, "was": None}, json)
        return
    if not yes:
        fail(f"{name} would be sent {_told(waits)}; with --yes it is. Nothing was changed", UNFINISHED)
    if probe:
        _ask(bridge, name)
    _switched(bridge, name, "target.activated")
    _say(
        f"{name} is switched on: {_told(waits)} are sent by the running daemon or the next sync.",
        {"target": name, "was": state.pause_reason, **waits},
        json,
    )


@target_app.command("retire")
def target_retire(
    target: Name,
    config: Config = CONFIG,
    yes: Yes = False,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Also delete what is stored of it; going back then sends all."),
    ] = False,
    leave: Annotated[
        bool,
        typer.Option("--leave-accounts", help="Forget also where accounts wait to be deleted: they stay there."),
    ] = False,
    json: Json = False,
) -> None:
    """Switch off a target: it gets nothing any more and keeps what it has. `activate` goes back.

    Accounts there are not deleted: what becomes of them is between the municipality and the platform's vendor.
    From now on nobody who becomes protected is masked there. What is stored is forgotten in a second step, of a
    target that is switched off and where no deletion waits.
    """
    bridge = open_configured(config)
    name = _known(bridge, target)
    with bridge.store.read() as reader:
        number = reader.delivery_counts(name, bridge.clock.now()).confirmed
        state, waits = reader.target_state(name), to_send(deliveries_of(reader, name))
    if forget:
        _require_forgettable(state, 0 if leave else waits["deleted"])
    stored = ", and what is stored of them would be deleted" if forget else ""
    if not yes:
        fail(
            f"{name} would get nothing any more, and keep {number} entities{stored}. Nothing was changed",
            UNFINISHED,
        )
    with bridge.store.write() as uow:
        switch_off(uow, name, RETIRED)
        records: list[dict[str, object]] = [{"kind": "target.retired", "target": name}]
        if forget:
            records.append({"kind": "target.forgotten", "target": name, "count": forget_target(uow, name)})
        bridge.book(who()).write(uow, records)
    forgotten = " What was stored of them is deleted." if forget else ""
    _say(f"{name} is retired and keeps {number} entities.{forgotten}", {"target": name, "kept": number}, json)


@target_app.command("resume")
def target_resume(target: Name, config: Config = CONFIG, json: Json = False) -> None:
    """End the pause of a target that asked for nothing more (410), or that waits for better times."""
    bridge = open_configured(config)
    name = _known(bridge, target)
    with bridge.store.read() as reader:
        reason = reader.target_state(name).pause_reason
    if reason in OFF:
        raise ConfigError(
            f"{name} is {'in ' if reason == 'shadow' else ''}{reason}: `skolebro target activate {name}`"
        )
    if reason is not None:
        _switched(bridge, name, "target.resumed")
    told = f"is sent to again, by the running daemon or the next sync. It had paused: {reason}."
    _say(
        f"{name} {told if reason else 'does not pause. Nothing was changed.'}",
        {"target": name, "was": reason},
        json,
    )


def _require_forgettable(state: TargetState, deletions: int) -> None:
    """End where forgetting would make accounts nobody's that we are to delete, or are still at work on."""
    name = state.target
    if state.pause_reason not in OFF:
        fail(
            f"{name} is still switched on: `skolebro target retire {name} --yes` first, and --forget when nobody "
            "will go back. Nothing was changed",
            UNFINISHED,
        )
    if deletions:
        what = "1 deletion is" if deletions == 1 else f"{deletions} deletions are"
        fail(
            f"{what} due at {name}; forgotten, these accounts would stay there and be nobody's. To have them "
            f"deleted: `skolebro target activate {name} --yes`, a sync, and retire it again when `skolebro plan` "
            "has none of them any more. To leave them to the vendor: --leave-accounts. Nothing was changed",
            UNFINISHED,
        )


def _switched(bridge: Bridge, name: TargetId, kind: str) -> None:
    with bridge.store.write() as uow:
        reason = resume(uow, name)
        bridge.book(who()).write(uow, [{"kind": kind, "target": name, "reason": reason or ""}])


def _ask(bridge: Bridge, name: TargetId) -> None:
    (lane,) = [lane for lane in bridge.lanes(every=True) if lane.rendering.target == name]
    try:
        lane.target.probe()
    except TargetError as error:
        why = explained_target(error)
        fail(f"{name} does not take our requests: {why}. Nothing was changed; --no-probe does not ask", UNFINISHED)


def _known(bridge: Bridge, wanted: str) -> TargetId:
    (name,) = bridge.settings.named(wanted)
    return name


def _configured(bridge: Bridge, name: TargetId) -> TargetSettings:
    return next(one for one in bridge.settings.targets if one.id == name)


def _rendering(bridge: Bridge, name: TargetId) -> Rendering:
    return next(one for one in bridge.all_renderings() if one.target == name)


def _other(bridge: Bridge, new: Rendering, wanted: str | None) -> TargetId:
    """The target of the same municipality that is named, or the only one beside the new one.

    Those that only look do not count where there is one that does not.
    """
    if wanted is not None:
        chosen = _known(bridge, wanted)
        if _rendering(bridge, chosen).scope.municipality != new.scope.municipality:
            raise ConfigError(f"{chosen} is of another municipality than {new.target}: they have nobody in common")
        return chosen
    home = new.scope.municipality
    others = [
        one.target
        for one in bridge.all_renderings()
        if one.scope.municipality == home and one.target != new.target
    ]
    sent = [one for one in others if one in bridge.live_targets]
    if len(sent) == 1:
        return sent[0]
    if len(others) != 1:
        raise ConfigError(f"--with: name the target to compare with; there are {', '.join(others) or 'no others'}")
    return others[0]


# ---------------------------------------------------------------- showing


def _say(sentence: str, value: Mapping[str, Any], json: bool) -> None:
    if json:
        print_json(value)
    else:
        line(sentence)


def _told(waits: Mapping[str, int]) -> str:
    return f"{waits['created']} creations, {waits['updated']} updates and {waits['deleted']} deletions"


def _as_json(found: Comparison, ids: bool) -> dict[str, Any]:
    return {
        "kinds": {
            one.kind.value: {
                "both": one.both,
                "only_new": list(one.only_new) if ids else len(one.only_new),
                "only_old": list(one.only_old) if ids else len(one.only_old),
            }
            for one in found.kinds
        },
        "institutions": {
            school: {"both": both, "only_new": new, "only_old": old}
            for school, (both, new, old) in found.schools.items()
        },
        "fields_only_new": {kind.value: list(names) for kind, names in found.fields_only_new.items()},
        "fields_only_old": {kind.value: list(names) for kind, names in found.fields_only_old.items()},
        "reasons": {kind.value: dict(told) for kind, told in found.reasons.items()},
        "to_send": dict(found.to_send),
        "rejected": found.rejected,
    }


def _show(new: TargetId, old: TargetId, found: Comparison, ids: bool) -> None:
    table = new_table("", "both", f"only {new}", f"only {old}")
    for one in found.kinds:
        add_row(table, one.kind.value, one.both, len(one.only_new), len(one.only_old))
    for school, counts in found.schools.items():
        add_row(table, f"  institution {school or '(none)'}", *counts)
    console.print(table)
    for kind, told in found.reasons.items():
        for reason, number in told.most_common():
            line(f"{number} {kind.value} that {old} has would not go to {new}: {reason}.")
    _fields(new, old, found.fields_only_new)
    _fields(old, new, found.fields_only_old)
    line(
        f"To be sent to {new}: {_told(found.to_send)}."
        + (f" Rejected: {found.rejected}." if found.rejected else "")
    )
    if ids:
        for one in found.kinds:
            for name, keys in ((new, one.only_new), (old, one.only_old)):
                for key in keys:
                    line(f"only {name}: {one.kind.value} {'/'.join(key)}")


def _fields(one: TargetId, other: TargetId, names: Mapping[Kind, tuple[str, ...]]) -> None:
    for kind, fields in names.items():
        article = "an" if kind.value[0] in "aeiou" else "a"
        line(f"Of {article} {kind.value}, {one} gets and {other} does not: {', '.join(fields)}.")
