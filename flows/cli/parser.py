"""The commands' parsers: help that fits the terminal, and errors that say what was meant."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from prefect_slipway.flows.cli.commands import COMMANDS, GROUPS, examples
from prefect_slipway.infra.domain.documentation import SITE
from prefect_slipway.infra.domain.near import meant

_EXAMPLES = "Examples:\n"


class Parser(argparse.ArgumentParser):
    """A command's parser."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, "add_help": False, **settings})
        self._positionals.title, self._optionals.title = "Arguments", "Options"
        self.add_argument("-h", "--help", action="help", help="Show this help.")

    def error(self, message: str) -> NoReturn:
        """End with exit code 2, and say where the help is."""
        usage = self.format_usage()
        self.exit(2, f"{usage}{self.prog}: {message.removeprefix('argument ')}\nNext: {self.prog} --help\n")

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """The same for `words` that no argument takes."""
        word = words[0].partition("=")[0]
        if word.startswith("-"):
            self.error(f"no such option: {word}{meant(word, list(self._option_string_actions))}")
        self.error(f"unexpected argument: {word}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's own says nothing where the help cannot be written."""
        (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            text = f"{value!r} is not one of {', '.join(known)}{meant(str(value), known)}"
            raise argparse.ArgumentError(action, text)


class _Formatter(argparse.HelpFormatter):
    def _format_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable[Any], prefix: str | None
    ) -> str:
        """With the arguments alone: the options are below, and may be many."""
        actions = list(actions)
        before, options = self._prog, any(action.option_strings for action in actions)
        self._prog = f"{before} [OPTIONS]" if options else before
        try:
            arguments = [action for action in actions if not action.option_strings]
            return super()._format_usage(usage, arguments, [], "Usage: " if prefix is None else prefix)
        finally:
            self._prog = before

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """The value once, behind all names, as Python 3.13 has it."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_EXAMPLES) else super()._fill_text(text, width, indent)


def command_parser(name: str) -> Parser:
    """The parser of a command, whose module is imported."""
    parser, module = Parser(prog=f"slipway {name}"), command_module(name)
    parser.description = " ".join((module.__doc__ or "").split())
    module.add_options(parser)
    if lines := [f"  {line}" for line in examples(name)]:
        parser.epilog = _EXAMPLES + "\n".join(lines)
    return parser


def command_module(name: str) -> Any:
    return importlib.import_module(f"{__package__}.{name.replace('-', '_')}")


def unknown_command(word: str) -> SystemExit:
    """What to raise, after it was said."""
    kind = "option" if word.startswith("-") else "command"
    said = f"no such {kind}: {word}{meant(word, list(COMMANDS)) if kind == 'command' else ''}"
    print(f"slipway: {said}\nNext: slipway --help", file=sys.stderr)
    return SystemExit(2)


def overview() -> str:
    """All commands by group."""
    # Imported late, so that `slipway build` starts fast.
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, 100)
    column = max(map(len, COMMANDS)) + 4
    lines = [
        *textwrap.wrap("Slipway releases container images: versioned, built, pushed, verified and recorded.", width),
        "",
        "Usage: slipway COMMAND [OPTIONS]",
    ]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        for name, command in commands.items():
            lines += textwrap.wrap(
                command.summary, width, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column
            )
    codes = (
        "0 done, 1 failed, 2 wrong usage, 130 interrupted; after a release, 3 not cleaned up, 4 not on the forge, "
        "5 not deployed"
    )
    rest = (
        "`slipway help COMMAND` shows a command's options and examples; `slipway version` shows Slipway's version.",
        f"Exit codes: {codes}. SLIPWAY_DEBUG=1 shows tracebacks.",
        f"Documentation: {SITE}",
    )
    return "\n".join([*lines, *(line for text in rest for line in ("", *textwrap.wrap(text, width)))])
