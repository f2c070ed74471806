"""Whose connection it is."""

import pytest

from prefect_slipway.flows.relay.connections import client_of


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_a_client_is_an_address_or_a_network(peer: str, client: str) -> None:
    """An IPv6 client has a network of 64 bits, and would otherwise be as many clients as it likes."""
    assert client_of(peer) == client
