"""What Prefect's UI shows of Slipway's block types, and how Prefect finds them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
from prefect.blocks.core import Block

import prefect_slipway
from prefect_slipway import blocks
from prefect_slipway.flows.registration.blocks import BLOCK_TYPES
from prefect_slipway.flows.registration.files import SAMPLES, automation_files
from prefect_slipway.infra.domain.documentation import SITE
from tests.docs.blocks_page import PAGE as BLOCKS_PAGE

# Where a block's own name is put in, by the UI too.
NAME = "BLOCK_NAME"


def example(block: type[Block]) -> str:
    """The Python in a block's example."""
    text = block.get_code_example() or ""
    _, fence, rest = text.partition("```python\n")
    code, end, after = rest.partition("```")
    assert (fence, end, after.strip()) == ("```python\n", "```", ""), text
    return code


def test_all_of_them_are_public_and_registered() -> None:
    """One list wherever they are named."""
    public = {name for name in prefect_slipway.__all__ if Block.is_block_class(getattr(prefect_slipway, name))}
    assert public == set(blocks.__all__) == {block.__name__ for block in BLOCK_TYPES}


@pytest.mark.parametrize("block", BLOCK_TYPES)
def test_a_type_says_what_it_is_and_where_to_read_more(block: type[Block]) -> None:
    """A logo and a documentation address that a browser may load, and a description of one sentence."""
    shown = block._to_block_type()
    assert shown.logo_url is not None
    assert shown.documentation_url is not None
    assert {shown.logo_url.scheme, shown.documentation_url.scheme} == {"https"}
    anchor = shown.name.lower().replace(" ", "-")
    assert str(shown.documentation_url) == f"{SITE}reference/blocks/#{anchor}"
    assert f"\n## {shown.name}\n" in BLOCKS_PAGE.read_text(), "the site has no such heading"
    assert shown.description is not None
    assert shown.description.count(". ") == 0
    assert shown.description.endswith(".")
    assert "prefect_slipway.blocks" not in (shown.code_example or "")


@pytest.mark.parametrize("block", BLOCK_TYPES)
def test_the_example_makes_a_request_that_names_the_block(block: type[Block]) -> None:
    """It imports from `prefect_slipway`; run up to the release itself, for which there would have to be a source."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(example(block), block.__name__, "exec", flags)
    assert isinstance(tree, ast.Module)
    *before, last = tree.body
    known: dict[str, tuple[str, type[Any]]] = {
        "await release(request)": ("release", prefect_slipway.ReleaseRequest),
        "await deploy(request)": ("deploy", prefect_slipway.DeployRequest),
    }
    flow, request = known[ast.unparse(last)]
    assert {node.module for node in before if isinstance(node, ast.ImportFrom)} == {"prefect_slipway"}
    made: dict[str, Any] = {}
    exec(compile(ast.Module(before, type_ignores=[]), block.__name__, "exec"), made)
    assert isinstance(made["request"], request)
    assert f"block:{NAME}" in json.dumps(made["request"].model_dump(mode="json"))
    assert made[flow] is getattr(prefect_slipway, flow)


def test_prefect_loads_them_where_slipway_is_installed() -> None:
    """By the entry point: a server or a worker resolves a saved block whose class nobody has imported."""
    (found,) = entry_points(group="prefect.collections", name="prefect_slipway")
    assert found.load().__name__ == "prefect_slipway.blocks.collection"
    program = (
        "from prefect.blocks.core import Block; from prefect.plugins import load_prefect_collections; "
        "print(load_prefect_collections()['prefect_slipway'].__name__, Block.get_block_class_from_key('slipway-vault'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout == "prefect_slipway.blocks.collection <class 'prefect_slipway.blocks.vault.Vault'>\n"


def test_a_samples_block_is_of_a_type_that_explains_itself() -> None:
    """`slipway-notify` is one of Prefect's own."""
    samples = [block for document in automation_files(SAMPLES) for block in document.get("blocks", [])]
    assert [block["name"] for block in samples] == ["slipway-notify"]
    for sample in samples:
        shown = Block.get_block_class_from_key(sample["type"])._to_block_type()
        assert shown.logo_url and shown.documentation_url and shown.description and shown.code_example
