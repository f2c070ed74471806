"""TLS contexts: the CAs to trust, and the client's certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from prefect_slipway.infra.domain.errors import InvalidOption


def trusting(what: str, ca: Path | None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A context that trusts the CAs in `ca` alone (None: the system's), and shows the client's certificate, if there is
    one. All are PEM files; `what`: whose they are, in messages. Raises InvalidOption for one that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(what, ca, cert, key) from error
    return context


def trusting_also(what: str, ca: Path | None) -> ssl.SSLContext:
    """A context for public servers, which trusts the CAs in `ca` as well: those of the system, and of httpx where the
    system has none. Raises InvalidOption for a file that cannot be read."""
    # Only then: httpx takes time to import, and who does not need it yet should start fast.
    import httpx

    context = httpx.create_ssl_context()
    context.load_default_certs()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable(what, ca) from error
    return context


def _unreadable(what: str, *files: Path | None) -> InvalidOption:
    named = ", ".join(str(file) for file in files if file is not None)
    return InvalidOption(
        f"a certificate or key of {what} cannot be read ({named})",
        action="check that the files exist, are readable and are PEM",
    )
