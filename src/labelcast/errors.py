"""What a user can do wrong, and what to do about it.

Every mistake of a user's own ends in one of these, with a message that says what was wrong, where
(file, line, record or field) and what to do. The command line turns them into one line on stderr
and an exit status; from Python they are ordinary exceptions.
"""


class LabelcastError(Exception):
    """The family. `status` is the exit status of the command line."""

    status = 1


class InputError(LabelcastError, ValueError):
    """Bad input: a file, a record, a field, a value. Exit status 2; nothing was changed."""

    status = 2


class RunError(LabelcastError, RuntimeError):
    """It could not be done: a full disk, an unwritable folder, a failed job. Exit status 1."""

    status = 1


class LabelcastWarning(UserWarning):
    """Something a user should know that does not stop the work."""
