"""What a user can do wrong, and what to do about it.

Each message says what was wrong, where (file, line, record or field) and what to do. The command
line prints it as one line on stderr; from Python these are ordinary exceptions.
"""

import errno


class LabelcastError(Exception):
    """The base class. `status` is the exit status of the command line."""

    status = 1


class InputError(LabelcastError, ValueError):
    """Bad input: a file, a record, a field, a value. Exit status 2; nothing was changed."""

    status = 2


class RunError(LabelcastError, RuntimeError):
    """The work could not be done: a full disk, a read-only folder, a failed job. Exit status 1."""


class NoMemoryError(RunError):
    """The work does not fit into the device's memory; the next try would fail too."""


class LabelcastWarning(UserWarning):
    """Something a user should know that does not stop the work."""


NO_PATH = {
    errno.EISDIR: "this is a folder; give a file",
    errno.ENAMETOOLONG: "the path is too long; give a shorter one",
}
"""Errors of a path that is bad input."""

DISK = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the quota is used up; free some space and run the same command again",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "this disk has no file locks, so two processes could write there at once; "
        "choose a folder on another disk",
    ),
}
"""Errors of a disk or a folder."""


def not_written(path: object, error: OSError) -> LabelcastError:
    """The error for a file that could not be written, with what to do."""
    if error.errno in NO_PATH:
        return InputError(f"{path}: could not be written: {NO_PATH[error.errno]}.")
    hint = DISK.get(error.errno or 0, error.strerror or str(error))
    return RunError(f"{path}: could not be written: {hint}.")


def brief(error: object, most: int = 160) -> str:
    """The text of an error on one line, cut off after `most` characters."""
    return " ".join(str(error).split())[:most]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    texts = (
        "out of memory",  # torch on CUDA
        "can't allocate memory",  # torch on the CPU
        "cublas_status_alloc_failed",
        "cublas_status_not_initialized",  # no room for its workspace
    )
    return not isinstance(error, LabelcastError) and any(t in str(error).lower() for t in texts)
