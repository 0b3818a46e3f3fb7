"""The vendors of the configuration at the door of the web server."""

from __future__ import annotations

from bridge.app.parts import Parts
from bridge.config import VendorSettings, explained, require_different, secret_reader, token_digest
from bridge.domain.errors import ConfigError
from bridge.engine.desire import Rendering
from bridge.engine.vendor_feed import VendorFeed, vendor_target
from bridge.engine.vendor_log import VendorLog
from bridge.engine.vendor_replay import VendorReplay
from bridge.engine.views import Scope
from bridge.web.served import ServeWitness
from bridge.web.vendor_api import VendorApi, VendorDeps, create_vendor_api
from bridge.web.vendor_gate import Pace, Vendor


def vendor_api(parts: Parts, witness: ServeWitness) -> VendorApi | None:
    """What vendors fetch from, None where there are none. Raises `ConfigError`."""
    settings = parts.settings
    if not settings.vendors:
        return None
    if settings.web.listen is None:
        raise ConfigError(f"{settings.path}: web.listen: vendors fetch their events, so an address is needed")
    found = tokens(parts)
    vendors = [_vendor(parts, one, found[one.name]) for one in settings.vendors]
    return create_vendor_api(VendorDeps(vendors, witness, parts.stopping.is_set))


def vendor_renderings(parts: Parts, vendor: VendorSettings) -> list[Rendering]:
    """What a vendor may see, one rendering for each of its municipalities."""
    homes = {one.code: one for one in parts.settings.municipalities}
    return [
        Rendering(
            vendor_target(code, vendor.name),
            Scope(code, vendor.scope_in(homes[code].institutions), homes[code].name),
            vendor.mapping,
        )
        for code in vendor.municipalities
    ]


def tokens(parts: Parts) -> dict[str, bytes]:
    """The digest of every vendor's token, by its name. Raises `ConfigError`, also where two have the same."""
    found: dict[str, bytes] = {}
    for vendor in parts.settings.vendors:
        with explained(parts.settings.path, f"vendors.{vendor.name}", vendor.section):
            found[vendor.name] = token_digest(vendor.section, secret_reader(vendor.section))
    with explained(parts.settings.path):
        require_different(found.items())
    return found


def _vendor(parts: Parts, vendor: VendorSettings, digest: bytes) -> Vendor:
    feed = VendorFeed(
        vendor=vendor.name,
        store=parts.store,
        renderings=tuple(vendor_renderings(parts, vendor)),
        book=parts.book(),
        retention=parts.settings.history.retention,
        now=parts.clock.now,
    )
    return Vendor(
        digest,
        feed,
        vendor_log(parts, vendor),
        _replays(parts, vendor),
        Pace(vendor.section.requests_per_minute, parts.clock.monotonic),
    )


def vendor_log(parts: Parts, vendor: VendorSettings) -> VendorLog:
    """What was disclosed to a vendor."""
    return VendorLog(vendor.name, parts.store, parts.book())


def _replays(parts: Parts, vendor: VendorSettings) -> VendorReplay:
    own: dict[str, Rendering] = {
        one.target: one for one in parts.all_renderings() if one.target in vendor.section.targets
    }
    each = vendor.section.requests_per_minute
    return VendorReplay(vendor.name, parts.store, parts.book(), own, each, parts.clock.now)
