"""From fields to the shell: the options of every command are derived from pydantic models, above
all from `RunConfig`, and parsed by the library tyro.

tyro writes the help, groups it, and names the nearest option for a misspelt one. Values reach the
models as texts: the models alone decide what a value may be, so that the shell, notebooks and
parameter files tell a mistake in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import tyro
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from tyro.constructors import PrimitiveConstructorSpec

from covrr_utils.experiments.options import Each, Kind, Options

if TYPE_CHECKING:  # a command without a run does not wait for what describes one
    from covrr_utils.experiments.config import RunConfig

Own = TypeVar("Own", bound=Options)

PARAMETERS = "parameters"

PARAMETERS_HELP = (
    "yaml with parameters in upper case, such as those in notebooks/parameters; options given"
    " beside it win"
)


@dataclass(frozen=True)
class Request:
    """What was asked of a command that makes or reads a run.

    ``given`` holds the fields of ``config`` that were set, on the command line or in a parameter
    file; ``others`` the parameters of the file that only some notebooks read.
    """

    config: RunConfig
    given: Mapping[str, object]
    others: Mapping[str, object]


@dataclass(frozen=True)
class Command(Generic[Own]):
    """A command: the function that does it, its own options, and the fields of `RunConfig` that it
    takes (default: all, without ``leaves``).

    ``positional`` is the field, of the command's own or of the run, that is given without its name;
    ``usual`` holds defaults that differ from those of `RunConfig`.
    """

    call: Callable[[Own, Request], int]
    own: type[Own]
    takes: Collection[str] | None = None
    leaves: Collection[str] = ()
    positional: str | None = None
    usual: Mapping[str, object] = field(default_factory=dict)

    def fields(self) -> list[str]:
        """The fields of `RunConfig` that the command takes."""
        from covrr_utils.experiments.config import RunConfig

        taken = RunConfig.model_fields if self.takes is None else self.takes
        return [name for name in taken if name not in self.leaves]


class _NotGiven:
    """Stands for an option that was not given; ``shown`` is its default in the help."""

    def __init__(self, shown: str):
        self.shown = shown


def parse(
    name: str, about: str, command: Command[Own], arguments: Sequence[str]
) -> tuple[Own, Request | None]:
    """The command's own options, and the run that is asked for (None, where it takes no field of
    one); ``about`` stands at the head of its help.

    Raises
    ------
    SystemExit
        After the help was printed (0), or for an option that does not exist (2).
    InvalidOption
        For a value that an option does not take.
    ValueError
        For a parameter file that cannot be read.
    """
    parsed: Any = tyro.cli(
        _structure(command),
        prog=f"covrr {name}",
        description=about,
        args=list(arguments),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    lists = _given(parsed)
    if command.positional and not {command.positional, PARAMETERS} & lists.keys():
        lists = _parted(lists, command.positional)
    values = {name: _joined(value) for name, value in lists.items()}
    own_options = _options(command.own)
    own = command.own(**{name: values.pop(name) for name in own_options if name in values})
    return own, _request(command, values) if command.takes != () else None


def _request(command: Command, values: Mapping[str, object]) -> Request:
    """The run that is asked for by options, and by the parameter file that they name."""
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.workbook import own_parameters, read_parameters

    options = dict(values)
    file = options.pop(PARAMETERS, None)
    parameters = {}
    if file is not None:
        parameters = read_parameters(Path(str(file)))
        RunConfig.from_parameters(parameters, own_parameters())  # unknown names are told before all
    from_file = {name.lower(): value for name, value in parameters.items()}
    others = {
        name: value
        for name, value in parameters.items()
        if name.lower() not in RunConfig.model_fields
    }
    given = {name: value for name, value in from_file.items() if name.upper() not in others}
    given |= options
    config = RunConfig(**{**command.usual, **given})
    return Request(config, {name: getattr(config, name) for name in given}, others)


def _structure(command: Command) -> type:
    """A dataclass as tyro reads it: the command's own options, then those of the run by group."""
    members = [
        _member(option, info, positional=option == command.positional)
        for option, info in _options(command.own).items()
    ]
    if command.takes == ():
        return make_dataclass("Arguments", members, kw_only=True)
    from covrr_utils.experiments.groups import GROUPS

    file = Annotated[
        Any, _texts(1, "FILE"), tyro.conf.arg(help=PARAMETERS_HELP, help_behavior_hint="")
    ]
    members.append((PARAMETERS, file, field(default=_NotGiven(""))))
    taken = command.fields()
    for group in GROUPS:
        options = {
            name: _member(name, info, command.usual, name == command.positional)
            for name, info in group.model_fields.items()
            if name in taken
        }
        if positional := options.pop(command.positional or "", None):
            members.insert(0, positional)
        if options:
            panel = make_dataclass(group.__name__, options.values(), kw_only=True)
            # told here, or tyro would look for it in what it takes for the source of the class
            about = {"help": " ".join((group.__doc__ or "").split())}
            title = group.__name__.removesuffix("Options").lower()
            members.append((title, panel, field(default_factory=panel, metadata=about)))
    return make_dataclass("Arguments", members, kw_only=True)


def _options(model: type[Options]) -> dict[str, FieldInfo]:
    """The fields of a model by the name of their option: the alias, where there is one."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _member(
    option: str, info: FieldInfo, usual: Mapping[str, object] = {}, positional: bool = False
) -> tuple[str, object, Any]:
    """Name, annotation and default of one option for tyro."""
    default = usual.get(option, info.default)
    about = info.description or ""
    if info.annotation is bool:
        flag = Annotated[bool, tyro.conf.arg(help=about, help_behavior_hint="")]
        return option, flag, field(default=False)
    kind = _kind(option, info)
    if isinstance(kind, Each) and kind.single:
        repeated = Annotated[
            tuple[tuple[str, ...], ...],
            tyro.conf.UseAppendAction,
            tyro.conf.arg(metavar=kind.shown, help=about, help_behavior_hint=""),
        ]
        return option, repeated, field(default=())
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    hint = "" if positional or shown in (None, "") else f"(default: {shown})"
    if option in usual:  # in place of the default that the description names
        about = re.sub(r" \(default: [^)]*\)$", "", about)
    several = isinstance(kind, Each)
    texts = _texts("*" if several else 1, f"{kind.shown} ..." if several else kind.shown)
    metadata = [texts, tyro.conf.arg(help=about, help_behavior_hint=hint)]
    if positional:
        metadata.append(tyro.conf.Positional)
    return option, Annotated[(Any, *metadata)], field(default=_NotGiven(str(shown)))


def _kind(option: str, info: FieldInfo) -> Kind:
    """The kind of values of a field."""
    for each in info.metadata:
        if isinstance(each, BeforeValidator) and isinstance(each.func, Kind):
            return each.func
    raise TypeError(f"the field of --{option} declares no kind of value")


def _texts(number: Any, metavar: str) -> PrimitiveConstructorSpec:
    """One text, or several, taken as they are."""
    return PrimitiveConstructorSpec(
        nargs=number,
        metavar=metavar,
        instance_from_str=lambda texts: texts[0] if number == 1 else tuple(texts),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [value.shown],
    )


def _given(parsed: Any) -> dict[str, object]:
    """The options that were given, by name; of a repeated one a tuple of values for each time."""
    values: dict[str, object] = {}
    for option in fields(parsed):
        value = getattr(parsed, option.name)
        if is_dataclass(value):
            values |= _given(value)
        elif value is not option.default:
            values[option.name] = value
    return values


def _times(value: object) -> list[tuple[str, ...]]:
    """The values of a list, for each time that its option was given; empty for no list."""
    if not isinstance(value, tuple) or not value:
        return []
    return list(value) if isinstance(value[0], tuple) else [value]


def _joined(value: object) -> object:
    """A list's values in one tuple; other values as they are."""
    return sum(times, ()) if (times := _times(value)) else value


def _parted(values: Mapping[str, object], positional: str) -> dict[str, object]:
    """``values`` with the positional one taken from the end of the list before it, which takes all
    that follows its option: ``covrr check --videos FOLDER labels.csv``.

    Where several lists could hold it, or none, nothing is taken.
    """
    longer = [
        (name, number)
        for name, value in values.items()
        for number, time in enumerate(_times(value))
        if len(time) > 1
    ]
    if len(longer) != 1:
        return dict(values)
    ((name, number),) = longer
    times = _times(values[name])
    times[number], last = times[number][:-1], times[number][-1]
    return {**values, name: sum(times, ()), positional: last}
