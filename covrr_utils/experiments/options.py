"""`Options`: a pydantic model whose errors are one sentence, and the kinds of values that its
fields have. Notebooks, parameter files and the command line all end here, so that a mistake is
told in the same words everywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo


class InvalidOption(ValueError):
    """An option that does not exist, or a value that it does not take; the message names both, what
    was expected, and the nearest valid one.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known word nearest to a misspelt one, else an empty text.

    >>> nearest("poolin", ["pooling", "scheme"])
    "; did you mean 'pooling'?"
    """
    candidates = list(known)
    near = difflib.get_close_matches(word, candidates, 1) or [
        name for name in candidates if word and name.startswith(word)
    ]
    return f"; did you mean {near[0]!r}?" if near else ""


class Options(BaseModel):
    """A frozen model that takes its fields by name and refuses every other name.

    Raises
    ------
    InvalidOption
        When it is made with an unknown field or a value that a field does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # a type checker reads the fields from the model itself

        def __init__(self, **values: object) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InvalidOption(self._sentence(error)) from None

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        """All that is wrong, in one line."""
        return "; and ".join(
            dict.fromkeys(cls._one(each) for each in error.errors(include_url=False))
        )

    @classmethod
    def _one(cls, error: Any) -> str:
        name = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            near = nearest(name, cls.model_fields)
            return f"unknown option {name!r}{near} known: {', '.join(cls.model_fields)}"
        if error["type"] == "value_error":
            return str(error["ctx"]["error"])
        return f"{name}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


@dataclass(frozen=True)
class Kind:
    """A kind of value: called by pydantic with what was given, it returns the value or raises a
    `ValueError` that names the field.

    ``optional``: None is a value too, also as the text ``None``, which a shell gives.
    """

    optional: bool = False

    def __call__(self, value: object, info: ValidationInfo) -> object:
        if self.optional and (value is None or value in ("None", "none", "null")):
            return None
        return self.checked(value, info.field_name or "value")

    def checked(self, value: object, name: str) -> object:
        """The value of the field ``name``."""
        raise NotImplementedError

    @property
    def shown(self) -> str:
        """What stands for a value in the help."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Kind):
    """Any text but an empty one; ``shown`` in the help as ``stands_for``."""

    stands_for: str = "NAME"

    def checked(self, value: object, name: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{name} must be a text, got {value!r}")
        return value

    @property
    def shown(self) -> str:
        return self.stands_for


@dataclass(frozen=True)
class OneOf(Kind):
    """One of ``names``; or what ``also`` takes, which raises a `ValueError` for everything else."""

    names: tuple[str, ...] = ()
    also: Callable[[str], str] | None = None

    def checked(self, value: object, name: str) -> str:
        if isinstance(value, str) and value in self.names:
            return value
        near = nearest(str(value), self.names)
        if self.also is not None and isinstance(value, str):
            try:
                return self.also(value)
            except ValueError as error:
                hint = "" if "did you mean" in str(error) else near
                raise ValueError(f"{error}{hint}") from None
        raise ValueError(f"unknown {name} {value!r}{near or ';'} known: {', '.join(self.names)}")

    @property
    def shown(self) -> str:
        return "|".join(self.names)


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number of at least ``least``."""

    least: int = 1

    def checked(self, value: object, name: str) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = value
        if isinstance(number, bool) or not isinstance(number, int) or number < self.least:
            raise ValueError(
                f"{name} must be a whole number of at least {self.least}, got {number!r}"
            )
        return number

    @property
    def shown(self) -> str:
        return "N"


@dataclass(frozen=True)
class WholeOr(Whole):
    """A whole number of at least ``least``, or one of ``names``."""

    names: tuple[str, ...] = ()

    def checked(self, value: object, name: str) -> int | str:  # type: ignore[override]
        if isinstance(value, str) and value in self.names:
            return value
        try:
            return super().checked(value, name)
        except ValueError as error:
            raise ValueError(f"{error}; or one of: {', '.join(self.names)}") from None

    @property
    def shown(self) -> str:
        return "|".join(("N", *self.names))


@dataclass(frozen=True)
class Number(Kind):
    """A number above 0, and at most ``most`` where that is given."""

    most: float | None = None

    def checked(self, value: object, name: str) -> float:
        try:
            number = float(value) if isinstance(value, str) else value
        except ValueError:
            number = value
        inside = (
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and 0 < number <= (float("inf") if self.most is None else self.most)
            and number != float("inf")
        )
        if not inside:
            limit = "" if self.most is None else f" and at most {self.most:g}"
            raise ValueError(f"{name} must be a number above 0{limit}, got {number!r}")
        assert isinstance(number, int | float)
        return number

    @property
    def shown(self) -> str:
        return "X"


@dataclass(frozen=True)
class Each(Kind):
    """A list of at least ``least`` values of one kind, each called ``noun`` in errors (default: as
    the field is); ``single`` allows one text in place of a list.
    """

    kind: Kind = Text()
    noun: str = ""
    single: bool = False
    least: int = 0

    def checked(self, value: object, name: str) -> tuple[object, ...]:
        if isinstance(value, str):
            if not self.single:
                raise ValueError(
                    f"{name} must be a list of names, got the single text {value!r}; write"
                    f" [{value!r}]"
                )
            value = [value]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list, got {value!r}")
        if len(value) < self.least:
            raise ValueError(f"{name} must be at least {self.least} of {self.kind.shown}")
        return tuple(self.kind.checked(each, self.noun or name) for each in value)

    @property
    def shown(self) -> str:
        return self.kind.shown
