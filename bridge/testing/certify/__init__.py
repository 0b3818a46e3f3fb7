"""What a vendor's receiver of events is put through before it is trusted with a school, and what came of it."""

from bridge.testing.certify.checks import CHECKS, judge
from bridge.testing.certify.days import Day
from bridge.testing.certify.receiver import HeldUnreadable, Receiver
from bridge.testing.certify.verdicts import Certificate, Verdict
from bridge.testing.certify.wire import FellSilent

__all__ = ["CHECKS", "Certificate", "Day", "FellSilent", "HeldUnreadable", "Receiver", "Verdict", "judge"]
