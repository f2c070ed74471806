"""HTTP answers that may be larger than what was asked for can be."""

from __future__ import annotations

import httpx

from flows.domain.errors import AnswerTooLarge

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""More than any manifest, configuration or list of tags has (distribution refuses manifests above 4 MiB)."""

_OF_THE_ENCODING = {b"content-encoding", b"content-length"}


async def send(http: httpx.AsyncClient, request: httpx.Request, *, follow: bool, limit: int) -> httpx.Response:
    """Send and read at most `limit` bytes of the (decoded) answer. `follow`: redirects.

    Raises AnswerTooLarge and httpx.RequestError.
    """
    response = await http.send(request, stream=True, follow_redirects=follow)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                where = f"{request.url.netloc.decode('ascii')}{request.url.path}"
                raise AnswerTooLarge(f"{where}: the answer has more than {limit} bytes")
    finally:
        await response.aclose()
    headers = response.headers.raw
    if "Content-Encoding" in response.headers:  # the body is decoded here, and no longer as long
        headers = [(name, value) for name, value in headers if name.lower() not in _OF_THE_ENCODING]
    return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)
