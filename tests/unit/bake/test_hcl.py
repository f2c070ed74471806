"""docker-bake.hcl is read as `docker buildx bake --print` reads it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.bake.bakefile import read_bake_files
from prefect_slipway.flows.bake.bounds import bounded
from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import choose
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption
from tests.unit.bake.test_against_buildx import alike

WHOLE = r"""
# a comment
variable "TAG" { default = "latest" } // another
variable "REPO" {
  default = "reg.example/team"
  /* of
     several lines */
}
variable "N" { default = 5 }
variable "PLATFORMS" { default = ["linux/amd64", "linux/arm64"] }
variable "EMPTY" {}
next = N + 1

function "tag" {
  params = [name]
  result = ["${REPO}/${name}:${TAG}", notequal(TAG, "latest") ? "${REPO}/${name}:x" : ""]
}
function "all" {
  params = []
  variadic_params = words
  result = join("-", words)
}
group "default" { targets = ["app", "matrix"] }
target "_base" {
  dockerfile = "b.Dockerfile"
  args = { N = next, "quoted key" = "a\tb\"c\u00e9", (REPO) = 1.50, NOTHING = null }
  labels = {
    a = "1", b: "2"
    c = EMPTY
  }
}
target "app" {
  inherits = ["_base"]
  tags = tag("app")
  args = {
    BASE = target._base.dockerfile
    ALL = all("a", "b", PLATFORMS...)
    LOWER = lower(upper("Ab")) == "ab" && !(N > 6 || N <= 2) ? "yes" : "no"
    HEREDOC = <<EOT
hello ${TAG} $${no} %%{no}
  "quoted" \n
EOT
    DEDENTED = <<-EOT
      one
        two
      EOT
    FOR = join(",", [for p in PLATFORMS : replace(p, "/", "-") if p != "linux/arm64"])
    PAIRS = join(",", [for i, p in PLATFORMS : "${i}=${p}"])
    OBJECT = jsonencode({ for k, v in { b = 2, a = 1 } : upper(k) => v * 10 })
    GROUPED = jsonencode({ for p in ["a1", "b1", "a2"] : substr(p, 0, 1) => p... })
    SPLAT = join(",", [{ n = "x" }, { n = "y" }][*].n)
    SPLAT2 = join(",", [{ n = { m = "x" } }].*.n.m)
    IF = "%{ if N > 3 }many%{ else }few%{ endif }."
    TRIM = "a ${~ TAG ~} b %{~ for p in PLATFORMS ~} [${p}] %{~ endfor ~} c"
    MODULO = (7 % 3) * -2 + 10 / 4
    INDEX = PLATFORMS[1]
    LEGACY = PLATFORMS.0
    TRY = try(nosuch.thing, "fallback")
    CAN = can(regex("^[0-9]+$", TAG))
  }
  contexts = { b = "target:_base" }
  platforms = PLATFORMS
  no-cache = N > 3
}
target "matrix" {
  name = "m-${v.name}-${replace(go, ".", "-")}"
  matrix = {
    v = [{ name = "a", t = "x" }, { name = "b", t = "y" }]
    go = ["1.21", "1.22"]
  }
  target = v.t
  args = { GO = go }
}
"""


@pytest.mark.parametrize("variables", [{}, {"TAG": "1.2.3", "N": "7", "REPO": "r"}], ids=["defaults", "given"])
def test_a_whole_file(tmp_path: Path, variables: dict[str, str]) -> None:
    found = alike(tmp_path, {"docker-bake.hcl": WHOLE}, "app", "matrix", **variables)
    assert found["target"]["app"]["args"]["FOR"] == "linux-amd64"


def test_files_of_both_forms_over_each_other(tmp_path: Path) -> None:
    """They share variables and functions; the later one wins."""
    over = 'variable "TAG" { default = "over" }\ntarget "app" {\n  args = { X = tag("x")[0] }\n  platforms = []\n}\n'
    more: dict[str, Any] = {"target": {"app": {"labels": {"t": "${TAG}", "f": '${tag("y")[0]}'}}}}
    files: dict[str, Any] = {"docker-bake.hcl": WHOLE, "more.json": more, "over.hcl": over}
    assert alike(tmp_path, files, "app")["target"]["app"]["labels"]["t"] == "over"


CALLS = (
    "absolute(-3)", "add(1, 2)", "and(true, false)", 'base64decode("aGk=")', 'base64encode("hi")', "ceil(1.2)",
    'chomp("a\\n\\n")', 'jsonencode(chunklist(["a", "b", "c"], 2))', 'coalesce("a", "b")',
    'jsonencode(coalescelist([], ["a"]))', 'jsonencode(compact(["a", "", "b"]))', 'jsonencode(concat(["a"], ["b"]))',
    'contains(["a"], "a")', 'jsonencode(csvdecode("a,b\\n1,2\\n"))', 'jsonencode(distinct(["a", "b", "a"]))',
    "divide(10, 4)", 'element(["a", "b"], 3)', 'equal("a", "a")', 'jsonencode(flatten([["a"], [["b"]]]))',
    "floor(1.8)", 'format("%s-%03d-%v-%q-%t-%x-%.2f", "a", 5, 1.5, "q", true, 255, 1.005)',
    'format("%-5s|%5s", "a", "b")',
    'jsonencode(formatlist("%s:%s", ["a", "b"], "t"))', "greaterthan(2, 1)", "greaterthanorequalto(1, 1)",
    'hasindex(["a"], 0)', 'indent(2, "a\\nb")', 'index(["a", "b"], 1)', "int(3.7)", "int(-3.7)",
    'join("-", ["a", "b"], ["c"])', 'jsondecode("{\\"a\\": [1, 2.5]}").a[1]',
    'jsonencode({ b = "<&>", a = [1, 2.5, true, null] })', 'jsonencode(keys({ b = 1, a = 2 }))', 'length(["a", "b"])',
    "lessthan(1, 2)", "lessthanorequalto(1, 2)", 'lookup({ a = "x" }, "b", "d")', 'lower("AB")', "max(1, 3, 2)",
    'md5("a")', 'jsonencode(merge({ a = 1 }, { b = 2, a = 3 }))', "min(3, 1, 2)", "modulo(7, 3)", "multiply(2, 3)",
    "negate(3)", "not(true)", 'notequal("a", "b")', "or(true, false)", 'parseint("ff", 16)', "pow(2, 10)",
    "jsonencode(range(3))", "jsonencode(range(1, 8, 3))", "jsonencode(range(3, 0))", 'regex("[a-z]+", "12ab")',
    'jsonencode(regex("(?P<n>[a-z])(?P<d>[0-9])", "a1"))', 'jsonencode(regexall("[a-z]", "a1b"))',
    'regex_replace("a1b2", "([a-z])([0-9])", "$2$1")', 'replace("a.b.c", ".", "-")', 'reverse("abc")',
    'jsonencode(reverselist(["a", "b"]))', 'sethaselement(["a"], "a")',
    'jsonencode(setintersection(["b", "a"], ["a", "c"]))', 'jsonencode(setproduct(["a", "b"], ["x"]))',
    'jsonencode(setsubtract(["b", "a"], ["a"]))', 'jsonencode(setunion(["b"], ["a", "b"]))', 'sha1("a")', 'sha256("a")',
    'sha512("a")', "signum(-4)", 'jsonencode(slice(["a", "b", "c"], 1, 2))', 'jsonencode(sort(["b", "a"]))',
    'jsonencode(split(",", "a,b"))', 'strlen("äb")', 'substr("hello", 1, 3)', 'substr("hello", -2, -1)',
    "subtract(5, 2)",
    'title("hello wide world")', 'trim("xxaxx", "x")', 'trimprefix("v1", "v")', 'trimspace("  a ")',
    'trimsuffix("a.go", ".go")', 'upper("ab")', 'urlencode("a b/c?d=e")', 'jsonencode(values({ b = 1, a = 2 }))',
    'jsonencode(zipmap(["a", "b"], [1, 2]))', "1 / 3 > 0.3", '"a" == "a" ? 1 : 2', "true ? null : 1", "!false",
    '"${1 + 1}"', '"x${true}"', '{ a = { b = ["c"] } }.a.b[0]', '{ a = "x" }["a"]', '[for k, v in { a = 1 } : k][0]',
    'element([], 0)', 'pow("x", 2)', 'nosuch("a")', 'slice(["a"], 1, 3)', 'jsondecode("{")', 'regex("a", "b")',
    "[1, 2][5]", "{}.a", "NOBODY", '"${["a"]}"', "1 + true", '!"x"', "target.nobody.args", "parseint(\"zz\", 10)",
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_functions_and_operators(tmp_path: Path, call: str) -> None:
    """Each gives what buildx gives, or is refused as buildx refuses it."""
    alike(tmp_path, {"docker-bake.hcl": f'target "default" {{\n  args = {{ A = {call} }}\n}}\n'})


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ('sanitize("a.b/c d")', "a_b_c_d"),
        ('indexof(["a", "b"], "b")', "1"),
        ('basename("/a/b.txt")', "b.txt"),
        ('dirname("/a/b.txt")', "/a"),
        ('semvercmp("1.10.0", ">=1.9.0")', "true"),
        ('semvercmp("v2.0.0", ">=1.9, <2.0")', "false"),
        ('semvercmp("1.2.3-beta", ">1.0")', "false"),
        ('semvercmp("1.2.3-beta", ">1.0-0")', "true"),
        ('semvercmp("1.3.0", "~1.2")', "false"),
        ('semvercmp("1.3.0", "^1.2")', "true"),
        ('semvercmp("0.3.0", "^0.2.1")', "false"),
        ('semvercmp("1.2.9", "1.2.x")', "true"),
        ('semvercmp("2.0.0", "1.0 - 2.0")', "true"),
        ('semvercmp("3.1.0", ">1 <2 || >3.0")', "true"),
        ('element(["a", "b"], -1)', "b"),
        ("jsonencode(chunklist([], 2))", "[]"),
        ('jsonencode(setsymmetricdifference(["a", "b"], ["b", "c"]))', '["a","c"]'),
        ('title("it\'s a-b_c")', "It'S A-B_c"),
        ('upper("straße")', "STRAßE"),
    ],
)
def test_functions_of_newer_versions(tmp_path: Path, call: str, value: str) -> None:
    """bake/hclparser/stdlib.go of buildx 0.28; the installed one may not know them."""
    assert read(tmp_path, f'target "default" {{\n  args = {{ A = {call} }}\n}}\n').args == {"A": value}


@pytest.mark.parametrize(
    "text",
    [
        'target "a" {',
        'target "a" }',
        'target "a" { args = { A = } }',
        'target "a" { tags = ["x"',
        'target "a" { tags = ["x"] tags = ["y"] }',
        'target "a" {\n tags = ["x"]\n tags = ["y"]\n}',
        'target "a" { args = { A = "x } }',
        "target = 1 2",
        "= 1",
        'variable "A" { default = A }\ntarget "a" { args = { X = A } }',
        'variable "A" { default = B }\nvariable "B" { default = A }\ntarget "a" { args = { X = A } }',
        'target "a" { args = { X = target.a.args.X } }',
        'function "f" { params = [x] }\ntarget "a" {}',
        'function "f" {\n params = [x]\n result = x\n}\ntarget "a" { args = { X = f() } }',
        'function "f" {\n params = []\n result = f()\n}\ntarget "a" { args = { X = f() } }',
        'target "a" {\n matrix = { i = ["x", "y"] }\n}',
        'target "a" {\n args = { A = <<EOT\nnever ends\n }\n}',
        'target "a" { args = { A = "%{ if true }x" } }',
    ],
)
def test_what_buildx_refuses_is_refused(tmp_path: Path, text: str) -> None:
    assert alike(tmp_path, {"docker-bake.hcl": text}, "a") is None


def read(folder: Path, text: str, **variables: str) -> Any:
    (folder / "docker-bake.hcl").write_text(text)
    return choose(read_folder(Places.of(folder, None, ()), [], variables), []).targets["default"]


def test_types_of_variables(tmp_path: Path) -> None:
    """As of buildx 0.24, which the installed one may not know: a value that is given is read as its type."""
    text = (
        'variable "L" {\n  type = list(string)\n  default = ["a"]\n}\nvariable "N" { type = number }\n'
        'variable "B" {\n  type = bool\n  default = false\n}\n'
        'target "default" {\n  args = { L = join("+", L), N = N + 1, B = B ? "on" : "off" }\n}\n'
    )
    assert read(tmp_path, text, N="4").args == {"L": "a", "N": "5", "B": "off"}
    assert read(tmp_path, text, L='x,"y,z"', N="4", B="1").args == {"L": "x+y,z", "N": "5", "B": "on"}
    with pytest.raises(InvalidOption, match="N is a number"):
        read(tmp_path, text, N="four")


NESTED = """
variable "O" {
  type = object({
    name  = string, ports = list(number)  # of the service
    more  = optional(map(list(string)))
  })
  default = { name = "a", ports = ["1"], other = true }
}
variable "T" {
  type = tuple([string, number])
  default = ["a", "1"]
}
target "default" { args = { O = jsonencode(O), T = jsonencode(T) } }
"""


def test_nested_types_of_variables(tmp_path: Path) -> None:
    """Objects have their fields and no others, tuples their length."""
    assert read(tmp_path, NESTED).args == {"O": '{"more":null,"name":"a","ports":[1]}', "T": '["a",1]'}
    given = read(tmp_path, NESTED, O_JSON='{"name": "b", "ports": [], "more": {"x": ["y"]}}', T="b,2")
    assert given.args == {"O": '{"more":{"x":["y"]},"name":"b","ports":[]}', "T": '["b",2]'}
    for name, value, said in (
        ("O_JSON", '{"name": "b"}', "O is an object"),
        ("T_JSON", '["b"]', "T is a tuple"),
        ("T_JSON", '["b", "c"]', "T is a number"),
    ):
        with pytest.raises(InvalidOption, match=said):
            read(tmp_path, NESTED, **{name: value})
    deep = "list(" * 50 + "string" + ")" * 50
    for kind in (
        "object({ a })",
        "tuple(string)",
        "list",
        "list(string",
        "list(strin)",
        "map()",
        "(",
        "string string",
        deep,
    ):
        with pytest.raises(InvalidOption):
            read(tmp_path, f'variable "X" {{ type = {kind}\n }}\ntarget "default" {{}}')


def test_a_validation(tmp_path: Path) -> None:
    text = (
        'variable "X" {\n  default = "a"\n  validation {\n    condition = X != ""\n    error_message = "empty"\n  }\n'
        '  validation {\n    condition = strlen(X) < 3\n    error_message = "${X} is too long"\n  }\n}\n'
        'target "default" {\n  args = { X = X }\n}\n'
    )
    assert read(tmp_path, text).args == {"X": "a"}
    with pytest.raises(InvalidOption, match="abcd is too long"):
        read(tmp_path, text, X="abcd")
    with pytest.raises(InvalidOption, match="empty"):
        read(tmp_path, text, X="")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("timestamp()", "no function timestamp"),
        ("uuidv4()", "no function uuidv4"),
        ("homedir()", "no function homedir"),
    ],
)
def test_what_differs_from_run_to_run_is_not_there(tmp_path: Path, call: str, said: str) -> None:
    """A release is recognized by what it is made of."""
    with pytest.raises(InvalidOption, match=said):
        read(tmp_path, f'target "default" {{\n  args = {{ A = {call} }}\n}}\n')


@pytest.mark.parametrize(
    "text",
    [
        "args = { A = " + "(" * 5000 + "1" + ")" * 5000 + " }",
        "args = { A = " + "[" * 5000 + "]" * 5000 + " }",
        "args = { A = " + "!" * 5000 + "true }",
        "args = { A = " + "-" * 5000 + "1 }",
        'args = { A = "' + "%{ if true }" * 5000 + '" }',
        "args = { A = range(100000000)[0] }",
        "args = { A = pow(10, 1000000000) }",
        'args = { A = format("%999999999s", "x") }',
        "args = { A = " + " + ".join(["1"] * 3000) + " }",
        'args = { A = join("", [for a in range(1000) : join("", [for b in range(1000) : join("", '
        '[for c in range(1000) : "xxxxxxxxxx"])])]) }',
        "args = { A = length([for a in range(1024) : [for b in range(1024) : [for c in range(1024) : c]]]) }",
        "args = { A = length(setproduct(range(1024), range(1024), range(1024))) }",
        'args = { A = replace(join("", [for a in range(1000) : "xxxxxxxxxxxxxxxxxxxx"]), "x", '
        'join("", [for a in range(1000) : "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"])) }',
    ],
)
def test_bombs(tmp_path: Path, text: str) -> None:
    """Refused, or computed, in little time and memory."""
    with suppress(InvalidOption):
        read(tmp_path, f'target "default" {{\n  {text}\n}}\n')


@pytest.mark.parametrize("value", ["x", ""])
def test_functions_that_call_each_other_too_often(tmp_path: Path, value: str) -> None:
    """Twice each, forty deep, whether or not anything comes of it."""
    functions = "".join(
        f'function "f{n}" {{\n  params = [x]\n  result = "${{f{n + 1}(x)}}${{f{n + 1}(x)}}"\n}}\n' for n in range(40)
    )
    last = 'function "f40" {\n  params = [x]\n  result = x\n}\n'
    with pytest.raises(InvalidOption, match="million characters"):
        read(tmp_path, f'{functions}{last}target "default" {{\n  args = {{ A = f0("{value}") }}\n}}\n')


def test_targets_that_use_each_other_too_often(tmp_path: Path) -> None:
    chain = "".join(
        f'target "t{n}" {{\n  args = {{ A = "${{target.t{n + 1}.args.A}}${{target.t{n + 1}.args.A}}" }}\n}}\n'
        for n in range(40)
    )
    with pytest.raises(InvalidOption, match="million characters"):
        read(tmp_path, f'{chain}target "t40" {{\n  args = {{ A = "" }}\n}}\n')


@given(st.text(max_size=60) | st.text(alphabet='{}[]()"=.$%~<\n ,:?!abfor inEOT10*', max_size=60))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    for whole in (text, f'target "a" {{\n  args = {{ A = {text} }}\n}}\n'):
        with suppress(InvalidOption), bounded():
            read_bake_files([("docker-bake.hcl", whole)], {})


MANY = """
variable "A" { default = join(",", range(1000)) }
variable "B" { default = [for i, x in split(",", join(",", [A, A, A, A, A, A, A, A, A, A, A, A])): "${i}-${x}"] }
"""


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("length(setsubtract(B, B))", "0"),
        ("length(setintersection(B, B))", "12000"),
        ("length(setsymmetricdifference(B, B, B))", "12000"),
        ("length([for each in B: each if contains(B, each)])", None),
    ],
)
def test_long_lists_take_no_quadratic_time(tmp_path: Path, expression: str, found: str | None) -> None:
    """Each is computed at once, or refused."""
    text = f'{MANY}target "default" {{\n  args = {{ A = {expression} }}\n}}\n'
    if found is None:
        with pytest.raises(InvalidOption, match="million characters or steps"):
            read(tmp_path, text)
    else:
        assert read(tmp_path, text).args["A"] == found
