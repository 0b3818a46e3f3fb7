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
    vendors = [_vendor(parts, one) for one in settings.vendors]
    with explained(settings.path):
        require_different((one.name, one.digest) for one in vendors)
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


def require_tokens(parts: Parts) -> None:
    """Read the token of every vendor, as `vendor_api` does. Raises `ConfigError`."""
    with explained(parts.settings.path):
        require_different((one.name, _token(parts, one)) for one in parts.settings.vendors)


def _token(parts: Parts, vendor: VendorSettings) -> bytes:
    with explained(parts.settings.path, f"vendors.{vendor.name}", vendor.section):
        return token_digest(vendor.section, secret_reader(vendor.section))


def _vendor(parts: Parts, vendor: VendorSettings) -> Vendor:
    digest = _token(parts, vendor)
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
