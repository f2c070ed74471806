"""TLS contexts: the CAs to trust, and the client's certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

from prefect_slipway.infra.domain.errors import InvalidOption

# Files with CAs that a library takes from the environment: httpx, and with it Prefect's client (httpx/_config.py);
# requests, and with it hvac (requests/sessions.py, merge_environment_settings).
_CA_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def unusable_cas(env: Mapping[str, str], names: Iterable[str] = _CA_FILES) -> InvalidOption | None:
    """The first of these variables whose file of CAs cannot be read."""
    for name in names:
        path = Path(env.get(name) or ".")
        try:
            if not path.is_dir():  # requests takes these as well
                ssl.create_default_context(cafile=path)
        except OSError as error:
            why = "has no CA certificate in PEM" if isinstance(error, ssl.SSLError) else str(error.strerror)
            return InvalidOption(f"{name}: {path}: {why}", action="name a file with the CAs to trust, or unset it")
    return None


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
