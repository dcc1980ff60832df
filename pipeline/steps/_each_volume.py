"""Run a stage, which is written for one volume, for the volumes of a shard, one after the other.

A stage may return a function that writes what it made. It is called while the next volume is already being computed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UserError
from pipeline.files import folder_beside, publish_folder, write_text
from pipeline.steps._cli import ArgumentParser, Namespace
from pipeline.tables.table import concatenate

logger = logging.getLogger(__name__)


def run_volumes(module: ModuleType, parser: ArgumentParser, arguments: Namespace) -> None:
    """Run a stage for one volume after the other; where there are several, log and messages name the volume.

    Args:
        module: the stage.
        parser: its command line.
        arguments: what was parsed. Each folder of `whole` appears when all that goes into it is written.

    Raises:
        UserError: what the stage has to complain of, or an option has not equally many values for every volume.
    """
    with ExitStack() as stack:
        aside = {folder: stack.enter_context(folder_beside(folder)) for folder in arguments.whole}
        _run_volumes(module, parser, _elsewhere(arguments, aside))
        for folder, made in aside.items():
            publish_folder(made, folder)


def _elsewhere(arguments: Namespace, aside: Mapping[Path, Path]) -> Namespace:
    """Return arguments whose paths inside some folders lead into others."""
    return Namespace(**{name: _moved(value, aside) for name, value in vars(arguments).items() if name != "whole"})


def _moved(value: Any, aside: Mapping[Path, Path]) -> Any:
    if isinstance(value, list):
        return [_moved(item, aside) for item in value]
    inside = [folder for folder in aside if isinstance(value, Path) and value.is_relative_to(folder)]
    return aside[inside[0]] / value.relative_to(inside[0]) if inside else value


def _run_volumes(module: ModuleType, parser: ArgumentParser, arguments: Namespace) -> None:
    volumes = list(by_volume(parser, arguments))
    if len(volumes) == 1:
        write = module.main(volumes[0])
        if write:
            write()
        return
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=1) as writer:
        writing: Future[None] | None = None
        for number, own in enumerate(volumes):
            vars(own).update({name: _part(folder, name, number) for name in parser.tables})
            place = f"{number + 1} of {len(volumes)}, {getattr(own, _counted(parser))}"
            logger.info("%s", place)
            write = _named(place, partial(module.main, own))
            if writing:
                writing.result()
            writing = writer.submit(_named, place, write) if write else None
        if writing:
            writing.result()
        for name in parser.tables:
            parts = [_part(folder, name, number) for number in range(len(volumes))]
            write_text(getattr(arguments, name), concatenate(parts))


def _part(folder: str, name: str, number: int) -> Path:
    return Path(folder) / f"{name}-{number}.csv"


def _named(place: str, function: Callable[[], Any]) -> Any:
    """Call a function; what it complains of names the volume."""
    try:
        return function()
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _counted(parser: ArgumentParser) -> str:
    """The option that counts the volumes."""
    return next(iter(parser.of_each_volume))


def by_volume(parser: ArgumentParser, arguments: Namespace) -> Iterator[Namespace]:
    """Yield the arguments of one volume after the other; the first option that belongs to volumes counts them.

    Raises:
        UserError: an option has not equally many values for every volume.
    """
    given = {name: getattr(arguments, name) for name in parser.of_each_volume}
    count = len(given[_counted(parser)]) if given else 1
    for name, values in given.items():
        most = count if not parser.of_each_volume[name] else len(values or ())
        if values and (len(values) % count or len(values) > most):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag}: {len(values)} for {count} volumes; give equally many for each, volume by volume.")
    for place in range(count):
        own = {name: _share(values, place, count) for name, values in given.items()}
        single = {name: value[0] for name, value in own.items() if value and not parser.of_each_volume[name]}
        yield Namespace(**{**vars(arguments), **own, **single})


def _share(values: list[Any] | None, place: int, count: int) -> list[Any] | None:
    """What belongs to one volume."""
    share = len(values or ()) // count
    return values[place * share : (place + 1) * share] if values else values
