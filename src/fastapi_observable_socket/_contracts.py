"""
The command `contract`: the contract of an application, written in one form or another.

    python -m fastapi_observable_socket contract app:app --json -o contract.json

Imports the application as its server would, and starts nothing. What typer is told is here,
what a contract is is known elsewhere.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

from ._errors import SignatureError
from ._made import as_text, check, document, is_stale, texts
from ._shown import show_line, tell
from ._typed import Mistyped
from ._watch import watch
from .contract import Change, Contract, ContractError, compare, contract_of

if TYPE_CHECKING:
    from typer import Typer

BREAKING: Final = 1
STALE: Final = 1
INTERRUPTED: Final = 130


def contract_at(app: str, path: str | None = None, factory: bool = False) -> Contract:
    """The contract of `module:attribute`. Raises `Mistyped` where there is none."""
    try:
        return contract_of(_imported(app, factory), path)
    except (LookupError, SignatureError, ContractError) as error:
        raise Mistyped(f"{app}: {error.args[0] if error.args else error}") from None


def _imported(app: str, factory: bool) -> Any:
    module_name, colon, attribute = app.partition(":")
    if not colon or not module_name or not attribute:
        raise Mistyped(f"{app!r} names no application: write module:attribute, such as main:app")
    # As uvicorn does: the folder one stands in is where modules are looked for.
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
        return found() if factory else found
    except ModuleNotFoundError as missing:
        if missing.name and (module_name + ".").startswith(missing.name + "."):
            raise Mistyped(f"there is no module {missing.name!r} here") from None
        traceback.print_exc()
        raise Mistyped(f"{module_name} needs a module that is not installed") from None
    except AttributeError as error:
        if error.name is not None and error.name in attribute.split("."):
            raise Mistyped(f"{module_name} has no {attribute!r}") from None
        traceback.print_exc()
        raise Mistyped(f"{app} could not be imported") from None
    except (Exception, SystemExit):
        # Its end must not be taken for that of a check that found something.
        traceback.print_exc()
        raise Mistyped(f"{app} could not be imported") from None


def write(text: str, output: Path | None) -> None:
    """To the file, which is left alone where it says so already; else to standard output."""
    text = text.rstrip("\n") + "\n"
    if output is None or str(output) == "-":
        sys.stdout.write(text)
    elif is_stale(output, text):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(text.encode())
        tell(f"wrote {output}")


def changes_since(file: Path, contract: Contract) -> list[Change]:
    """What changed since the contract in `file`. Raises `Mistyped` where there is none."""
    try:
        return compare(json.loads(file.read_text(encoding="utf-8")), contract.as_json())
    except OSError as error:
        raise Mistyped(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Mistyped(f"{file} is no contract, as `contract --json` writes them") from None


def _watch(path: Path) -> NoReturn:
    """Do the same whenever something changes. Ends by Ctrl-C."""
    again = [each for each in sys.argv[1:] if each != "--watch"]
    try:
        watch([sys.executable, "-m", str(__package__), *again], path)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _check_files(made: Mapping[Path, str]) -> None:
    told = check(made)
    for line in told:
        tell(line)
    if told:
        raise SystemExit(STALE)


def _summary(changes: list[Change]) -> str:
    if not changes:
        return "nothing changed"
    breaking = sum(change.breaking for change in changes)
    return f"{breaking} breaking, {len(changes) - breaking} harmless"


def add_to(commands: "Typer") -> None:
    """Give the command line the command `contract`."""
    import typer
    from typer.core import TyperGroup

    class Group(TyperGroup):
        """`contract app:app` is `contract show app:app`."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            known = args and args[0] in self.commands
            return super().parse_args(ctx, args if known else ["show", *args])

    app_ = typer.Argument(metavar="MODULE:ATTRIBUTE", help="An application, or a SocketRouter.")
    path_ = typer.Option(metavar="PATH", help="Of the socket, where there are several.")
    factory_ = typer.Option("--factory", help="The attribute is a function that makes it.")
    json_ = typer.Option("--json", help="As JSON (the default).")
    asyncapi_ = typer.Option("--asyncapi", help="As an AsyncAPI 3.0 document.")
    schema_ = typer.Option("--schema", help="Its models alone, as JSON Schema.")
    output_ = typer.Option("--output", "-o", metavar="FILE", help="Write the document here.")
    typescript_ = typer.Option(metavar="FILE", help="Write types for TypeScript here.")
    python_ = typer.Option(metavar="FILE", help="Write typed routes for Python here.")
    register_ = typer.Option(help="Let the TypeScript tell the npm package which routes there are.")
    stale_ = typer.Option("--check", help="Write nothing: are the files what they would be now?")
    watch_ = typer.Option("--watch", help="Write again whenever a Python file here changes.")
    against_ = typer.Option(metavar="FILE", help="An older contract, written by --json.")
    changes_ = typer.Option("--json", help="Print the changes as JSON.")

    group = typer.Typer(cls=Group, help="Write down what a socket takes and gives.")
    commands.add_typer(group, name="contract")

    @group.command("show")
    def _show(
        app: Annotated[str, app_],
        path: Annotated[str | None, path_] = None,
        factory: Annotated[bool, factory_] = False,
        as_json: Annotated[bool, json_] = False,
        as_asyncapi: Annotated[bool, asyncapi_] = False,
        as_schema: Annotated[bool, schema_] = False,
        output: Annotated[Path | None, output_] = None,
        typescript: Annotated[Path | None, typescript_] = None,
        python: Annotated[Path | None, python_] = None,
        register: Annotated[bool, register_] = True,
        stale: Annotated[bool, stale_] = False,
        watching: Annotated[bool, watch_] = False,
    ) -> None:
        """Write the contract of an application, or types made of it. `contract check` compares it
        with an older one.

        Files that say the same already are left alone.

        Exit code: 0, 1 where --check finds a file stale, or 2 where the application cannot be
        imported or has no such socket.
        """
        forms = {"--json": as_json, "--asyncapi": as_asyncapi, "--schema": as_schema}
        asked = [form for form, wanted in forms.items() if wanted]
        if len(asked) > 1:
            raise Mistyped(f"one form at a time: {' or '.join(forms)}")
        files = [file for file in (output, typescript, python) if file and str(file) != "-"]
        if (stale or watching) and ((stale and watching) or not files):
            raise Mistyped("--check and --watch need a file to write, and are not for each other")
        if watching:
            _watch(Path.cwd())
        contract = contract_at(app, path, factory)
        made = texts(contract, typescript, python, register)
        if not made or output or asked:
            made = {output or Path("-"): document(contract, *asked), **made}
        if stale:
            _check_files(made)
        else:
            for file, text in made.items():
                write(text, file)

    @group.command("check")
    def _check(
        app: Annotated[str, app_],
        against: Annotated[Path, against_],
        path: Annotated[str | None, path_] = None,
        factory: Annotated[bool, factory_] = False,
        as_json: Annotated[bool, changes_] = False,
    ) -> None:
        """Tell what changed since an older contract, and whom it breaks.

        Exit code: 0 where nothing changed that breaks a client, 1 where something did, 2 for a
        mistyped command, a file that is no contract, or an application that cannot be imported.
        """
        changes = changes_since(against, contract_at(app, path, factory))
        if as_json:
            write(as_text([asdict(change) for change in changes]), None)
        else:
            for change in changes:
                show_line(str(change))
            tell(_summary(changes))
        raise SystemExit(BREAKING if any(change.breaking for change in changes) else 0)
