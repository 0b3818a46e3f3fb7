"""What mappings there are, what each sends, and what it would send of what is stored: places and counts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.app import Bridge
from bridge.cli.common import CONFIG, Config, Json, Municipality, open_configured
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.config import MunicipalitySettings, load_settings, package_presets
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.desire import Rendering
from bridge.engine.rehearse import Rehearsal, rehearse
from bridge.engine.views import Scope
from bridge.mapping import (
    Choice,
    TargetMapping,
    load_mapping,
    of_strangers,
    presets,
    require_purposes,
    strangers,
)
from bridge.registry import Registry

mapping_app = typer.Typer(help="Which fields go to which platform, and why.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A preset such as scim/core, or the path of a .yaml file.")]


@mapping_app.command("list")
def mapping_list(config: Config = CONFIG, json: Json = False) -> None:
    """List the presets that come with Skolebro and its connectors, and which targets use which mapping."""
    used: dict[str, list[str]] = {}
    if config.exists():
        for target in load_settings(config, Registry()).targets:
            used.setdefault(target.mapping.name, []).append(str(target.id))
    others = package_presets(Registry())
    rows = [_listed(name, load_mapping(name), used) for name in presets()]
    rows += [_listed(name, load_mapping(path), used) for name, path in sorted(others.items())]
    known = {row["name"] for row in rows}
    rows += [
        {"name": name, "purpose": None, "used_by": by} for name, by in sorted(used.items()) if name not in known
    ]
    if json:
        print_json({"mappings": rows})
        return
    table = new_table("mapping", "purpose", "used by")
    for row in rows:
        add_row(table, row["name"], row["purpose"] or "a file of your own", ", ".join(row["used_by"]))
    console.print(table)


def _listed(name: str, mapping: TargetMapping, used: dict[str, list[str]]) -> dict[str, Any]:
    return {"name": name, "purpose": mapping.purpose, "used_by": used.get(mapping.name, [])}


@mapping_app.command("show")
def mapping_show(name: Name, json: Json = False) -> None:
    """Show what a mapping sends, all that it extends included: each field, where it comes from, and why."""
    mapping = _load(name)
    rows = list(_rows(mapping))
    if json:
        print_json({"name": mapping.name, "purpose": mapping.purpose, "fields": rows})
        return
    line(f"{mapping.name}: {mapping.purpose}")
    table = new_table("school", "resource", "only", "field", "from", "personal", "purpose", "legal basis")
    for row in rows:
        told = "yes" if row["personal"] else ""
        own = (row["institution"] or "", row["resource"], _only(row["when"]), row["field"], _source(row))
        add_row(table, *own, told, row["purpose"], row["legal_basis"])
    console.print(table)
    line("What is not named here is never sent.")


def _load(name: str) -> TargetMapping:
    mapping = load_mapping(name, elsewhere=lambda: package_presets(Registry()))
    require_purposes(mapping)
    return mapping


def _rows(mapping: TargetMapping) -> Iterator[dict[str, Any]]:
    for number, resources in [(None, mapping.resources), *sorted(mapping.schools.items())]:
        for resource in resources:
            for place, rule in resource.leaves():
                yield {
                    "institution": number,
                    "resource": resource.name,
                    "entity": resource.kind.value,
                    "when": _told({**resource.when, **(rule.when or {})}),
                    "field": place,
                    "from": list(rule.sources),
                    "format": rule.format,
                    "codes": dict(rule.codes) if rule.codes is not None else None,
                    "const": rule.const,
                    "required": rule.required,
                    "personal": resource.tells_of_people(rule),
                    "purpose": rule.purpose,
                    "legal_basis": rule.legal_basis,
                }


def _told(when: Mapping[str, Choice]) -> dict[str, Any]:
    return {
        path: {"not" if choice.is_excluded else "is": sorted(map(str, choice.values))}
        for path, choice in when.items()
    }


def _only(when: dict[str, Any]) -> str:
    return "; ".join(
        f"{path} {'not ' if 'not' in told else ''}{', '.join(next(iter(told.values())))}"
        for path, told in when.items()
    )


def _source(row: dict[str, Any]) -> str:
    if not row["from"]:
        return f"always {row['const']}"
    text = " and ".join(row["from"])
    return f"{text}, as {row['format']}" if row["format"] else text


@mapping_app.command("test")
def mapping_test(
    name: Name, config: Config = CONFIG, municipality: Municipality = None, json: Json = False
) -> None:
    """Try a mapping on what is stored of a municipality: how much would be sent, what would stay out and why.

    Nothing is sent or changed, and no value is shown: `skolebro trace` shows what becomes of one person.
    """
    mapping, bridge = _load(name), open_configured(config)
    home = _home(bridge, municipality, config)
    scope = Scope(home.code, home.institutions)
    with bridge.store.read() as reader:
        found = rehearse(reader, Rendering(TargetId(f"{home.code}/(a trial)"), scope, mapping))
        stored = {one.institution for one in reader.institution_states()}
    listed = bridge.settings.institutions
    known, what = (stored, "stored") if listed is None else (listed, "configured")
    stray = strangers(mapping, known)
    if json:
        print_json(_as_json(found) | {"strangers": stray})
        return
    if stray:
        line(f"! {of_strangers(stray, known, what)}.")
    _show(mapping, found)


def _home(bridge: Bridge, code: str | None, config: Path) -> MunicipalitySettings:
    homes = bridge.settings.municipalities
    chosen = [home for home in homes if code in (None, home.code)]
    if len(chosen) != 1:
        codes = ", ".join(home.code for home in homes)
        raise ConfigError(f"--municipality: name one of those in {config}: {codes}")
    return chosen[0]


def _as_json(found: Rehearsal) -> dict[str, Any]:
    return {
        "sent": dict(found.sent),
        "protected": dict(found.masked),
        "filled": {resource: dict(counts) for resource, counts in found.filled.items()},
        "left_out": {kind.value: dict(reasons) for kind, reasons in found.left_out.items()},
    }


def _show(mapping: TargetMapping, found: Rehearsal) -> None:
    if not found.sent and not found.left_out:
        line("Nothing is stored yet that this mapping names: `skolebro sync` reads the source.")
        return
    table = new_table("resource", "sent", "of these protected", "field", "has a value")
    for resource in dict.fromkeys(one.name for one in mapping.resources):
        places = {place: None for one in mapping.resources if one.name == resource for place, _ in one.leaves()}
        head: tuple[object, ...] = (resource, found.sent[resource], found.masked[resource])
        for place in places:
            add_row(table, *head, place, found.filled.get(resource, Counter())[place])
            head = ("", "", "")
    console.print(table)
    for kind, reasons in found.left_out.items():
        for reason, number in reasons.most_common():
            line(f"{number} {kind} stay out: {reason}.")
