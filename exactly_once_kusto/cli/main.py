"""`exactly-once-kusto`: demo, emulator, transactions, jar. Errors of ours are one line, exit 1."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from exactly_once_kusto.errors import ExactlyOnceError

app = typer.Typer(
    name="exactly-once-kusto",
    help="Exactly-once writes from Apache Flink to Azure Data Explorer (Kusto), in Python.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command()
def demo(
    json: Json = False,
    seconds: Annotated[int, typer.Option(help="About how long the stream is to take.")] = 60,
) -> None:
    """Stream 336,776 flights through a Flink cluster into the emulator; kill a TaskManager."""
    from exactly_once_kusto.cli.demo import run_demo

    raise typer.Exit(run_demo(as_json=json, seconds=seconds))


@app.command()
def emulator(
    data: Annotated[Path, typer.Option(help="Directory that keeps everything.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    database: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    azurite: Annotated[
        bool, typer.Option("--azurite", help="Stage in an Azurite that starts and ends with it.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; whoever reaches it reads your files.")
    ] = "127.0.0.1",
    principals: Annotated[
        Path | None, typer.Option(help="JSON file of tokens: ask each request for one of them.")
    ] = None,
) -> None:
    """Run a local Kusto; its first line on standard output is one JSON object."""
    from exactly_once_kusto.emulator import run
    from exactly_once_kusto.emulator.principals import read_principals

    try:
        known = read_principals(principals)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--principals {principals}: {error}") from None
    databases = tuple(database or ("Demo",))
    raise typer.Exit(run(port, data, databases, azurite=azurite, host=host, principals=known))


@app.command()
def transactions(
    staging: Annotated[str, typer.Option(help="The sink's option 'staging'.")],
    name: Annotated[str | None, typer.Option(help="One sink; without it all of them.")] = None,
    json: Json = False,
) -> None:
    """List the transactions in the ledgers below a staging address."""
    from exactly_once_kusto.cli.transactions import print_transactions

    print_transactions(staging, name, as_json=json)


@app.command()
def jar(json: Json = False) -> None:
    """Say where the shim's jar lies, for clusters that have it in `lib/`."""
    from exactly_once_kusto.cli.console import print_json
    from exactly_once_kusto.flink import jar_path

    path = str(jar_path())
    print_json({"jar": path}) if json else print(path)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except ExactlyOnceError as error:
        print(f"exactly-once-kusto: {error}", file=sys.stderr)
        sys.exit(1)
