"""The embedded stack on this machine."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class StackError(SlipwayError):
    pass


class PartMissing(StackError):
    default_action = "run `make setup`, or install it yourself; `slipway doctor` shows the command"


class PortTaken(StackError):
    default_action = "stop the program that uses the port, or choose another port"


class DaemonFailed(StackError):
    default_action = "its last lines are shown above; `slipway doctor` checks all parts"


class StackInUse(StackError):
    default_action = "wait for these runs to end, or interrupt them; with `slipway down --force` they fail"


class DiskFull(StackError):
    default_action = "free some space on that disk"


class StateFolderUnusable(StackError):
    default_action = "set SLIPWAY_HOME to a directory of your own"


class TemporaryFolderUnusable(StackError):
    default_action = "set TMPDIR to a directory that you can write to, on a disk with free space"


class OutputUnwritable(StackError):
    default_action = "direct it to a file on a disk with free space; what the command did before is done"


class StateFolderTooNew(StackError):
    default_action = "use that version, or set SLIPWAY_HOME to another directory"


class StackDown(StackError):
    default_action = "run `slipway up`"
