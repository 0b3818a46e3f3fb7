"""When a source is asked: by interval or cron, put off by jitter, never in quiet hours, restarts or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from bridge.domain.errors import ConfigError

_DAY, _GRACE, _MINUTE = timedelta(days=1), timedelta(hours=6), timedelta(minutes=1)
_HOURS = re.compile(r"(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Quiet:
    """A span of every day, by the clock on the wall; it may wrap midnight."""

    begins: time
    ends: time

    @classmethod
    def read(cls, text: str) -> Quiet:
        """Read "22:00-05:30". Raises `ConfigError`."""
        match = _HOURS.fullmatch(text.strip())
        try:
            hours = [int(part) for part in match.groups()] if match else []
            found = cls(time(hours[0], hours[1]), time(hours[2], hours[3]))
        except (ValueError, IndexError):
            raise ConfigError(f'quiet_hours: {text!r} is no span such as "22:00-05:30"') from None
        if found.begins == found.ends:
            raise ConfigError(f"quiet_hours: {text!r} begins when it ends, so nothing would ever be asked")
        return found

    def end_after(self, moment: datetime) -> datetime | None:
        """When the span around a local moment ends; None outside of it."""
        clock = moment.time()
        wraps = self.begins > self.ends
        is_in = clock >= self.begins or clock < self.ends if wraps else self.begins <= clock < self.ends
        if not is_in:
            return None
        day = moment.date() + timedelta(days=1 if wraps and clock >= self.begins else 0)
        return datetime.combine(day, self.ends, moment.tzinfo)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`cron` counts where it is given, `interval` otherwise; `name` makes its jitter its own."""

    name: str
    interval: timedelta
    cron: str | None
    zone: ZoneInfo
    jitter: timedelta
    quiet: tuple[Quiet, ...]

    @classmethod
    def read(
        cls,
        name: str,
        *,
        interval: timedelta,
        cron: str | None,
        zone: str,
        jitter: timedelta,
        quiet_hours: Sequence[str],
    ) -> Schedule:
        """Build a schedule from what a configuration says. Raises `ConfigError`."""
        try:
            place = ZoneInfo(zone)
        except (KeyError, OSError, ValueError):
            raise ConfigError(f"zone: {zone!r} is not a time zone of the IANA database") from None
        midnight = datetime(2026, 1, 1, tzinfo=place)
        made = cls(name, interval, cron, place, jitter, tuple(map(Quiet.read, quiet_hours)))
        if made.quiet and all(made.is_quiet(midnight + n * _MINUTE) for n in range(_DAY // _MINUTE)):
            raise ConfigError("quiet_hours: no minute of the day is left, so nothing would ever be asked")
        if cron is not None:
            next(made._times(datetime(2026, 1, 1, tzinfo=UTC)))
        return made

    def due_after(self, last: datetime | None, now: datetime) -> datetime:
        """Return when the source is to be asked, having been asked at `last`: aware UTC, perhaps past.

        A `last` that is yet to come was written by a clock that went wrong, and says nothing.
        """
        if last is None or last > now:
            return self._out_of_quiet(now, now)
        turn = next(self._times(last)) if self.cron is not None else last + self.interval
        return self._out_of_quiet(turn + self._late(last), last)

    def stale_at(self, fresh_at: datetime) -> datetime:
        """Return when data of a moment are stale: some hours after the next turn, and never within a day."""
        return max(fresh_at + _DAY, self.due_after(fresh_at, fresh_at) + _GRACE)

    def is_quiet(self, now: datetime) -> bool:
        """Whether nothing is asked now."""
        local = now.astimezone(self.zone)
        return any(span.end_after(local) is not None for span in self.quiet)

    def _times(self, after: datetime) -> Iterator[datetime]:
        assert self.cron is not None  # noqa: S101 - asked for only with a cron expression
        try:
            for moment in CronSim(self.cron, after.astimezone(self.zone)):
                yield moment.astimezone(UTC)
        except CronSimError as error:
            raise ConfigError(f'cron: {self.cron!r} is nothing such as "30 5 * * 1-5" ({error})') from None
        raise ConfigError(f"cron: {self.cron!r} never comes to pass")

    def _late(self, last: datetime) -> timedelta:
        """The part of the jitter that this turn gets: chance, but the same whenever it is asked."""
        seed = sha256(f"{self.name} {last.isoformat()}".encode()).digest()
        return self.jitter * (int.from_bytes(seed[:4], "big") / 2**32)

    def _out_of_quiet(self, turn: datetime, last: datetime) -> datetime:
        for _ in range(len(self.quiet) + 1):  # one span may end within another
            local = turn.astimezone(self.zone)
            ends = [end for span in self.quiet if (end := span.end_after(local)) is not None]
            if not ends:
                return turn
            turn = max(ends).astimezone(UTC) + self._late(last)
        return turn
