"""The embedded stack on this machine."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class StackError(SlipwayError):
    pass


class PartMissing(StackError):
    default_action = "run `make setup`, or install it by hand; `slipway doctor` names the command"


class PortTaken(StackError):
    default_action = "stop what listens there, or choose another port"


class DaemonFailed(StackError):
    default_action = "its last lines stand above; `slipway doctor` checks all parts"


class DiskFull(StackError):
    default_action = "free some space there"


class StateFolderUnusable(StackError):
    default_action = "set SLIPWAY_HOME to a folder of your own"


class StateFolderTooNew(StackError):
    default_action = "use that version, or set SLIPWAY_HOME to another folder"


class StackDown(StackError):
    default_action = "run `slipway up`"
