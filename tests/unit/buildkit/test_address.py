"""Builder addresses as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tcp://builder.example:1234", "tcp://builder.example:1234"),
        ("tcp://10.0.0.1:1", "tcp://10.0.0.1:1"),
        ("tcp://[::1]:1234", "tcp://[::1]:1234"),
        ("unix:///run/buildkit/buildkitd.sock", "unix:///run/buildkit/buildkitd.sock"),
        ("docker://", "docker://"),
        ("docker:///run/user/1000/docker.sock", "docker:///run/user/1000/docker.sock"),
        ("docker-container://buildx_buildkit_slipway0", "docker-container://buildx_buildkit_slipway0"),
    ],
)
def test_addresses_are_read(text: str, shown: str) -> None:
    """Each kind is read, and shown again so that it can be read."""
    assert str(BuilderAddress.parse(text)) == shown
    assert BuilderAddress.parse(shown) == BuilderAddress.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "builder:1234", "tcp://", "tcp://builder", "tcp://builder:0", "tcp://builder:65536", "tcp://:1234"),
        *("tcp://user@builder:1", "tcp://builder:1/x", "http://builder:1", "unix://", "unix://relative.sock"),
        *("docker://builder", "unix:///" + "x" * 120),
        *(
            "docker-container://",
            "docker-container://-x",
            "docker-container://a/../b",
            "docker-container://a?context=b",
        ),
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    """What is no address is an option that cannot be read, with the way to write one."""
    with pytest.raises(InvalidOption) as error:
        BuilderAddress.parse(text)
    assert error.value.action


def test_tls_files_belong_together() -> None:
    """A certificate needs its key, and TLS needs TCP."""
    with pytest.raises(InvalidOption):
        BuilderAddress.parse("tcp://builder:1234", TlsFiles(cert=Path("cert.pem")))
    with pytest.raises(InvalidOption):
        BuilderAddress.parse("unix:///run/b.sock", TlsFiles())
