"""Templates of notes: people's own form, and strangers' attempts."""

from __future__ import annotations

import pytest

from prefect_slipway.flows.notes.changes import changes_of
from prefect_slipway.flows.notes.template import filled
from prefect_slipway.flows.values.notes import MAX_CHARACTERS
from prefect_slipway.infra.domain.commits import Commit
from prefect_slipway.infra.domain.errors import NotesTemplateInvalid
from prefect_slipway.infra.domain.forge import Forge

CHANGES = changes_of([Commit("a" * 40, "feat(api)!: drop <b> (#1)\n\nBREAKING CHANGE: use v2", "Ann")])


async def _filled(template: str, *, timeout_s: float = 60.0) -> str:
    forge = Forge.of("https://github.com/t/a")
    return await filled("notes.j2", template, CHANGES, forge, ("1", "2"), "2.0.0", "1.0.0", timeout_s=timeout_s)


async def test_a_template_has_all_that_is_told() -> None:
    """Values are Markdown that is harmless already."""
    text = await _filled(
        "{{ previous }} to {{ version }}, {{ commits }} by {{ contributors | join(', ') }}\n"
        "{% for change in breaking %}\n! {{ change.scope }}: {{ change.breaking }}\n{% endfor %}\n"
        "{% for section in sections %}\n{{ section.title }}\n{% for change in section.changes %}\n"
        "- {{ change.subject }} [#{{ change.pull }}]({{ change.pull_url }})\n{% endfor %}\n{% endfor %}\n"
        "{{ compare_url }}"
    )
    assert text == (
        "1.0.0 to 2.0.0, 1 by Ann\n! api: use v2\nFeatures\n- drop \\<b\\> [#1](https://github.com/t/a/pull/1)\n"
        "https://github.com/t/a/compare/1...2"
    )


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for %}", "line 1: "),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.environ }}", "unsafe"),
        ("{{ sections.append(1) }}", "not safely callable|unsafe"),
        ("{{ 'a' * 100000 }}", f"more than {MAX_CHARACTERS} characters"),
        ("{{ (('a' * 1000000000) * 10) | length }}", "cannot be filled in"),
        ("{{ range(1000000) | list }}", "Range too big"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
async def test_what_a_template_may_not_do_is_told(template: str, why: str) -> None:
    """It has no files, no environment, no attributes that lead out, and no room without end."""
    with pytest.raises(NotesTemplateInvalid, match=why):
        await _filled(template)


async def test_a_template_without_an_end_is_ended() -> None:
    """After a time."""
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(NotesTemplateInvalid, match=r"did not end within 1 s"):
        await _filled(loops, timeout_s=1.0)


async def test_what_a_template_writes_is_harmless() -> None:
    """No HTML, no pictures, no programs as addresses, no control sequences; links and addresses stay."""
    text = await _filled(
        "<script>x</script> ![p](https://e.example/p) [x](javascript:x) \\<b> \\\\<i> [y](JAVASCRIPT\\:x) "
        "[z](&#106;avascript:x) <https://e.example> [l](https://e.example) <!-- c --> {{ '\\x1b[31m' }}"
    )
    assert text.replace("\u2060", "_") == (
        "\\<script>x\\</script> \\![p](https://e.example/p) [x](javascript_:x) \\<b> \\\\\\<i> [y](JAVASCRIPT_\\:x) "
        "[z](\\&#106;avascript:x) <https://e.example> [l](https://e.example) \\<!-- c -->"
    )
