"""What would happen, for people and for programs: `preview` and `plan`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.engine.confirm import WAITING
from bridge.engine.guard import REASON_TEXTS
from bridge.engine.plan import Plan
from bridge.observe import in_words
from bridge.ports import DEACTIVATED, GRACE, HELD, KEPT, OFF, SHADOW, Run

_LATER = {
    DEACTIVATED: "put to sleep, to be deleted when their time has come",
    GRACE: "deletions that wait in case the person turns up at another institution",
    HELD: "held, a person has to allow them: skolebro holds list",
    KEPT: "deletions of people who are kept: skolebro kept list",
    WAITING: "waiting for what they refer to",
}
_WOULD = {"held": "would be held:", "refused": "would be refused:", "failed": "gives nothing:"}


def previewed(runs: Sequence[Mapping[str, Any]], json: bool) -> None:
    if json:
        print_json({"runs": list(runs)})
        return
    for run in runs:
        line(f"{run['folder']}: " + ", ".join(f"{number} {kind}" for kind, number in run["counts"].items()))
        steps = Counter((change["entity"], change["operation"]) for change in run["changes"])
        table = new_table("entity", "created", "updated", "deleted")
        for entity in run["counts"]:
            add_row(table, entity, *(steps[entity, step] for step in ("created", "updated", "deleted")))
        console.print(table)
        for held in run["held"]:
            line(f"! held: institution {held['institution']} ({', '.join(held['reasons'])}) from {held['origin']}")
        for refused in run["refused"]:
            line(f"! refused: {refused['origin']} ({refused['reason']})")
        for record in run["quarantined"]:
            line(f"! quarantined: institution {record['institution']}, {record['path']} ({record['reason']})")


def planned(found: Plan, json: bool) -> None:
    if json:
        print_json(
            {
                "snapshots": [
                    {
                        "institution": run.institution,
                        "origin": run.origin,
                        "result": run.result,
                        "reason": run.reason,
                        "changes": run.changes,
                        "quarantined": run.quarantined,
                    }
                    for run in found.snapshots
                ],
                "targets": found.targets,
                "held": found.held,
                "unavailable": found.unavailable,
                "later": found.later,
                "paused": found.paused,
                "anyway": found.anyway,
                "contacts": found.contacts,
                "observed": found.observed,
            }
        )
        return
    for municipality, why in found.unavailable.items():
        line(f"! the source of municipality {municipality} gives nothing, this plan is of what is stored: {why}")
    _snapshots(found.snapshots)
    if not found.targets and not found.observed:
        line("No target is configured: nothing is sent.")
    for target in found.held:
        line(
            f"! {target}: its changed mapping would remove so much that it waits for a person; nothing is sent. "
            "After the next `skolebro sync`, `skolebro holds list` has it"
        )
    for target, steps in found.targets.items():
        counted = Counter((step.resource, step.operation) for step in steps)
        table = new_table("resource", "create", "update", "delete")
        for resource in dict.fromkeys(step.resource for step in steps):
            add_row(table, resource, *(counted[resource, step] for step in ("created", "updated", "deleted")))
        line(f"{target}: " + (f"{len(steps)} to send" if steps else "nothing to send"))
        if steps:
            console.print(table)
        if found.anyway.get(target):
            line(f"  due anyway, also without the approval: {found.anyway[target]} to send")
        if found.paused.get(target) in OFF:
            why = found.paused[target]
            line(f"! {target} is {'in shadow' if why == SHADOW else why}: nothing of this is sent")
        elif target in found.paused:
            line(f"! {target} pauses ({found.paused[target]}): nothing is sent before it answers again")
        for reason, number in sorted(Counter(one.reason for one in found.later.get(target, ())).items(), key=str):
            line(f"  later: {number}, {_LATER.get(reason or '', reason or 'when their time comes')}")
    for target in found.observed:
        line(f"{target}: only looks, nothing is sent; `skolebro report {target}` says what its system will see")
    if found.contacts:
        who = ", ".join(found.contacts)
        line(f"Of the people who would go these are contacts only ({len(found.contacts)}): {who}")


def _snapshots(runs: Sequence[Run]) -> None:
    """What would become of the snapshots: those that a person should know of by name, the others counted."""
    for run in runs:
        if run.result in _WOULD:
            whose = run.institution or run.origin or "the source"
            why = REASON_TEXTS.get(run.reason or "") or in_words(run.reason)
            line(f"! {_WOULD[run.result]} {whose}: {why}")
    recorded = [run for run in runs if run.result == "recorded"]
    unchanged = sum(run.result == "unchanged" for run in runs)
    aside = sum(run.quarantined for run in recorded)
    line(
        f"Snapshots: {len(recorded)} to record with {sum(run.changes for run in recorded)} changes"
        + (f" and {aside} records set aside" if aside else "")
        + f", {unchanged} unchanged"
    )
