"""The composition root: the only place that knows which adapter stands behind which port."""

from bridge.adapters.state_folder import AlreadyRunning
from bridge.app.bridge import Bridge, open_bridge
from bridge.app.check import Checked, check
from bridge.app.preview import preview_folders

__all__ = ["AlreadyRunning", "Bridge", "Checked", "check", "open_bridge", "preview_folders"]
