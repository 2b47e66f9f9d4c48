"""Errors that a person can act on, and exit codes that a scheduler can act on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    UNEXPECTED = 1  # a defect in this project, with a traceback
    USAGE = 2  # wrong arguments
    BAD_INPUT = 3  # a file, a row or a setting that its owner can fix
    UNAVAILABLE = 4  # a server, a bucket or a disk did not answer: worth retrying
    GATE_FAILED = 5  # an audit refused the release; what serves is unchanged
    NOT_ENOUGH_DATA = 6  # nothing to train on or to recommend yet
    BUSY = 7  # another run holds the lock; this one has written nothing
    DATA_FAILED = 8  # a test of the data failed; nothing was trained on them
    WARNING = 9  # of `status --check`: somebody should look
    CRITICAL = 10  # of `status --check`: somebody should look now


class TwoTowerError(Exception):
    """An error a person can act on: the message says what and where, ``hint`` what to do."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(hint)  # a traceback shows it below the message


class InputError(TwoTowerError):
    """A file, row, column or setting is not what it should be."""


class NotOwnerError(InputError):
    """The role in DATABASE_URL may not read the project's tables; it may have the functions.

    Args:
        said: what the database said.
    """

    def __init__(self, said: str) -> None:
        super().__init__(
            f"the role in DATABASE_URL may not read the project's tables: {said}",
            "name the role that owns them there: serving_roles have the functions alone",
        )


class UnavailableError(TwoTowerError):
    """Something outside the process did not answer."""

    exit_code = ExitCode.UNAVAILABLE


class FullError(TwoTowerError):
    """A disk of this machine, the database or the storage is full: a retry would not help."""

    exit_code = ExitCode.UNAVAILABLE


class GateError(TwoTowerError):
    """An audit refused the release."""

    exit_code = ExitCode.GATE_FAILED


class DataError(GateError):
    """A data test failed, on delivered files or on what was built from them."""

    exit_code = ExitCode.DATA_FAILED


class BuildError(TwoTowerError):
    """dbt could not build: its own output says why."""

    exit_code = ExitCode.UNEXPECTED


class NotEnoughDataError(TwoTowerError):
    """There is not enough data for this step."""

    exit_code = ExitCode.NOT_ENOUGH_DATA


class BusyError(TwoTowerError):
    """Another process holds the lock. Nothing was written."""

    exit_code = ExitCode.BUSY
