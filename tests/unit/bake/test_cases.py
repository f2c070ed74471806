"""What the test cases of docker/buildx are about (bake/hcl_test.go, bake/bake_test.go), in files of our own.

Each case is compared with the installed buildx. Where it differs, the case says why, and what is read here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.bake.test_against_buildx import _unescaped, buildx, ours


class Case(NamedTuple):
    """`text`: docker-bake.hcl, or several files by name. `differs`: why the installed buildx (0.13) reads it otherwise.
    `read`: some of the fields that are read here, by target; None: it is refused."""

    text: str | dict[str, Any]
    targets: str = "a"
    variables: dict[str, str] = {}  # noqa: RUF012  # read only
    sets: tuple[str, ...] = ()
    differs: str = ""
    read: dict[str, dict[str, Any]] | None = None


NEWER = "a newer version's"
UNUSED = "a variable that nothing uses is not computed"
CASES = {
    "plain attributes are no variables": Case(
        'X = "one"\nvariable "Y" { default = "two" }\ntarget "a" { args = { X = X, Y = Y } }',
        variables={"X": "given", "Y": "given"},
    ),
    "the name of a target": Case('target "a" { dockerfile = target.a.name }'),
    "fields that a target does not have": Case(
        'target "a" {\n context = target.a.dockerfile\n target = target.a.context\n}'
    ),
    "a field of a group": Case(
        'group "g" { targets = ["a", "b"] }\ntarget "a" { args = { G = join(",", group.g.targets) } }\ntarget "b" {}'
    ),
    "a field of a target that is called otherwise": Case(
        'target "b" {\n name = "x"\n matrix = {}\n dockerfile = "D"\n}\ntarget "a" { dockerfile = target.x.dockerfile }'
    ),
    "the old name of a target that is called otherwise": Case(
        'target "b" {\n name = "x"\n matrix = {}\n dockerfile = "D"\n}\ntarget "a" { dockerfile = target.b.dockerfile }'
    ),
    "two blocks of a name that are called otherwise": Case(
        'target "a" {\n name = "x"\n matrix = {}\n target = "1"\n}\n'
        'target "a" {\n name = "y"\n matrix = {}\n target = "2"\n}'
    ),
    "called otherwise, and as it is": Case(
        {
            "1.hcl": 'target "a" {\n name = "x"\n matrix = {}\n dockerfile = "D"\n}',
            "2.hcl": 'target "a" { context = "y" }',
            "3.hcl": 'target "x" { target = "z" }',
        }
    ),
    "a matrix of numbers": Case('n = 1\ntarget "a" {\n matrix = { i = [n, 2] }\n name = i\n}'),
    "an empty matrix": Case('target "a" {\n matrix = {}\n target = "t"\n}'),
    "a matrix of several axes": Case(
        'target "a" {\n matrix = { i = ["x", "y"], j = ["1", "2"] }\n name = "${i}-${j}"\n args = { I = i, J = j }\n}'
    ),
    "a matrix of empty lists": Case('target "b" {}\ngroup "a" { targets = ["b", "c"] }\ntarget "c" { matrix = {} }'),
    "a matrix that is no map": Case('target "a" {\n matrix = "x"\n}'),
    "a matrix with a value that is no list": Case('target "a" {\n matrix = { i = "x" }\n}'),
    "a name of a matrix with a dot": Case('target "a" {\n name = "a.b"\n matrix = {}\n}'),
    "a name without a matrix": Case('target "a" { name = "b" }'),
    "a matrix of objects": Case(
        'target "a" {\n matrix = { i = [{ n = "x", v = "1" }, { n = "y", v = "2" }] }\n name = "a-${i.n}"\n'
        " args = { V = i.v }\n}"
    ),
    "a variable of another variable": Case(
        'variable "A" { default = "a-${B}" }\nvariable "B" { default = "b" }\ntarget "a" { args = { A = A } }',
        variables={"B": "given"},
    ),
    "a variable of a function of a variable": Case(
        'function "f" {\n params = [x]\n result = "${x}-${B}"\n}\nvariable "A" { default = f("1") }\n'
        'variable "B" { default = "b" }\ntarget "a" { args = { A = A } }'
    ),
    "a function that is its own parameter's": Case(
        'function "f" {\n params = [f]\n result = f\n}\ntarget "a" { args = { A = f("x") } }'
    ),
    "a function of another": Case(
        'function "f" {\n params = [x]\n result = upper(g(x, "z"))\n}\n'
        'function "g" {\n params = [x]\n variadic_params = more\n result = join("+", concat([x], more))\n}\n'
        'target "a" { args = { A = f("x") } }'
    ),
    "a function without parameters": Case('function "f" { result = "x" }\ntarget "a" {}'),
    "a function with an empty list of parameters": Case(
        'function "f" {\n params = []\n result = "x"\n}\ntarget "a" { args = { A = f() } }'
    ),
    "a variable and a target of a name": Case('variable "a" { default = "x" }\ntarget "a" { args = { A = a } }'),
    "a circle through a target": Case(
        'variable "A" { default = target.a.dockerfile }\ntarget "a" { dockerfile = A }'
    ),
    "a circle of variables that nothing uses": Case(
        'variable "A" { default = B }\nvariable "B" { default = A }\ntarget "a" {}', differs=UNUSED, read={"a": {}}
    ),
    "a number that is given": Case(
        'variable "N" { default = 3 }\ntarget "a" { args = { A = N > 5 ? "many" : "few", N = N } }',
        variables={"N": "7"},
    ),
    "a number that is given and is none": Case(
        'variable "N" { default = 3 }\ntarget "a" { args = { N = N } }', variables={"N": "x"}
    ),
    "a truth value that is given": Case(
        'variable "B" { default = false }\ntarget "a" { args = { A = B ? "on" : "off" } }', variables={"B": "1"}
    ),
    "a null default": Case(
        'variable "N" { default = null }\ntarget "a" { args = { A = N == null ? "none" : N } }'
    ),
    "a null default that is given": Case(
        'variable "N" { default = null }\ntarget "a" { args = { A = N == null ? "none" : N } }', variables={"N": "x"}
    ),
    "a list that is given": Case(
        'variable "L" { default = ["x"] }\ntarget "a" { tags = L }', variables={"L": "y"}
    ),
    "a list that is given to nobody": Case(
        'variable "L" { default = ["x"] }\ntarget "a" {}', variables={"L": "y"}, differs=UNUSED, read={"a": {}}
    ),
    "null values": Case('target "a" {\n args = { A = null, B = "b" }\n labels = { L = null }\n}'),
    "nulls take nothing from the inherited": Case(
        'target "b" {\n args = { A = "1" }\n labels = { L = "1" }\n}\n'
        'target "a" {\n inherits = ["b"]\n args = { A = null }\n labels = { L = null }\n}'
    ),
    "a context of the working directory": Case('target "a" { context = "cwd://sub/../dir" }'),
    "the variable of the working directory": Case('target "a" { context = BAKE_CMD_CONTEXT }'),
    "a context below": Case('target "a" { context = "./x/" }'),
    "templates and escapes": Case('target "a" { args = { A = "$${x} %%{y} $z ${"q"}", B = "é\\n\\t\\"" } }'),
    "files share variables": Case(
        {
            "1.hcl": 'variable "X" { default = "one" }\ntarget "a" { args = { A = "${X}-${Y}" } }',
            "2.hcl": 'variable "X" { default = "two" }\nvariable "Y" { default = "y" }',
            "3.json": {"target": {"a": {"args": {"B": "${upper(X)}${length([1, 2]) > 1 ? 1 : 0}"}}}},
        }
    ),
    "operators and functions in JSON": Case(
        {
            "docker-bake.json": {
                "variable": {"V": {"default": "1.2.3"}, "L": {"default": ["x", "y"]}},
                "function": {"f": {"params": ["p"], "result": "${p}-${V}"}},
                "target": {
                    "a": {
                        "args": {
                            "ADD": "${1 + 2 * 3}",
                            "IF": '${V == "1.2.3" && !false ? upper("yes") : "no"}',
                            "FOR": '${join(",", [for x in L : "${x}${x}"])}',
                            "CALL": '${f("a")}',
                            "SPLIT": '${split(".", V)[1]}',
                            "DIRECTIVE": "%{ for x in L }<${x}>%{ endfor }",
                            "OTHER": "${target.b.dockerfile}",
                        },
                        "tags": '${[for x in L : "r/${x}"]}',
                    },
                    "b": {"dockerfile": "D"},
                },
            }
        }
    ),
    "files whose names say nothing": Case(
        {"1.foo": 'target "a" { context = "x" }', "2.bar": '{"target": {"a": {"target": "t"}}}'}
    ),
    "cached and attested by objects": Case(
        'target "a" {\n cache-from = [{ type = "registry", ref = "r/c" }]\n attest = [{ type = "sbom" }]\n'
        ' output = [{ type = "tar", dest = "x" }]\n secret = [{ id = "s", src = "f" }]\n}',
        differs=NEWER,
        read={
            "a": {
                "cache-from": ["type=registry,ref=r/c"],
                "attest": ["type=sbom"],
                "output": ["type=tar,dest=x"],
                "secret": ["id=s,src=f"],
            }
        },
    ),
    "several caches in a text": Case(
        'target "a" { cache-from = ["r/a,r/b"] }', differs=NEWER, read={"a": {"cache-from": ["r/a", "r/b"]}}
    ),
    "a type, from JSON": Case(
        'variable "M" {\n type = map(string)\n default = {}\n}\ntarget "a" { args = M }',
        variables={"M_JSON": '{"x": "1"}'},
        differs=NEWER,
        read={"a": {"args": {"x": "1"}}},
    ),
    "platforms of a base that has more": Case(
        'target "b" { platforms = ["linux/amd64", "linux/arm64", "linux/riscv64"] }\n'
        'target "a" {\n platforms = ["linux/amd64", "linux/arm64"]\n contexts = { b = "target:b" }\n}',
        differs=NEWER,
        read={"a": {"platforms": ["linux/amd64", "linux/arm64"]}},
    ),
    "networks, resources, entitlements": Case(
        'target "a" {\n network = "none"\n resources = { memory = "2g", cpu-shares = 1024 }\n'
        ' entitlements = ["network.host"]\n extra-hosts = { db = "10.0.0.1" }\n}',
        differs=NEWER,
        read={
            "a": {
                "network": "none",
                "resources": {"memory": "2g", "cpu-shares": "1024"},
                "entitlements": ["network.host"],
                "extra-hosts": {"db": "10.0.0.1"},
            }
        },
    ),
    "a group of nothing": Case(
        'group "a" { targets = [] }', differs="a release of nothing is a mistake", read=None
    ),
    "set on a parent": Case(
        'target "b" { args = { A = "1", B = "1" } }\ntarget "a" {\n inherits = ["b"]\n args = { B = "2" }\n}',
        sets=("b.args.A=set", "b.args.B=set"),
    ),
    "set twice by patterns": Case(
        'target "a" {\n tags = ["r/a"]\n}\ntarget "ab" {}', "a ab", sets=("a*.tags=r/1", "?.tags=r/2", "[a]b.target=t")
    ),
    "a context set to another": Case(
        'target "b" {}\ntarget "a" { contexts = { x = "target:b", y = "dir" } }', sets=("a.contexts.x=docker-image://i",)
    ),
    "a context removed": Case(
        'target "a" { contexts = { x = "dir", y = "dir" } }', sets=("a.contexts.x=",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case(tmp_path: Path, case: Case) -> None:
    files = case.text if isinstance(case.text, dict) else {"docker-bake.hcl": case.text}
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    asked = [*files], case.targets.split(), case.variables, case.sets
    theirs, mine = buildx(tmp_path, *asked), ours(tmp_path, *asked)
    theirs, mine = theirs and theirs["target"], mine and _unescaped(mine)
    if not case.differs:
        assert mine == theirs
        return
    assert mine != theirs, "the reason has gone"
    if case.read is None:
        assert mine is None
    for target, fields in (case.read or {}).items():
        assert mine is not None and mine[target].items() >= fields.items()
