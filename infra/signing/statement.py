"""in-toto statements: what is stated about which image.

Source: in-toto/attestation, `spec/v1/statement.md`, `resource_descriptor.md` and `digest_set.md`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.domain.predicates import STATEMENT
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.signing.reading import member, read_object

IN_TOTO = STATEMENT
"""The type a statement is signed as."""

SIGNED = "https://sigstore.dev/cosign/sign/v1"
"""The predicate's type of a signature alone: the predicate is empty."""
PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
REBUILT = "https://slipway.dev/rebuild/v1"
"""Ours: the subjects were built again from their recorded inputs; `{"reproduced": true}` if to the same digests."""
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"

_V1 = "https://in-toto.io/Statement/v1"
# What cosign 2.x attests with.
_TYPES = {_V1, "https://in-toto.io/Statement/v0.1"}
_WHAT = "a statement"
# It is read after its signature was verified: only a trusted key can make it hurt.
_LIMIT = 64 * 1024 * 1024
_MAX_SUBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about: `name` as its maker knew it, None for none; `digests` by algorithm, in hex."""

    name: str | None
    digests: Mapping[str, str]

    def has(self, digest: str) -> bool:
        algorithm, _, value = digest.partition(":")
        return self.digests.get(algorithm) == value


@dataclass(frozen=True, slots=True)
class Statement:
    """A predicate (any JSON object) of a type (a URI) about subjects."""

    predicate_type: str
    predicate: Mapping[str, Any] = field(repr=False)
    subjects: tuple[Subject, ...]

    @classmethod
    def about(cls, image: ImageReference, predicate_type: str, predicate: Mapping[str, Any]) -> Statement:
        """About an image by its digest, named as HOST/REPOSITORY."""
        assert image.digest is not None
        algorithm, _, value = image.digest.partition(":")
        return cls(predicate_type, predicate, (Subject(image.name, {algorithm: value}),))

    @classmethod
    def signature_of(cls, image: ImageReference) -> Statement:
        """A signature alone, which states nothing further."""
        return cls.about(image, SIGNED, {})

    def encode(self) -> bytes:
        """The same bytes for the same values. Raises ValueError for a predicate that JSON cannot hold."""
        subjects = [
            {**({"name": subject.name} if subject.name else {}), "digest": dict(subject.digests)}
            for subject in self.subjects
        ]
        document = {
            "_type": _V1,
            "subject": subjects,
            "predicateType": self.predicate_type,
            "predicate": dict(self.predicate),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Statement:
        """Raises SignatureMalformed."""
        document = read_object(raw, _WHAT, limit=_LIMIT)
        if document.get("_type") not in _TYPES:
            raise SignatureMalformed(f"{_WHAT} whose '_type' is not {_V1}")
        subjects = member(document, "subject", list, _WHAT)
        if not 0 < len(subjects) <= _MAX_SUBJECTS:
            raise SignatureMalformed(f"{_WHAT} without subjects, or with more than {_MAX_SUBJECTS}")
        return cls(
            predicate_type=member(document, "predicateType", str, _WHAT),
            predicate=member(document, "predicate", dict, _WHAT),
            subjects=tuple(_subject(subject) for subject in subjects),
        )


def _subject(entry: Any) -> Subject:
    what = f"{_WHAT}'s subject"
    if not isinstance(entry, dict):
        raise SignatureMalformed(f"{what} that is not a JSON object")
    digests = member(entry, "digest", dict, what)
    name = entry.get("name")
    if not isinstance(name, str | None) or not all(isinstance(value, str) for value in digests.values()):
        raise SignatureMalformed(f"{what} whose name or digests are not text")
    return Subject(name or None, digests)
