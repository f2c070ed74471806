"""Vault's HTTP like its own client: at most one redirect, and never from https to http.

A standby node leads to the active one by a redirect to another host, and the token has to go along; so has it with
whoever stands before Vault and sends one elsewhere. Source: hashicorp/vault, api/client.go (`rawRequestWithContext`).
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urljoin

import requests

from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.domain.urls import shown

_REDIRECTS = {301, 302, 307}
_TOLD_BY_STATUS = {429, 472, 473, 474, 530}

logger = logging.getLogger(__name__)


class RedirectRefused(requests.RequestException):
    """A redirect that is not followed. `where`: what it leads to, `why`: in words for people."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"redirect to {where}: {why}")
        self.where = where
        self.why = why


class StatusTold(requests.RequestException):
    """A status that hvac does not know, or of which it drops what the headers say. `retry_after`: seconds."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.retry_after = retry_after


class VaultHttp(requests.Session):
    """The HTTP session that hvac uses."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, to where one redirect leads at most. Raises RequestExceptions, our own two as well."""
        options["allow_redirects"] = False
        response = super().send(request, **options)
        if response.status_code in _REDIRECTS:
            again = self._redirected(request, response)
            options["proxies"] = self.rebuild_proxies(again, options.get("proxies"))
            response = super().send(again, **options)
            if response.is_redirect:
                raise RedirectRefused(shown(str(self.get_redirect_target(response))), "it is the second one")
        if response.status_code in _TOLD_BY_STATUS:
            raise StatusTold(response.status_code, retry_after(response.headers.get("Retry-After")))
        return response

    def _redirected(self, request: requests.PreparedRequest, response: requests.Response) -> requests.PreparedRequest:
        """The same request, its method and body too, to where the answer leads."""
        url = urljoin(str(request.url), self.get_redirect_target(response) or "")
        where = shown(url)
        if not url.startswith(("http://", "https://")):
            raise RedirectRefused(where, "that is not an address of Vault")
        if str(request.url).startswith("https://") and not url.startswith("https://"):
            raise RedirectRefused(where, "the token would go there without TLS")
        response.close()
        logger.info("Vault redirects from %s to %s", shown(str(request.url)), where)
        again = request.copy()
        again.prepare_url(url, None)
        return again
