"""Gates: what was verified is tested by its digest, before it is signed and before any tag points to it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_slipway.flows.gates import tested
from prefect_slipway.flows.gates.document import document_of
from prefect_slipway.flows.trust.verifying import verify_attested
from prefect_slipway.flows.values.plan import PlannedImage
from prefect_slipway.flows.values.result import BuiltImage, VerifiedImage
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import NotAttested, SignatureMalformed
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.signing.bundle import BUNDLE
from prefect_slipway.infra.signing.gate_result import GateResult
from prefect_slipway.infra.signing.keys import TrustedKeys, read_public_keys
from prefect_slipway.infra.signing.statement import TEST_RESULT
from tests.contract.registry.conftest import Fixed
from tests.images import Pusher
from tests.integration.release.keys import KEY, SIGNED, Place
from tests.releases import Traces, complaint, make_source, registry_login, result_of
from tests.waiting import PATIENCE_S, wait_until
from tests.warm import Ended, WarmStarter

PROBE = """\
import json, os, pathlib, stat, sys
folder = pathlib.Path(os.environ["DOCKER_CONFIG"])
seen = {
    "argv": sys.argv[1:],
    "env": {name: value for name, value in os.environ.items() if name.startswith("SLIPWAY_")},
    "secrets": [name for name in os.environ if name.startswith(("VAULT_", "BAO_", "PREFECT_", "ACTIONS_"))],
    "folder": str(folder),
    "modes": [oct(stat.S_IMODE(path.stat().st_mode)) for path in (folder, folder / "config.json")],
    "auths": list(json.loads((folder / "config.json").read_text())["auths"]),
}
pathlib.Path(os.environ["SEEN"]).write_text(json.dumps(seen))
print("password", json.loads((folder / "config.json").read_text())["auths"].popitem()[1]["password"])
print("\\x1b]0;owned\\x07from \\u202ethe gate")
"""


def image_of(traces: Traces, source: Path) -> str:
    return f"{traces.connection.registry}/{source.name}"


def python(folder: Path, text: str) -> str:
    """A command line that runs a program."""
    program = folder / "gate.py"
    program.write_text(text)
    return f"{sys.executable} {program}"


def versions(traces: Traces, name: str) -> list[str]:
    """The tags that people see."""
    return [tag for tag in traces.tags(name) if not tag.startswith("sha256-")]


def error_of(ended: Ended) -> Mapping[str, Any]:
    error: Mapping[str, Any] = json.loads(ended.stdout)["error"]
    return error


def test_a_command_is_given_the_image_by_its_digest(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """With the credential in a private folder that is gone afterwards; its output is recorded, without the password
    and without what a terminal would obey."""
    source = make_source(tmp_path / "app-gated")
    seen_by = tmp_path / "seen.json"
    gate = f"probe: {python(tmp_path, PROBE)} $SLIPWAY_GATE_REFERENCE ${{SLIPWAY_GATE_VERSION}} $HOME"
    planned = commands.run("plan", source, "--gate", gate)
    assert "let it pass the gates probe (command), before it has a tag" in planned.stdout
    there = {"SEEN": str(seen_by), "BAO_TOKEN": "of the run", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job"}
    ended = commands.run("release", source, "--gate", gate, "--format", "json", env=there)
    result = result_of(ended)
    assert ended.stderr.index("> verify") < ended.stderr.index("> gates") < ended.stderr.index("> tag")
    reference = f"{image_of(traces, source)}@{result['digest']}"
    (answer,) = result["gates"]
    assert (answer["gate"], answer["outcome"], answer["image"]) == ("probe", "passed", reference)
    assert answer["seconds"] > 0

    seen = json.loads(seen_by.read_text())
    assert seen["argv"] == [reference, "0.1.0", "$HOME"]
    assert seen["secrets"] == []
    assert seen["env"].pop("SLIPWAY_GATE_REPORT").startswith(str(traces.connection.home))
    ((platform, digest),) = result["platforms"].items()
    assert seen["env"] == {
        "SLIPWAY_GATE": "probe",
        "SLIPWAY_GATE_REFERENCE": reference,
        "SLIPWAY_GATE_REPOSITORY": image_of(traces, source),
        "SLIPWAY_GATE_DIGEST": result["digest"],
        "SLIPWAY_GATE_VERSION": "0.1.0",
        "SLIPWAY_GATE_PLATFORMS": f"{platform}={digest}",
        "SLIPWAY_GATE_PLAIN_HTTP": "1",
    }
    assert (seen["modes"], seen["auths"]) == (["0o700", "0o600"], [traces.connection.registry])
    assert not Path(seen["folder"]).exists()
    traces.assert_nothing_left()

    log = "\n".join(traces.log(result["flow_run_id"]))
    assert "probe: password ***" in log and "probe: from the gate" in log
    _, password = registry_login(traces.connection)
    for shown in (log, ended.stderr, traces.report(result["flow_run_id"])):
        assert password not in shown and "\u202e" not in shown and "]0;owned" not in shown
    assert "## Gates" in traces.report(result["flow_run_id"])


@pytest.mark.parametrize(
    ("gate", "options", "cause", "words"),
    [
        ("smoke: sh -c 'echo it does not start; exit 3'", (), "GateFailed", ["exit code 3", "| it does not start"]),
        ("slow: sh -c 'sleep 600 & sleep 600'", ("--gate-timeout-s", "1"), "GateTimedOut", ["no answer within 1 s"]),
        ("killed: sh -c 'kill -9 $$'", (), "GateFailed", ["ended by signal 9"]),
    ],
)
def test_a_gate_that_does_not_let_the_image_pass(
    commands: WarmStarter,
    traces: Traces,
    tmp_path: Path,
    gate: str,
    options: tuple[str, ...],
    cause: str,
    words: list[str],
) -> None:
    """A cause of its own; nothing is public, what was pushed is named, and its version is free."""
    source = make_source(tmp_path / f"app-{gate.partition(':')[0]}")
    ended = commands.run("release", source, "--gate", gate, *options, "--format", "json")
    complaint(ended)
    error = error_of(ended)
    assert error["cause"] == cause
    said = "\n".join([error["message"], *error["details"]])
    for each in words:
        assert each in said
    assert f"{image_of(traces, source)}@sha256:" in said and "was pushed and has no tag" in said
    assert "> tag" not in ended.stderr and "> sign" not in ended.stderr
    assert traces.tags(source.name) == []
    reports = "\n".join(traces.reports(source.name))
    assert cause in reports and "## Gates" in reports and f"{image_of(traces, source)}@sha256:" in reports
    traces.assert_nothing_left()
    assert result_of(commands.run("release", source, "--format", "json"))["version"] == "0.1.0"


def test_gates_run_side_by_side_and_all_are_told(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Each waits for the other, so neither could pass alone; and a gate that fails does not hide what another finds."""
    source = make_source(tmp_path / "app-beside")
    one, other = tmp_path / "one", tmp_path / "other"
    wait = "touch {}; while [ ! -e {} ]; do sleep 0.1; done"
    gates = (f"one: sh -c '{wait.format(one, other)}'", f"other: sh -c '{wait.format(other, one)}; exit 80'")
    ended = commands.run("release", source, "--gate", gates[0], "--gate", gates[1], "--format", "json")
    assert [each["outcome"] for each in result_of(ended)["gates"]] == ["passed", "warned"]
    failing = ("--gate", "a: sh -c 'exit 1'", "--gate", "b: sh -c 'sleep 1; exit 2'")
    error = error_of(commands.run("release", source, "--again", *failing, "--format", "json"))
    assert error["message"] == "2 gates did not let the image pass: a, b"


@pytest.mark.parametrize(
    ("gate", "cause"),
    [
        ("scan: no-such-scanner image", "GateMissing"),
        ("deployment:no-such/flow", "GateMissing"),
        ("policy:/nowhere/rules.rego", "GateMissing"),
        ("policy:source:rules.rego", "GateMissing"),
        ("policy:source:../rules.rego", "InvalidOption"),
        ("nothing", "InvalidOption"),
    ],
)
def test_what_a_gate_needs_is_missed_before_anything_is_built(
    commands: WarmStarter, traces: Traces, tmp_path: Path, gate: str, cause: str
) -> None:
    """By name, and no version is used."""
    source = make_source(tmp_path / "app-missing")
    ended = commands.run("release", source, "--gate", gate, "--format", "json")
    assert ended.code in {1, 2}
    assert error_of(ended)["cause"] == cause
    assert "> build" not in ended.stderr
    assert traces.tags(source.name) == []


RULES = """\
package main

deny contains {"id": "title", "msg": "the label is missing"} if {
	some each in input.platforms
	not each.labels["org.example.owner"]
}

deny contains "an SBOM is missing" if input.size > 1000000000000

warn contains sprintf("%s runs as root", [each.platform]) if {
	some each in input.platforms
	each.user == ""
}
"""

WAIVER = """\
[[waiver]]
gate = "rules"
finding = "{finding}"
by = "anna@example.com"
reason = "its owner is not known yet"
until = {until}
"""


def day(days: int) -> str:
    return f"{datetime.now(UTC).date() + timedelta(days=days):%Y-%m-%d}"


def test_a_policy_decides_over_what_the_registry_has(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """What it denies fails the release by its message, what it warns of does not; its file may begin with a byte order
    mark."""
    rules = tmp_path / "rules.rego"
    rules.write_text(RULES, encoding="utf-8-sig")
    source = make_source(tmp_path / "app-denied")
    gate = ("--gate", f"policy:{rules}", "--format", "json")
    error = error_of(commands.run("release", source, *gate))
    assert (error["cause"], error["message"]) == ("GateFailed", "the gate 'rules' failed: 1 denied")
    assert "  title: the label is missing" in error["details"]
    result = result_of(commands.run("release", source, *gate, "--label", "org.example.owner=team"))
    (answer,) = result["gates"]
    assert answer["outcome"] == "warned" and answer["warned"][0].endswith("runs as root")

    rules.write_text("package main\n\ndeny contains x if {\n")
    error = error_of(commands.run("release", source, "--again", *gate))
    assert error["cause"] == "GateFailed" and "cannot be evaluated" in error["message"]
    assert any(f"{rules}:3" in line for line in error["details"])


@pytest.mark.parametrize("kind", ["https://spdx.dev/Document", "https://slsa.dev/provenance/v1", "https://x.example/"])
async def test_a_policy_is_not_asked_about_what_nobody_could_read(traces: Traces, kind: str) -> None:
    """An SBOM that is too large looked like none, and a policy about packages had nothing to deny."""
    host, login = str(traces.connection.registry), registry_login(traces.connection)
    name = f"too-large-{len(kind)}"
    with Pusher(host, name, login) as pusher:
        image = pusher.image()
        about = [{"digest": {"sha256": image["digest"].partition(":")[2]}}]
        statement = {"predicateType": kind, "subject": about, "predicate": {"packages": [{"name": "log4j"}]}}
        stated = pusher.attestation(image, large=(kind, json.dumps(statement).encode() + b" " * (32 << 20)))
        index = pusher.index("1.0.0", children=[(image, "linux/amd64"), (stated, "unknown/unknown")])
    planned = PlannedImage("app", f"{host}/{name}")
    verified = VerifiedImage(BuiltImage(planned, index["digest"]), index["mediaType"], 0, 0)
    asked = tested.TestedImage(verified, "1.0.0", insecure=True)
    async with RegistryClient(host, Fixed(Credential(*login)), insecure=True, ca_file=None) as client:
        if "x.example" in kind:
            document = await document_of(client, asked)
            assert document["platforms"][0]["packages"] is None
        else:
            with pytest.raises(SignatureMalformed, match=f"of {image['digest']} cannot be read: .* more than"):
                await document_of(client, asked)


def test_a_waiver_lets_a_finding_pass_until_it_ends(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """A file in the source counts only if who runs the release names it. A week before it ends there is a warning;
    afterwards the gate fails again."""
    source = make_source(tmp_path / "app-waived")
    (source / "rules.rego").write_text(RULES)
    waivers = source / ".slipway" / "waivers.toml"
    waivers.parent.mkdir()
    waivers.write_text(WAIVER.format(finding="title", until=day(30)))
    gate = ("--gate", "policy:source:rules.rego", "--format", "json")
    used = ("--waivers", "source:.slipway/waivers.toml")
    assert error_of(commands.run("release", source, *gate))["cause"] == "GateFailed"
    result = result_of(commands.run("release", source, *gate, *used))
    (answer,) = result["gates"]
    assert (answer["outcome"], result["warnings"]) == ("warned", [])
    (waiver,) = answer["waivers"]
    assert (waiver["finding"], waiver["by"], waiver["until"]) == ("title", "anna@example.com", day(30))
    assert "anna@example" in traces.report(result["flow_run_id"]).replace("\u2060", "").replace("\\", "")

    waivers.write_text(WAIVER.format(finding="*", until=day(3)))
    result = result_of(commands.run("release", source, "--again", *gate, *used))
    (warning,) = result["warnings"]
    assert warning.endswith(f"ends on {day(3)}")

    waivers.write_text(WAIVER.format(finding="title", until=day(-1)))
    ended = commands.run("release", source, "--again", *gate, *used)
    assert error_of(ended)["cause"] == "GateFailed"
    assert f"ended on {day(-1)}: it no longer counts" in ended.stderr + "\n".join(traces.reports(source.name))

    waivers.write_text(WAIVER.format(finding="title", until='"some day"'))
    assert error_of(commands.run("release", source, "--again", *gate, *used))["cause"] == "WaiverInvalid"


def test_what_a_hostile_gate_writes_is_harmless(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Endless output, a report that is a link to a file of this machine, one that expands, and one that claims to be a
    scanner's."""
    source = make_source(tmp_path / "app-hostile")
    write = "import os; open(os.environ['SLIPWAY_GATE_REPORT'], 'w').write({!r})"
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]><testsuite><testcase name="&b;"/></testsuite>'
    sarif = json.dumps(
        {"runs": [{"results": [{"ruleId": "\x1b[2J| x |\n# CVE", "level": "error", "message": {"text": "[a](b)"}}]}]}
    )
    gates = (
        "loud: sh -c 'yes | head -c 9000000; head -c 3000000 /dev/zero'",
        "link: sh -c 'ln -s /etc/passwd $SLIPWAY_GATE_REPORT'",
        f"bomb: {python(tmp_path, write.format(bomb))}",
    )
    (tmp_path / "sarif").mkdir()
    program = python(tmp_path / "sarif", write.format(sarif))
    options = [word for gate in (*gates, f"sarif: {program}") for word in ("--gate", gate)]
    result = result_of(commands.run("release", source, *options, "--format", "json"))
    loud, link, expanding, scanner = result["gates"]
    assert [each["outcome"] for each in (loud, link, expanding)] == ["passed"] * 3
    assert (link["report"], expanding["report"], scanner["report"]) == ("", "text/plain", "application/sarif+json")
    assert scanner["warned"] == ["| x | # CVE: [a](b)"]
    assert "root:" not in traces.report(result["flow_run_id"])
    (report,) = (each for each in traces.reports(source.name) if "## Gates" in each)
    assert "\n# CVE" not in report and "[a](b)" not in report
    assert sum(map(len, traces.log(result["flow_run_id"]))) < 3_000_000


def test_gates_are_signed_with_the_image_once(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """Killed between gates, signature and tag, and the same command again: one tag, and each gate's answer once, as
    cosign verifies it, too. The waiver is in it."""
    source = make_source(tmp_path / "app-attested")
    (source / "rules.rego").write_text(RULES)
    (source / "waivers.toml").write_text(WAIVER.format(finding="title", until=day(30)))
    image = image_of(traces, source)
    gates = (
        *("--gate", "policy:source:rules.rego", "--gate", "smoke: sh -c 'echo {} > $SLIPWAY_GATE_REPORT'"),
        *("--gate", "long: sh -c 'head -c 16777217 /dev/zero > $SLIPWAY_GATE_REPORT'"),
    )
    options = ("--image", image, *gates, "--waivers", "source:waivers.toml", *SIGNED, *place.credentials)
    for moment in ("> gates", "> sign", "> tag"):
        command = commands.start("release", source, *options, env=place.env)
        command.until(moment)
        command.kill()
        command.end()
    result = result_of(commands.run("release", source, *options, env=place.env))
    again = result_of(commands.run("release", source, *options, "--version", "0.1.0", env=place.env))
    assert (result["version"], again["digest"]) == ("0.1.0", result["digest"])
    assert versions(traces, source.name) == ["0.1.0"]

    pem = tmp_path / "release.pem"
    pem.write_text(commands.run("key", KEY, env=place.env).stdout)
    trusted = TrustedKeys(read_public_keys(pem.read_text(), str(pem)))
    found = asyncio.run(_results(traces, f"{image}@{result['digest']}", trusted))
    assert [(each.gate, each.answer) for each in found] == [
        ("long", "PASSED"),
        ("rules", "WARNED"),
        ("smoke", "PASSED"),
    ]
    long, rules, smoke = found
    assert [each.by for each in rules.waivers] == ["anna@example.com"] and "title" in rules.warned
    assert smoke.report is not None and smoke.report.content == b"{}\n"
    assert long.report is None  # more than is read: nothing is stated about a part
    for digest in result["platforms"].values():
        with pytest.raises(NotAttested):
            asyncio.run(_results(traces, f"{image}@{digest}", trusted))

    root = tmp_path / "root.json"
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    user, password = registry_login(traces.connection)
    cosign = ["cosign", "verify-attestation", "--key", str(pem), "--insecure-ignore-tlog", "--allow-http-registry"]
    cosign += ["--new-bundle-format", "--trusted-root", str(root), "--type", TEST_RESULT]
    login = ["--registry-username", user, "--registry-password", password]
    shown = subprocess.run(
        [*cosign, *login, f"{image}@{result['digest']}"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert shown.returncode == 0, shown.stderr


async def _results(traces: Traces, reference: str, trusted: TrustedKeys) -> list[GateResult]:
    image = ImageReference.parse(reference)
    credential = Credential(*registry_login(traces.connection))

    class Known:
        async def credential(self, host: str) -> Credential:
            return credential

    async with RegistryClient(image.api_host, Known(), insecure=True, ca_file=None) as client:
        store = Referrers(client, image.repository, BUNDLE)
        found = await verify_attested(image, TEST_RESULT, trusted, referrers=store)
    return sorted((GateResult.read(each.statement.predicate) for each in found), key=lambda each: each.gate)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_interrupted_gate_ends_with_the_release(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """With all that it has started; its version is free."""
    source = make_source(tmp_path / "app-interrupted")
    pid = tmp_path / "pid"
    gate = f"long: sh -c 'sleep 1000 & echo $! > {pid}; echo waiting; wait'"
    command = commands.start("release", source, "--gate", gate)
    command.until("long: waiting")
    command.signal(signal.SIGINT)
    assert command.end().code == 130
    child = int(pid.read_text())
    wait_until(lambda: not lives(child))
    assert traces.tags(source.name) == []
    traces.assert_nothing_left()
