"""A disk that refuses writing, for those whom permissions do not bind."""

import builtins
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path, number: int) -> Iterator[None]:
    """Meanwhile nothing below ``folder`` can be written by this process: every attempt fails with
    the error ``number``.
    """

    def refuse(*paths: object) -> None:
        for path in paths:
            if isinstance(path, str | os.PathLike) and Path(path).is_relative_to(folder):
                raise OSError(number, os.strerror(number), str(path))

    opened, descriptor, access = io.open, os.open, os.access

    def reading(file, mode="r", *args, **kwargs):
        if set(mode) & set("wax+"):
            refuse(file)
        return opened(file, mode, *args, **kwargs)

    def reading_descriptor(path, flags, *args, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return descriptor(path, flags, *args, **kwargs)

    def accessible(path, mode, **kwargs):
        below = Path(path).is_relative_to(folder)
        return not (below and mode & os.W_OK) and access(path, mode, **kwargs)

    def refusing(function):
        def call(*args, **kwargs):
            refuse(*args)
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(builtins, "open", reading)
        patched.setattr(io, "open", reading)
        patched.setattr(os, "open", reading_descriptor)
        patched.setattr(os, "access", accessible)
        for name in ("replace", "rename", "mkdir", "unlink", "symlink", "link"):
            patched.setattr(os, name, refusing(getattr(os, name)))
        yield
