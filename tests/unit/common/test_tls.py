"""Whom a TLS client trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from prefect_slipway.infra.common.tls import trusting, trusting_also
from prefect_slipway.infra.domain.errors import InvalidOption
from tests.certificates import make_certificates


def subjects(context: ssl.SSLContext) -> set[bytes]:
    return set(context.get_ca_certs(binary_form=True))


def test_a_ca_of_ones_own(tmp_path: Path) -> None:
    """It is trusted alone, or besides the public ones; names are checked either way."""
    ca = make_certificates(tmp_path).ca
    [own] = subjects(trusting("the builder", ca))
    public = subjects(trusting_also("the registry", None))
    assert own not in public
    assert subjects(trusting_also("the registry", ca)) == {own, *public}
    for context in (trusting("the builder", ca), trusting_also("the registry", ca)):
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_is_shown(tmp_path: Path) -> None:
    """The client's own, if both of its files can be read."""
    made = make_certificates(tmp_path)
    trusting("the builder", made.ca, made.cert, made.key)
    made.key.write_text("no key")
    with pytest.raises(InvalidOption, match=r"a certificate or key of the builder cannot be read \(.*key"):
        trusting("the builder", made.ca, made.cert, made.key)


def test_a_file_that_is_no_ca(tmp_path: Path) -> None:
    """One that is missing, or no PEM, is named."""
    (tmp_path / "text.pem").write_text("no certificate")
    for name in ("text.pem", "missing.pem"):
        for context in (trusting, trusting_also):
            with pytest.raises(InvalidOption, match=name):
                context("the registry", tmp_path / name)
