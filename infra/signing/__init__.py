"""Signatures and attestations: their formats and their verification. No network.

`simple`, `dsse`, `statement`, `gate_result`, `bundle`: the formats; `keys`: who is trusted; `verification`: what holds;
`cluster`: what a cluster and its nodes need to verify on their own.
"""

from prefect_slipway.infra.signing.bundle import BUNDLE, PREDICATE_ANNOTATION, bundle_attachment
from prefect_slipway.infra.signing.dsse import Envelope, pae
from prefect_slipway.infra.signing.gate_result import GateReport, GateResult, Waiver
from prefect_slipway.infra.signing.keys import TrustedKeys, read_public_keys
from prefect_slipway.infra.signing.simple import SIMPLE_SIGNING, SimplePayload, signature_attachment
from prefect_slipway.infra.signing.statement import IN_TOTO, SIGNED, TEST_RESULT, Statement
from prefect_slipway.infra.signing.verification import (
    DSSE_ENVELOPE,
    Attestation,
    Signature,
    verify_bundle,
    verify_envelope,
    verify_signature,
)

__all__ = [
    "BUNDLE",
    "DSSE_ENVELOPE",
    "IN_TOTO",
    "PREDICATE_ANNOTATION",
    "SIGNED",
    "SIMPLE_SIGNING",
    "TEST_RESULT",
    "Attestation",
    "Envelope",
    "GateReport",
    "GateResult",
    "Signature",
    "SimplePayload",
    "Statement",
    "TrustedKeys",
    "Waiver",
    "bundle_attachment",
    "pae",
    "read_public_keys",
    "signature_attachment",
    "verify_bundle",
    "verify_envelope",
    "verify_signature",
]
