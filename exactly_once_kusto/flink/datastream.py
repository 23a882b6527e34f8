"""`attach(sink, env)`: what `DataStream.sink_to` takes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from py4j.protocol import Py4JJavaError
from pyflink.datastream.connectors.base import Sink, StreamTransformer, SupportsPreprocessing
from pyflink.datastream.data_stream import DataStream
from pyflink.java_gateway import get_gateway
from pyflink.table.types import _to_java_data_type
from pyflink.util.java_utils import get_j_env_configuration, is_local_deployment

from exactly_once_kusto.errors import TypeRefusedError
from exactly_once_kusto.flink.jar import jar_path
from exactly_once_kusto.flink.sql import CLIENT_PYTHON, shim_in_lib

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table.types import DataType

PYTHON = "python.executable"


class Portable(Protocol):
    """A sink that can be made again in another process: by `from_options` beside its class."""

    def to_options(self) -> dict[str, str]:
        """Return the options, as in DDL, that `from_options` of the same module takes."""


class AttachedSink(Sink, SupportsPreprocessing):  # type: ignore[misc]
    """A sink for typed rows, bound to one environment."""

    def __init__(self, sink: Portable, row_type: DataType | None) -> None:
        super().__init__(None)
        self._factory = f"{type(sink).__module__}:from_options"
        self._options = dict(sink.to_options())
        self._python = self._options.pop("python", None)
        self._row_type = row_type

    def get_transformer(self) -> StreamTransformer:
        """Return what puts the conversion of rows before the sink."""
        return _ToRows(self)

    def bind(self, stream: DataStream) -> DataStream:
        """Return the stream as rows of the sink; the Java sink is made for their type.

        Raises:
            TypeRefusedError: the stream has no row type, or one that `row_type` contradicts.
        """
        shim = get_gateway().jvm.exactlyonce.flink.RowStreams
        declared = None if self._row_type is None else _to_java_data_type(self._row_type)
        j_stream = stream._j_data_stream
        try:
            row_type = shim.rowType(j_stream.getType(), declared)
        except Py4JJavaError as error:
            raise TypeRefusedError(error.java_exception.getMessage()) from None
        self._j_function = shim.sink(j_stream, self._factory, self._options, row_type, self._python)
        return DataStream(shim.convert(j_stream, row_type))


class _ToRows(StreamTransformer):  # type: ignore[misc]
    def __init__(self, sink: AttachedSink) -> None:
        self._sink = sink

    def apply(self, ds: DataStream) -> DataStream:
        return self._sink.bind(ds)


def attach(
    sink: Portable, env: StreamExecutionEnvironment, row_type: DataType | None = None
) -> AttachedSink:
    """Return a sink for `DataStream.sink_to` and put the shim on the job's class path.

    The columns are those of the stream's type; `row_type` (`DataTypes.ROW([...])`, by position)
    overrides it and is needed for decimals, since `Types.BIG_DEC()` has no precision. Datetimes
    are carried in microseconds. The job must run in streaming mode with checkpointing on.

    Raises:
        ConfigurationError: the package holds no jar; the message names the next step.
    """
    if not shim_in_lib():
        env.add_jars(jar_path().as_uri())
    config = get_j_env_configuration(env._j_stream_execution_environment)
    if not config.containsKey(CLIENT_PYTHON):
        config.setString(CLIENT_PYTHON, sys.executable)
    if is_local_deployment(config) and not config.containsKey(PYTHON):
        config.setString(PYTHON, sys.executable)  # as PyFlink itself does for tables
    return AttachedSink(sink, row_type)
