"""From the name `package.module:callable` to a sink, with errors that name what to mend."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from exactly_once_kusto.errors import ConfigurationError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exactly_once_kusto.protocol.ports import Sink


def load_sink(factory: str, options: Mapping[str, str]) -> Sink:
    """Return the sink that the callable named by `factory` makes of the table's options.

    Raises:
        OptionError: the name is malformed, or nothing that can be called has it.
        ConfigurationError: the callable returned something that is no sink.
    """
    sink = load_factory(factory)(dict(options))
    missing = [
        part
        for part in ("name", "settings", "check", "writer", "ledger", "brake", "target")
        if not hasattr(sink, part)
    ]
    if missing:
        raise ConfigurationError(
            f"factory {factory!r} returned {type(sink).__name__}, which lacks "
            f"{', '.join(missing)}: return a protocol.ports.Sink"
        )
    return cast("Sink", sink)


def load_factory(factory: str) -> Callable[[dict[str, str]], object]:
    """Return the callable that `package.module:callable` names.

    Raises:
        OptionError: the name is malformed, or nothing that can be called has it.
    """
    module_name, colon, attribute = factory.partition(":")
    if not (module_name and colon and attribute):
        raise OptionError(f"factory {factory!r} is not of the form 'package.module:callable'")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, something that it imports is not
        raise OptionError(
            f"factory {factory!r}: there is no module {error.name!r} in the worker's Python; "
            "install it there, or add its folder to PYTHONPATH"
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise OptionError(f"factory {factory!r}: module {module_name!r} has no such callable")
    return cast("Callable[[dict[str, str]], object]", found)
