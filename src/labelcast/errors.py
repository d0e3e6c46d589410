"""What a user can do wrong, and what to do about it.

Every mistake of a user's own ends in one of these, with a message that says what was wrong, where
(file, line, record or field) and what to do. The command line turns them into one line on stderr
and an exit status; from Python they are ordinary exceptions.
"""

import errno


class LabelcastError(Exception):
    """The family. `status` is the exit status of the command line."""

    status = 1


class InputError(LabelcastError, ValueError):
    """Bad input: a file, a record, a field, a value. Exit status 2; nothing was changed."""

    status = 2


class RunError(LabelcastError, RuntimeError):
    """It could not be done: a full disk, an unwritable folder, a failed job. Exit status 1."""

    status = 1


NO_PATH = {
    errno.EISDIR: "a folder is there; give a file",
    errno.ENAMETOOLONG: "the path is too long; give a shorter one",
    errno.ELOOP: "its links lead in a circle; give the path that they should lead to",
}
"""What no disk could hold under such a path, whatever its room and rights: bad input, in words."""

DISK = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the quota is used up; free some space and run the same command again",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",
}
"""What a disk does not allow, in words."""


def not_written(path: object, error: OSError) -> LabelcastError:
    """The error for a file that could not be written, with the way out."""
    if error.errno in NO_PATH:
        return InputError(f"{path}: could not be written: {NO_PATH[error.errno]}.")
    hint = DISK.get(error.errno or 0, error.strerror or str(error))
    return RunError(f"{path}: could not be written: {hint}.")


def brief(error: object, most: int = 160) -> str:
    """Return what an error says, on one line and cut off after so many characters."""
    return " ".join(str(error).split())[:most]


class LabelcastWarning(UserWarning):
    """Something a user should know that does not stop the work."""


_NO_MEMORY = (
    *("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc"),
    *("can't start new thread", "failed to map segment", "unable to allocate"),
    "failed to launch worker thread",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, in whatever library's words."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    return not isinstance(error, LabelcastError) and any(words in text for words in _NO_MEMORY)
