"""Asks python-semantic-release and commitizen, in one process for all repositories, because each takes most of a second
to start: `python ask_installed.py < questions.json`, with the Python that has them.

A question: `name` and `args` of the command, and the `folder`. An answer: exit code and what was printed.
"""

# mypy: disable-error-code="import-not-found"
import contextlib
import io
import json
import os
import sys
from unittest.mock import patch

from click.testing import CliRunner
from commitizen import cli as commitizen
from commitizen.exceptions import CommitizenException
from semantic_release.cli.commands.main import main as semantic_release


def ask(name: str, args: list[str], folder: str) -> tuple[int, str]:
    os.chdir(folder)
    if name == "semantic-release":
        result = CliRunner().invoke(semantic_release, args)
        return result.exit_code, result.stdout
    said = io.StringIO()
    try:
        with patch.object(sys, "argv", ["cz", *args]), contextlib.redirect_stdout(said):
            commitizen.main()
    except CommitizenException as ended:  # it ends each command with one
        return int(ended.exit_code), said.getvalue()
    except Exception:  # a traceback on the command line, as for tags of another scheme
        return 1, said.getvalue()
    return 0, said.getvalue()


print(json.dumps([ask(**question) for question in json.load(sys.stdin)]))
