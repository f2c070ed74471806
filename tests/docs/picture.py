"""`make docs-picture`: docs/assets/release.svg, what a real release leaves in a real terminal."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.conftest import SLIPWAY, run_slipway, stack_home
from tests.docs.pages import DOCS
from tests.terminal import in_terminal

PICTURE = DOCS / "assets" / "release.svg"
_COLUMNS = 100
_FIRST = "git init -q && echo Hello > hello.txt && printf 'FROM scratch\\nCOPY hello.txt /\\n' > Dockerfile"
_COMMIT = "git add . && git -c user.name=n -c user.email=n@example.com commit -qm"


def session(env: Mapping[str, str]) -> str:
    """What the second release of a small repository prints, in colour."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "hello"
        app.mkdir()
        typed = (f"{_FIRST} && {_COMMIT} 'feat: say hello'", f"echo Hi > hello.txt && {_COMMIT} 'feat: say hi'")
        shown: list[str] = []
        for command in typed:
            subprocess.run(["/bin/sh", "-ec", command], cwd=app, check=True)
            release = ("/bin/sh", "-c", f"cd {app} && exec {SLIPWAY} release .")
            with in_terminal(*release, env=env, columns=_COLUMNS) as terminal:
                code, shown = terminal.ended(colours=True)
                assert code == 0, "\n".join(shown)
    return "\n".join(shown)


def usual(shown: str, env: Mapping[str, str]) -> str:
    """With the default ports in place of this session's, and without the commands for this machine."""
    ports = {"SLIPWAY_REGISTRY_PORT": "5000", "SLIPWAY_PREFECT_PORT": "4200", "SLIPWAY_VAULT_PORT": "8200"}
    for name, port in ports.items():
        shown = shown.replace(f":{env[name]}", f":{port}")
    # The timeline's rows are the last that are the same on every machine.
    return re.sub(r"(?s)(.*\| [\d.]+ s\n).*", r"\1", shown).rstrip()


def drawn(shown: str) -> str:
    """As SVG, with the viewer's own monospace font: rich's is on another host."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ slipway release .", style="bold"))
    console.print(Text.from_ansi(shown), soft_wrap=False)
    svg = console.export_svg(title="slipway", unique_id="slipway")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")


def main() -> None:
    with stack_home() as env:
        started = run_slipway("up", env=env)
        assert started.returncode == 0, started.stdout + started.stderr
        shown = usual(session(env), env)
    assert not {folder for folder in (tempfile.gettempdir(), sys.prefix, str(Path.home())) if folder in shown}
    PICTURE.write_text(drawn(shown))


if __name__ == "__main__":
    main()
