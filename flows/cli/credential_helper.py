"""`docker-credential-slipway`: the credential helper that docker, podman, skopeo, cosign and oras run.

Protocol: github.com/docker/docker-credential-helpers, credentials/credentials.go. The action is the only argument, the
rest comes on standard input; answers and errors go to standard output, and an error's exit code is 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable

from prefect_slipway.flows.cli.utf8_mode import enter_utf8_mode
from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError

# Clients know these words, and go on without a credential.
_NOT_FOUND = "credentials not found in native keychain"


def main() -> int:
    """Answer one question. Returns the exit code."""
    enter_utf8_mode()
    actions: dict[str, Callable[[str], None]] = {
        "get": _get,
        "store": _store,
        "erase": _erase,
        "list": _list,
        "version": _version,
    }
    action = actions.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if action is None:
        print(f"Usage: docker-credential-slipway <{'|'.join(actions)}>")
        return 1
    try:
        action(sys.stdin.read().strip() if action in {_get, _store, _erase} else "")
    except SlipwayError as error:
        # docker ignores standard output here, and asks the registry without a credential.
        print(f"slipway: {error}", file=sys.stderr)
        print(f"slipway: {error.cause}; {error.action}")
        return 1
    except _NotFound:
        print(_NOT_FOUND)
        return 1
    return 0


class _NotFound(Exception):
    pass


def _get(server: str) -> None:
    from prefect_slipway.flows.run.logins import Logins

    login = Logins.of_this_user().get(server)
    if login is None:
        raise _NotFound
    found = asyncio.run(login.credential(os.environ))
    print(json.dumps({"ServerURL": server, "Username": found.username, "Secret": found.password}))


def _store(text: str) -> None:
    """`docker login` hands over what it has just read from here, which changes nothing."""
    from prefect_slipway.flows.run.logins import Logins

    try:
        given = json.loads(text)
        server, pair = given["ServerURL"], (given["Username"], given["Secret"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidOption("store: expected a JSON object with ServerURL, Username and Secret") from error
    login = Logins.of_this_user().get(server)
    if login is None:
        raise InvalidOption(f"{server} is not logged in", action=f"`slipway login {server} --credentials vault:…`")
    found = asyncio.run(login.credential(os.environ))
    if pair != (found.username, found.password):
        raise InvalidOption(
            f"the credential of {server} is in Vault: {login.secret}",
            action=f"change it there, or run `slipway logout {server}` first",
        )


def _erase(server: str) -> None:
    from prefect_slipway.flows.run.logins import Logins
    from prefect_slipway.infra.domain.reference import normalize_registry_host

    Logins.of_this_user().forget(normalize_registry_host(server))


def _list(_: str) -> None:
    from prefect_slipway.flows.run.logins import Logins

    found = {}
    for login in Logins.of_this_user():
        try:
            found[login.registry] = asyncio.run(login.credential(os.environ)).username
        except SlipwayError as error:
            print(f"slipway: {error}", file=sys.stderr)
    print(json.dumps(found))


def _version(_: str) -> None:
    from prefect_slipway.infra.common.distribution import VERSION

    print(f"docker-credential-slipway (slipway) {VERSION}")
