"""An inspected image for a terminal of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from prefect_slipway.flows.inspecting.values import Attestation, Change, Comparison, InspectedImage, Layer, Platform
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.predicates import predicate_name
from prefect_slipway.infra.domain.text import human_size, shortened, with_rest

_NARROWEST = 40
_SHORT_DIGEST = 12
_MOST_SHOWN = 20
# Of one value: a label may have megabytes.
_MOST_CHARACTERS = 500

Fact = tuple[str, str]


def as_text(image: InspectedImage, width: int) -> str:
    """Lines of at most `width` columns, 40 at least; only a word may be longer."""
    width = max(width, _NARROWEST)
    name = f"{image.image}:{image.tag}" if image.tag else image.image
    lines = [*_wrapped(name, width, 0), *_facts(_of_image(image), width, 2)]
    for platform in image.platforms:
        lines += ["", *_platform(platform, width)]
    if image.previous is not None:
        lines += ["", *_comparison(image.previous, width)]
    return "\n".join(lines)


def _of_image(image: InspectedImage) -> list[Fact]:
    facts = [("version", image.version or "none"), ("digest", image.digest), ("type", image.media_type)]
    facts += [("size", human_size(image.size)), ("platforms", ", ".join(each.platform for each in image.platforms))]
    for label, names in (("base", image.base), ("uses", image.used)):
        facts += [(label, name) for name in with_rest(names[:_MOST_SHOWN], len(names))]
    return facts


def _platform(platform: Platform, width: int) -> Iterator[str]:
    yield from _wrapped(platform.platform or "unknown platform", width, 0)
    facts = [("digest", platform.digest), ("size", human_size(platform.size))]
    facts += [("created", platform.created)] if platform.created else []
    yield from _facts(facts, width, 2)
    yield "  layers"
    yield from _layers(platform.layers, width)
    if platform.labels:
        yield "  labels"
        labels = [f"{key}={value}" for key, value in platform.labels.items()]
        for label in with_rest(labels[:_MOST_SHOWN], len(labels)):
            yield from _wrapped(label, width, 4)
    yield "  attestations" if platform.attestations else "  no attestations"
    for attestation in platform.attestations:
        yield from _attestation(attestation, width)


def _attestation(attestation: Attestation, width: int) -> Iterator[str]:
    yield from _wrapped(predicate_name(attestation.type), width, 4)
    facts = [("size", human_size(attestation.size))]
    if attestation.problem:
        facts.append(("not read", attestation.problem))
    if attestation.packages is not None:
        facts.append(("packages", str(len(attestation.packages))))
    if (found := attestation.provenance) is not None:
        told = (
            ("builder", found.builder),
            ("source", found.source),
            ("revision", found.revision),
            ("run", found.run),
            ("trigger", found.trigger),
            ("ref", found.ref),
            ("finished", found.finished),
        )
        facts += [(label, value) for label, value in told if value]
        facts.append(("materials", str(len(found.materials))))
    yield from _facts(facts, width, 6)


def _comparison(found: Comparison, width: int) -> Iterator[str]:
    yield from _wrapped(f"changes since {found.version}", width, 0)
    for platform in found.platforms_added:
        yield from _wrapped(f"{platform} is new", width, 2)
    for platform in found.platforms_removed:
        yield from _wrapped(f"{platform} is gone", width, 2)
    for change in found.changes:
        yield from _change(change, width)
    if found.commits:
        yield from _wrapped(f"commits: run in the source: {found.commits}", width, 2)


def _change(change: Change, width: int) -> Iterator[str]:
    size = f"{'+' if change.size >= 0 else '-'}{human_size(abs(change.size))}"
    same = "" if change.added or change.removed else ", the same layers"
    yield from _wrapped(f"{change.platform or 'image'}: {size}{same}", width, 2)
    for title, layers in (("layers added", change.added), ("layers removed", change.removed)):
        if layers:
            yield f"    {title}"
            yield from _layers(layers, width, 6)
    for title, packages in (("added", change.packages_added), ("removed", change.packages_removed)):
        if packages:
            shown = ", ".join(with_rest(packages[:_MOST_SHOWN], len(packages)))
            yield from _wrapped(f"packages {title}: {shown}", width, 4)
    if change.packages_added is None:
        yield from _wrapped("packages: not known, as not both versions have an SBOM", width, 4)


def _layers(layers: Sequence[Layer], width: int, indent: int = 4) -> Iterator[str]:
    for layer in layers:
        digest = layer.digest.partition(":")[2][:_SHORT_DIGEST]
        start = f"{' ' * indent}{digest} {human_size(layer.size):>9} "
        yield (start + shortened(one_line(layer.step), max(width - len(start), 8))).rstrip()


def _facts(facts: Sequence[Fact], width: int, indent: int) -> Iterator[str]:
    """Labels and values, each value below itself where it is too long."""
    column = max((len(label) for label, _ in facts), default=0) + 2
    for label, value in facts:
        first = f"{' ' * indent}{label:<{column}}"
        if " " not in value and len(first) + len(value) > width:
            # A digest or a URL, which is copied as a whole.
            yield first.rstrip()
            first = " " * (indent + 2)
        yield from _wrapped(value, width, len(first), first)


def _wrapped(text: str, width: int, indent: int, first: str | None = None) -> list[str]:
    begin = " " * indent if first is None else first
    shown = shortened(one_line(text), _MOST_CHARACTERS)
    return textwrap.wrap(
        shown, width, initial_indent=begin, subsequent_indent=" " * (indent + (2 if first is None else 0)),
        break_on_hyphens=False, break_long_words=False,
    ) or [begin.rstrip()]  # fmt: skip
