"""`skolebro certify`: whether a vendor's receiver of events does what it must, check by check."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import INTERRUPTED, UNAVAILABLE, UNFINISHED, Json, fail
from bridge.cli.printing import line, print_json
from bridge.domain.errors import ConfigError, TargetError
from bridge.observe import explained_target
from bridge.registry import Registry

if TYPE_CHECKING:
    from bridge.testing.certify import Certificate, Verdict


def certify_receiver(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the receiver takes events.")],
    secret_file: Annotated[Path, typer.Option(help="A file with the Standard Webhooks secret; mode 0600.")],
    held: Annotated[
        str | None, typer.Option(help="Where the receiver tells what it holds, for this test.")
    ] = None,
    held_token_file: Annotated[
        Path | None, typer.Option(help="A file with the token (Bearer) for --held; mode 0600.")
    ] = None,
    pupils: Annotated[int, typer.Option(min=10, max=5_000, help="The size of the made-up school.")] = 40,
    seed: Annotated[int, typer.Option(help="Another number, other people.")] = 1,
    mapping: Annotated[str, typer.Option(help="A preset or file: what events show.")] = "webhook/events",
    ca_file: Annotated[
        Path | None, typer.Option(help="Certificate authorities in place of the public ones.")
    ] = None,
    client_certificate_file: Annotated[Path | None, typer.Option(help="For a receiver that asks for one.")] = None,
    client_key_file: Annotated[Path | None, typer.Option(help="The key of that certificate.")] = None,
    json: Json = False,
) -> None:
    """Put a receiver of events through all it will meet: repeats, wrong order, forgeries, a school year.

    Everybody in it is made up, and deleted at the end. It needs no configuration and no bridge.
    """
    from bridge.app.certify import BrokenOff, Order, certify  # no other verb needs a made-up school
    from bridge.testing.certify import HeldUnreadable

    if held_token_file is not None and held is None:
        raise ConfigError("--held-token-file: there is no --held for which it would be")
    files = (ca_file, client_certificate_file, client_key_file, held_token_file)
    order = Order(url, secret_file, held, pupils, seed, mapping, *files)
    try:
        with _terminated_as_by_ctrl_c():
            found = certify(order, Registry(), (lambda _: None) if json else _tell)
    except KeyboardInterrupt:
        fail(f"{url}: interrupted before anything was told to it", INTERRUPTED)
    except BrokenOff as error:
        fail(f"{url}: {error}.", INTERRUPTED if error.is_interrupted else UNAVAILABLE)
    except HeldUnreadable as error:
        fail(f"--held {held}: {error}; docs/how-to/certify.md has the form", UNAVAILABLE)
    except TargetError as error:
        fail(f"{url} cannot be certified: {explained_target(error)}. Nobody was told to it", UNAVAILABLE)
    if json:
        print_json(found.as_json())
    else:
        _sum_up(found)
    if not found.is_passed:
        raise typer.Exit(UNFINISHED)


@contextmanager
def _terminated_as_by_ctrl_c() -> Iterator[None]:
    """What was made up is deleted at the receiver whichever signal asks to end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(one: Verdict) -> None:
    mark = "FAILED" if not one.is_passed else "ok    " if one.is_judged else "-     "
    line(f"{mark}  {one.name}: {one.sent}; answers {one.counted or 'none'}{_patience(one)}; held: {one.held}")
    for problem in one.problems:
        line(f"          {problem}")
    if not one.is_passed:
        line(f"          {one.advice}.")


def _patience(one: Verdict) -> str:
    return f"; asked for patience {one.put_off} times" if one.put_off else ""


def _sum_up(found: Certificate) -> None:
    failed = sum(not one.is_passed for one in found.verdicts)
    number = len(found.verdicts)
    passed = (
        f"All {number} checks passed" if found.is_held_judged else f"The answers to all {number} checks are right"
    )
    told = f"{failed} of {number} checks failed" if failed else passed
    line(f"{told}, by {found.events} events (--seed {found.seed}).")
    if not found.is_held_judged:
        line("Only its answers were judged: what it does with an event is judged with --held.")
    if unjudged := sum(not one.is_judged for one in found.verdicts):
        line(f"{unjudged} of them not judged: the mapping tells nothing of what they are about.")
