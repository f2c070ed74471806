"""`from prefect_slipway import …`: what is there, what the docs promise, what a type checker sees, what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import prefect_slipway
from tests.docs.pages import GUIDES, README, blocks

# Printed last: the modules that a statement has loaded.
LOADED = "\nprint(*sorted(set(sys.modules) - before))"


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter loads for it. Without site, whose .pth files load some of their own."""
    # Compiled from a string, so that nothing of the test's own is among them.
    program = f"import sys; sys.path += {sys.path!r}; before = set(sys.modules)\n{statement}{LOADED}"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def seen_by_type_checkers() -> dict[str, str]:
    """Each name with the module that it is imported from where TYPE_CHECKING holds."""
    tree = ast.parse(Path(prefect_slipway.__file__).read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    return {str(alias.asname): f"{node.module}:{alias.name}" for node in imports for alias in node.names}


@pytest.mark.parametrize("name", prefect_slipway.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    """By `from prefect_slipway import NAME`; the same object each time, with documentation."""
    found = getattr(prefect_slipway, name)
    assert getattr(prefect_slipway, name) is found
    assert found.__doc__


def test_type_checkers_see_the_same_objects() -> None:
    """They read imports that are never run."""
    seen = seen_by_type_checkers()
    assert {*seen, "__version__"} == set(prefect_slipway.__all__)
    for name, place in seen.items():
        module, _, attribute = place.partition(":")
        source = sys.modules[module] if module in sys.modules else __import__(module, fromlist=[attribute])
        assert getattr(source, attribute) is getattr(prefect_slipway, name), name


def test_no_other_name_is_there() -> None:
    """A name that does not exist is Python's usual error, for `hasattr` and for people."""
    with pytest.raises(AttributeError, match="module 'prefect_slipway' has no attribute 'relase'"):
        prefect_slipway.relase  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'relase'"):
        exec("from prefect_slipway import relase")


def test_a_star_import_takes_the_interface() -> None:
    """And nothing else."""
    taken: dict[str, object] = {}
    exec("from prefect_slipway import *", taken)
    assert taken.keys() - {"__builtins__"} == set(prefect_slipway.__all__)
    assert not [name for name, value in taken.items() if isinstance(value, ModuleType) and name != "errors"]


def test_importing_it_loads_nothing() -> None:
    """No module but itself: whoever has Slipway installed pays for it when it is used."""
    assert loaded_by("import prefect_slipway") - {"__future__"} == {"prefect_slipway"}


def test_a_name_loads_what_it_needs() -> None:
    """The causes of failures need none of the libraries, a block neither Vault's client nor the flows."""
    heavy = {"prefect", "pydantic", "httpx", "hvac", "kubernetes", "prefect_slipway.flows"}
    assert heavy & loaded_by("from prefect_slipway import errors, __version__") == set()
    assert heavy & loaded_by("from prefect_slipway import Vault") == {"prefect", "pydantic", "httpx"}


@pytest.mark.parametrize("example", [example for page in (README, *GUIDES) for example in blocks(page, "python")])
def test_the_examples_are_python(example: str) -> None:
    """What they import exists."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(example, "the documentation", "exec", flags)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            exec(ast.unparse(node))
