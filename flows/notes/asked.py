"""Notes as a request asks for them."""

from __future__ import annotations

from prefect_slipway.flows.build_options.places import Places, read_text
from prefect_slipway.flows.notes.changes import SECTIONS, UNTYPED, Changes, changes_of
from prefect_slipway.flows.notes.write import as_markdown, as_text
from prefect_slipway.flows.request.notes import Notes
from prefect_slipway.infra.domain.errors import NotesTemplateInvalid
from prefect_slipway.infra.domain.forge import Forge
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.history import Series


def told(notes: Notes, series: Series) -> Changes:
    """What the commits tell."""
    sections = notes.sections or {kind: title for kind, title in SECTIONS.items() if kind != UNTYPED}
    if not notes.only_typed:
        sections = {**sections, UNTYPED: SECTIONS[UNTYPED]}
    return changes_of(series.commits, parents=series.parents, sections=sections)


async def written(
    notes: Notes,
    changes: Changes,
    checkout: Checkout,
    span: tuple[str, str] | None,
    *,
    version: str | None = None,
    previous: str | None = None,
) -> tuple[str, str]:
    """Markdown and plain text; a template's text is both. `span`: the revisions before and after. Raises
    NotesTemplateInvalid, InvalidOption for a template outside of the source."""
    forge = Forge.of(checkout.source_url)
    if notes.template is None:
        return as_markdown(changes, forge, span), as_text(changes)
    from prefect_slipway.flows.notes.template import filled

    text = await filled(notes.template, _read(notes.template, checkout), changes, forge, span, version, previous)
    return text, text


def _read(name: str, checkout: Checkout) -> str:
    places = Places.of(checkout.path, checkout.top, ())
    path = places.path("--notes-template", name, action="use a file in the source, relative to the build context")
    from prefect_slipway.flows.notes.template import MOST_BYTES

    if not path.is_file():
        raise NotesTemplateInvalid(f"the template {name} does not exist")
    return read_text(path, f"the template {name}", MOST_BYTES, NotesTemplateInvalid)
