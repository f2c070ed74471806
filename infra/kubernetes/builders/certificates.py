"""A CA for one builder, with its server and client certificates.

The CA's key is forgotten as soon as both are signed, so nobody can ever sign a third.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class BuilderCertificates:
    """PEM texts. `server_name`: a name that the server's certificate carries."""

    ca: bytes
    server_cert: bytes
    server_key: bytes = field(repr=False)
    client_cert: bytes
    client_key: bytes = field(repr=False)

    def expires(self) -> datetime:
        return x509.load_pem_x509_certificate(self.client_cert).not_valid_after_utc


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """The names a Service has inside its cluster (with the usual cluster domain); the last is the longest."""
    return (
        service,
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
    )


def make_certificates(
    service: str, namespace: str, lifetime: timedelta, *, others: Sequence[str] = ()
) -> BuilderCertificates:
    """Certificates for a builder behind this Service, valid for `lifetime` from now (and an hour back, for clocks
    that differ). `others`: Services whose builders use the same ones.
    """
    now = datetime.now(UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(f"CA of {service}")
    ca = (
        _unsigned(ca_name, ca_name, ca_key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )

    def signed(name: str, usage: x509.ObjectIdentifier, names: list[x509.GeneralName]) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _unsigned(_name(name), ca_name, key, now, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _pem(builder.sign(ca_key, hashes.SHA256())), _key_pem(key)

    names = [x509.DNSName(name) for each in (service, *others) for name in service_names(each, namespace)]
    loopback = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server_cert, server_key = signed(
        "buildkitd",
        ExtendedKeyUsageOID.SERVER_AUTH,
        [*names, *loopback],
    )
    client_cert, client_key = signed("slipway", ExtendedKeyUsageOID.CLIENT_AUTH, [])
    return BuilderCertificates(_pem(ca), server_cert, server_key, client_cert, client_key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])  # ub-common-name, RFC 5280


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
