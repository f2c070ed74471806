"""What is written as a test is run."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    """pytest does not enter folders of certain names, and says nothing (pytest, `norecursedirs`)."""
    left_out = pytestconfig.getini("norecursedirs")
    folders = {file.parent for file in TESTS.rglob("test_*.py")}
    assert len(folders) > 1
    for folder in folders:
        for part in folder.relative_to(TESTS.parent).parts:
            assert not any(fnmatch(part, pattern) for pattern in left_out), folder
            assert (folder / "__init__.py").exists(), folder
