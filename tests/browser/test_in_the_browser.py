"""What people see of releases in Prefect's UI, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from prefect_slipway.flows.reporting.artifact_keys import history_key, key_of
from prefect_slipway.flows.request.release import ReleaseRequest
from tests import patient
from tests.browser.conftest import VIEWPORT
from tests.conftest import Run, RunningStack
from tests.git_repository import commit, git
from tests.integration.worker.conftest import worker
from tests.releases import DOCKERFILE, Traces, complaint, make_source, result_of, run_line
from tests.warm import WarmStarter

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def released(commands: WarmStarter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A release with a step that takes its time and has more to say than a screen holds."""
    step = run_line("for n in $(seq 60); do echo line $n; done; sleep 1")
    source = make_source(tmp_path_factory.mktemp("seen") / "seen", DOCKERFILE + step)
    return result_of(commands.run("release", source, "--format", "json"))


def _latest(stack: RunningStack, key: str) -> str:
    """The id of the newest artifact under a key."""
    query = {"artifacts": {"key": {"any_": [key]}}}
    found = patient.post(f"{stack.connection.prefect_api_url}/artifacts/latest/filter", json=query)
    return str(found.raise_for_status().json()[0]["latest_id"])


def test_the_page_of_a_run_says_what_was_released(page: Page, released: dict[str, Any]) -> None:
    """The link that the release prints leads to a page with image, version, state and its message, plan and report."""
    page.goto(released["ui_url"])
    expect(page.get_by_text("release seen 0.1.0").first).to_be_visible()
    expect(page.get_by_text("version:0.1.0").first).to_be_visible()
    expect(page.get_by_text("Completed").first).to_be_visible()
    page.get_by_role("listitem").filter(has_text="Details").click()
    expect(page.get_by_text(f"{released['image']} 0.1.0 released").first).to_be_visible()
    page.get_by_role("listitem").filter(has_text="Artifacts").click()
    for kind in ("plan", "release"):
        expect(page.get_by_text(key_of(kind, released["image"])).first).to_be_visible()


def test_the_page_of_a_failed_run_says_why(page: Page, commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The state's message is the cause, with the step's last lines."""
    complaint(commands.run("release", make_source(tmp_path / "unseen", DOCKERFILE + run_line("echo alas; exit 9"))))
    run = traces.runs("unseen")[0]["id"]
    page.goto(f"{traces.connection.prefect_ui_url}/runs/flow-run/{run}")
    expect(page.get_by_text("Failed").first).to_be_visible()
    page.get_by_role("listitem").filter(has_text="Details").click()
    page.get_by_text("See More").click()
    expect(page.get_by_text(re.compile("StepFailed.*exit code 9", re.DOTALL)).first).to_be_visible()


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
def test_the_run_says_in_its_log_what_it_does_and_did(page: Page, released: dict[str, Any], ui: str) -> None:
    """What the page shows first: the name, then the plan in a line, and at the end what was released.

    Prefect's second UI draws only the records that its log has room for.
    """
    page.set_viewport_size({"width": VIEWPORT["width"], "height": 5 * VIEWPORT["height"]})
    page.goto(released["ui_url"].replace("/runs/", f"{ui}/runs/").replace("/flow-runs/", f"{ui}/runs/"))
    expect(page.get_by_text(f"{released['image']}:0.1.0: the first version").first).to_be_visible()
    expect(page.get_by_text(released["reference"]).first).to_be_attached()


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
def test_the_form_has_no_raw_markdown(page: Page, stack: RunningStack, slipway: Run, ui: str) -> None:
    """Prefect's second UI shows descriptions as they are; labels are words in both, with what a number counts."""
    assert slipway("deploy-flows", "--pool", "slipway").returncode == 0
    found = patient.get(f"{stack.connection.prefect_api_url}/deployments/name/deploy/any-image")
    page.goto(f"{stack.connection.prefect_ui_url}{ui}/deployments/deployment/{found.json()['id']}/run")
    form = page.locator("body")
    for label in ("Registry CA (Optional)", "Settle (seconds) (Optional)", "Pull credentials (Optional)"):
        expect(form).to_contain_text(label)
    assert "`" not in form.inner_text()


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
def test_a_teams_dashboard_is_a_page(
    page: Page, released: dict[str, Any], commands: WarmStarter, stack: RunningStack, ui: str
) -> None:
    """Its address stays; figures, the last version, and a link to the image's history."""
    pages = [json.loads(commands.run("dashboard", "--format", "json").stdout) for _ in range(2)]
    (address,) = {team["url"] for teams in pages for team in teams if team["team"] == stack.connection.registry}
    page.goto(address.replace("/artifacts/", f"{ui}/artifacts/"))
    for text in ("Deployment frequency", "Lead time for changes", "Change failure rate", "Time to restore"):
        expect(page.get_by_role("cell", name=text)).to_be_visible()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="seen", exact=True))
    expect(row.get_by_role("cell", name="0.1.0")).to_be_visible()


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
def test_the_report_shows_its_picture(page: Page, released: dict[str, Any], stack: RunningStack, ui: str) -> None:
    """The timeline is really drawn, in both of Prefect's UIs, beside digest and pull command."""
    report = _latest(stack, key_of("release", released["image"]))
    page.goto(f"{stack.connection.prefect_ui_url}{ui}/artifacts/artifact/{report}")
    picture = page.get_by_role("img", name="timeline")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    expect(page.get_by_text(released["digest"]).first).to_be_visible()
    expect(page.get_by_text(f"pull {released['reference']}").first).to_be_visible()


def test_the_history_is_a_table(page: Page, released: dict[str, Any], stack: RunningStack) -> None:
    """A row a release, under names that need no explanation."""
    table = _latest(stack, history_key(released["image"]))
    page.goto(f"{stack.connection.prefect_ui_url}/artifacts/artifact/{table}")
    for text in ("version", "when", "seconds", "cached", "trigger", "digest", "command line", released["digest"]):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()


def test_every_link_of_the_report_leads_somewhere(page: Page, released: dict[str, Any], stack: RunningStack) -> None:
    """The run's own page shows them; each opens a page that knows the image."""
    links = patient.post(
        f"{stack.connection.prefect_api_url}/artifacts/filter",
        json={
            "artifacts": {"type": {"any_": ["markdown"]}, "key": {"any_": [key_of("release", released["image"])]}},
            "limit": 1,
        },
        trust_env=False,
    )
    found = re.findall(r"\]\(<(http[^>]+)>\)", links.raise_for_status().json()[0]["data"])
    assert found
    for url in found:
        page.goto(url)
        expect(page.get_by_text(released["image"]).first).to_be_visible()
        expect(page.get_by_text("Releases of", exact=False).first).to_be_visible()


def test_the_form_of_a_deployment_explains_its_fields(page: Page, stack: RunningStack, slipway: Run) -> None:
    """Each option of a release is a field, with the help that the command line gives."""
    registered = slipway("deploy-flows", "--pool", "slipway")
    assert registered.returncode == 0, registered.stderr
    found = patient.get(f"{stack.connection.prefect_api_url}/deployments/name/release/any-source")
    page.goto(f"{stack.connection.prefect_ui_url}/deployments/deployment/{found.json()['id']}/run")
    form = page.locator("main, body").first
    fields = [*ReleaseRequest.model_fields.items()]
    for section in filter(None, map(ReleaseRequest.section, ReleaseRequest.model_fields)):
        fields += section.model_fields.items()
    for name, field in fields:
        # The page draws its fields one after the other.
        expect(form).to_contain_text(name.removesuffix("_s").replace("_", " "), ignore_case=True)
        expect(form).to_contain_text((field.description or "").replace("`", ""))


def open_form(page: Page, stack: RunningStack) -> None:
    """The form of the deployment for any source."""
    found = patient.get(f"{stack.connection.prefect_api_url}/deployments/name/release/any-source")
    page.goto(f"{stack.connection.prefect_ui_url}/deployments/deployment/{found.json()['id']}/run")


def form_field(page: Page, name: str) -> Locator:
    """The text field under a name."""
    label = f"//span[text()='{name} (Optional)']/ancestor::div[contains(concat(@class, ' '), 'p-label ')][1]"
    return page.locator(f"xpath={label}//textarea").first


def test_a_first_release_is_started_from_the_form(
    page: Page, stack: RunningStack, slipway: Run, traces: Traces, tmp_path: Path
) -> None:
    """Source and image are all that is filled in; the worker releases it."""
    assert slipway("deploy-flows", "--pool", "slipway").returncode == 0
    source, image = make_source(tmp_path / "formed"), f"{stack.connection.registry}/from-the-form"
    open_form(page, stack)
    form_field(page, "Source").fill(str(source))
    form_field(page, "Image").fill(image)
    with page.expect_response(lambda response: response.url.endswith("/create_flow_run")) as answered:
        page.get_by_role("button", name="Submit").click()
    run = answered.value.json()
    assert answered.value.ok, run
    assert {key: run["parameters"]["request"][key] for key in ("source", "image")} == {
        "source": str(source),
        "image": image,
    }
    with worker(stack.env, tmp_path / "worker"):
        page.goto(f"{stack.connection.prefect_ui_url}/runs/flow-run/{run['id']}")
        expect(page.get_by_text("Completed").first).to_be_visible()
    assert traces.tags("from-the-form") == ["0.1.0"]


def test_what_is_wrong_is_refused_in_the_form(page: Page, stack: RunningStack, slipway: Run) -> None:
    """By the server, which names the field; there is no run."""
    assert slipway("deploy-flows", "--pool", "slipway").returncode == 0
    open_form(page, stack)
    for name, wrong, right in (
        ("Source", "https://robot:hunter2@git.example.com/app.git", "https://git.example.com/app.git"),
        ("Image", "registry.example.com/team/app:1.0.0", "registry.example.com/team/app"),
        ("Credentials", "hunter2", "vault:secret/git"),
    ):
        form_field(page, name).fill(wrong)
        with page.expect_response(lambda response: response.url.endswith("/create_flow_run")) as answered:
            page.get_by_role("button", name="Submit").click()
        assert answered.value.status == 409
        expect(page.get_by_text(f".{name.lower()}'", exact=False).first).to_be_visible()
        form_field(page, name).fill(right)


def answer_in_v1(page: Page, dialog: Locator) -> Locator:
    """Choose `approve`; the button that sends the answer."""
    dialog.locator(".p-select-button__control").first.focus()
    # The keyboard, because headless chromium's click does not open the list.
    page.keyboard.press("ArrowDown")
    page.get_by_text("approve", exact=True).last.click()
    return dialog.get_by_role("button", name="Submit")


def answer_in_v2(page: Page, dialog: Locator) -> Locator:
    """The same in the UI that has Resume in a menu."""
    dialog.get_by_text("Select", exact=True).click()
    page.get_by_role("option", name="approve", exact=True).click()
    return dialog.get_by_role("button", name="Resume")


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
def test_an_approval_given_in_the_ui_lets_the_release_go_on(
    page: Page, commands: WarmStarter, traces: Traces, tmp_path: Path, ui: str
) -> None:
    """The run says where its Resume is; the dialog shows the plan and asks; the answer is taken, and the release ends
    as any other."""
    name = f"asking{ui.strip('/')}"
    releasing = commands.start("release", make_source(tmp_path / name), "--approval", "--format", "json")
    releasing.until("waiting until")
    run = traces.runs(name)[0]["id"]
    for _ in range(3):
        page.goto(f"{traces.connection.prefect_ui_url}{ui}/runs/flow-run/{run}")
        expect(page.get_by_text("Resume in the UI (a button, or in the menu ⋮)").first).to_be_attached()
        if ui:
            page.get_by_role("button", name="Open menu").first.click()
            page.get_by_role("menuitem", name="Resume").click()
        else:
            page.get_by_role("button", name="Resume").first.click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text(f"/{name}:0.1.0").first).to_be_visible()
        submit = answer_in_v2(page, dialog) if ui else answer_in_v1(page, dialog)
        with page.expect_response(lambda response: response.url.endswith("/resume")) as answered:
            submit.click()
        if answered.value.ok:
            break  # else SQLite was locked, and a person would try again as well
    assert answered.value.ok and answered.value.json()["status"] == "ACCEPT", answered.value.text()
    assert result_of(releasing.end())["released"]


EVIL = "elsewhere.invalid"
LINK = f"[click](http://{EVIL})"
HTML = f"![p](http://{EVIL}/p) <img src=http://{EVIL}/q> <b>bold</b>"
WORDS = f"{LINK} {HTML} | **bold** www.{EVIL} x@{EVIL} \x1b[31mred\x1b]0;t\x07"
OUTPUT = f"```\n# Owned\n{LINK}\n<img src=http://{EVIL}/r>\n```\n~~~\n"


@pytest.fixture(scope="module")
def hostile(commands: WarmStarter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A release whose commit, label, step and output are Markdown, HTML and sequences; then one that fails so."""
    source = make_source(tmp_path_factory.mktemp("hostile") / "odd", DOCKERFILE + run_line(f"echo '{OUTPUT}'"))
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: begin", {})
    git(source, "tag", "v1.0.0")
    commit(source, f"feat: {WORDS}", {"more": "x"})
    options = ("--bump", "auto", "--label", f"x|y={WORDS}", "--format", "json")
    ended = commands.run("release", source, *options)
    assert "\x1b" not in ended.stderr
    return result_of(ended)


def assert_only_text(page: Page) -> None:
    """Nothing of it became a link, a picture, HTML or a heading."""
    shown = page.locator("body")
    expect(shown.get_by_text("click", exact=False).first).to_be_visible()
    assert shown.locator(f"a[href*='{EVIL}'], img[src*='{EVIL}']").count() == 0
    assert [text for text in shown.locator("b, strong").all_inner_texts() if "bold" in text] == []
    assert "Owned" not in shown.get_by_role("heading").all_inner_texts()


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
@pytest.mark.parametrize("kind", ["plan", "release"])
def test_text_from_outside_stays_text(
    page: Page, hostile: dict[str, Any], stack: RunningStack, ui: str, kind: str
) -> None:
    """Commit messages and labels in the plan and the report, in both of Prefect's UIs."""
    artifact = _latest(stack, key_of(kind, hostile["image"]))
    page.goto(f"{stack.connection.prefect_ui_url}{ui}/artifacts/artifact/{artifact}")
    assert_only_text(page)


@pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])
def test_a_builds_last_lines_stay_in_their_block(
    page: Page, commands: WarmStarter, stack: RunningStack, tmp_path: Path, ui: str
) -> None:
    """A line of backticks in a failed step's output ends nothing."""
    source = make_source(tmp_path / f"broken{ui.strip('/')}", DOCKERFILE + run_line(f"echo '{OUTPUT}'; exit 3"))
    complaint(commands.run("release", source))
    image = f"{stack.connection.registry}/{source.name}"
    page.goto(f"{stack.connection.prefect_ui_url}{ui}/artifacts/artifact/{_latest(stack, key_of('release', image))}")
    assert_only_text(page)
    expect(page.locator("pre").filter(has_text="# Owned").first).to_be_visible()


def test_the_question_has_no_empty_part(page: Page, commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Whoever answers sees what will be done, each heading with what belongs to it; the terminal shows it as text."""
    releasing = commands.start("release", make_source(tmp_path / "question"), "--approval", "--format", "json")
    releasing.until("waiting until")
    run = traces.runs("question")[0]["id"]
    page.goto(f"{traces.connection.prefect_ui_url}/runs/flow-run/{run}")
    page.get_by_role("button", name="Resume").first.click()
    asked = page.get_by_role("dialog").locator("article")
    expect(asked.get_by_text("/question:0.1.0").first).to_be_visible()
    expect(asked.get_by_text("push it to").first).to_be_visible()
    expect(asked.get_by_text("asked by: command line of").first).to_be_visible()
    expect(asked.get_by_text("if nobody answers by").first).to_be_visible()
    for label in ("Answer", "Reason (Optional)", "Your name (Optional)"):
        expect(page.get_by_role("dialog").get_by_text(label, exact=True).first).to_be_visible()
    assert asked.get_by_role("heading").count() == 0
    assert asked.locator("table").count() == 0
    assert commands.run("approve", run, "--refuse").code == 0
    said = releasing.end().stderr
    assert "    - build " in said
    assert not [line for line in said.splitlines() if line.startswith(("|", "#", "**"))]
