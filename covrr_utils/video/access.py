"""Whether the file system hands over a video file, and if not, why: a cause of its own for each."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from covrr_utils import paths
from covrr_utils.files import reason
from covrr_utils.video.clips import ClipError


def check_file(path: Path) -> None:
    """Refuse what is no file that can be opened and has bytes.

    Raises
    ------
    ClipError
        With cause "missing", "not a file", "empty file", or as `unreadable`.
    """
    shown = paths.relative(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ClipError("not a file", f"{shown}: is {kind}; put the video there in its place")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise unreadable(path, error) from error
    if status.st_size == 0:
        raise ClipError("empty file", f"{shown}: the file has no bytes; download it again")


def unreadable(path: Path, error: OSError) -> ClipError:
    """What the file system says of a file, as a cause and a next step."""
    shown = paths.relative(path)
    if os.path.islink(path) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return ClipError(
            "missing",
            f"{shown}: is a link to {paths.relative(path.readlink())}, where there is no file; put"
            " the video there or correct the link",
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ClipError(
            "missing",
            f"{shown}: no such file; put the video there or accept that its triplets count as"
            " misses",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ClipError(
            "no permission",
            f"{shown}: may not be read by this user ({reason(error)}); give read permission to the"
            " file and to the folders above it",
        )
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return ClipError(
            "impossible name",
            f"{shown}: the file system allows no such name ({reason(error)}); give the video a"
            " shorter or plainer id in the labels",
        )
    return ClipError(
        "read error",
        f"{shown}: the file system could not read it ({reason(error)}); see to the disk or the"
        " network drive and run the same again",
    )
