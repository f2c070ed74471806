"""A forge's published OpenAPI description (or Swagger 2), and whether a request or an answer is as it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012

FOLDER = Path(__file__).parent / "openapi"


@dataclass(frozen=True)
class Operation:
    """`path`: as the description has it; `values`: of the parameters in it."""

    method: str
    path: str
    values: Mapping[str, str]
    described: Mapping[str, Any]


class Description:
    def __init__(self, name: str) -> None:
        self.document = _with_null(json.loads((FOLDER / f"{name}.json").read_text()))
        servers = self.document.get("servers", [{"url": ""}])
        self.base: str = self.document.get("basePath", servers[0]["url"])

    @cached_property
    def _registry(self) -> Any:
        return Registry[Any]().with_resource("urn:it", DRAFT202012.create_resource(self.document))

    def operation(self, method: str, path: str) -> Operation | None:
        """The one that a request's path (without its query) means."""
        for template, methods in self.document["paths"].items():
            names = re.findall(r"\{(\w+)\}", template)
            pattern = self.base + re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(template))
            found = re.fullmatch(pattern, path)
            if found is not None and method.lower() in methods:
                values = dict(zip(names, map(unquote, found.groups()), strict=True))
                return Operation(method, template, values, methods[method.lower()])
        return None

    def wrong_in_request(self, operation: Operation, query: str, content_type: str, body: bytes) -> Iterator[str]:
        """What of a request the description does not allow."""
        given = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        parameters = operation.described.get("parameters", [])
        known = {each["name"]: each for each in parameters if each["in"] == "query"}
        for name, value in given.items():
            if name not in known:
                yield f"no query parameter {name}"
            else:
                yield from self._wrong(_typed(value, known[name]), known[name].get("schema", {}))
        for each in parameters:
            if each["in"] == "path" and "schema" in each:
                yield from self._wrong(_typed(operation.values[each["name"]], each), each["schema"])
            if each.get("required") and each["in"] == "query" and each["name"] not in given:
                yield f"the query parameter {each['name']} is missing"
        yield from self._wrong_body(operation, content_type.partition(";")[0], body)

    def wrong_in_answer(self, operation: Operation, status: int, document: Any) -> Iterator[str]:
        """What of an answer it does not allow: a double must not be friendlier than the forge."""
        responses = operation.described["responses"]
        if str(status) not in responses:
            yield f"{operation.method} {operation.path} never answers {status}"
            return
        answer = responses[str(status)]
        schema = answer.get("schema") or answer.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            yield from self._wrong(document, schema)

    def _wrong_body(self, operation: Operation, content_type: str, body: bytes) -> Iterator[str]:
        described = operation.described
        content = described.get("requestBody", {}).get("content")
        if content is None:  # Swagger 2
            schema = next((each["schema"] for each in described.get("parameters", []) if each["in"] == "body"), None)
            content = {kind: {"schema": schema} for kind in described.get("consumes", ["application/json"])}
            if schema is None and content_type == "multipart/form-data":
                return
            if schema is None:
                content = {}
        if not content:
            if body:
                yield "it has a body"
            return
        # A file has its own media type.
        if content_type not in content and "application/octet-stream" not in content:
            yield f"the content type {content_type!r} is none of {list(content)}"
        elif (schema := content.get("application/json", {}).get("schema")) is not None:
            try:
                document = json.loads(body)
            except ValueError:
                yield "the body is not JSON"
                return
            yield from self._wrong(document, schema)
            # The descriptions allow further properties, which a forge would ignore.
            unknown = set(document) - set(self._resolved(schema).get("properties", {}))
            yield from (f"no property {name}" for name in sorted(unknown))

    def _wrong(self, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
        whole = {"$id": "urn:this", **_absolute(schema)}
        for error in Draft202012Validator(whole, registry=self._registry).iter_errors(value):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Any = self.document
        if "$ref" not in schema:
            return schema
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found  # type: ignore[no-any-return]


def _typed(value: str, parameter: Mapping[str, Any]) -> Any:
    kind = parameter.get("schema", parameter).get("type")
    return int(value) if kind == "integer" and value.lstrip("-").isdigit() else value


def _absolute(value: Any) -> Any:
    """References into the description."""
    if isinstance(value, dict):
        return {
            name: f"urn:it{inner}" if name == "$ref" and isinstance(inner, str) else _absolute(inner)
            for name, inner in value.items()
        }
    return [_absolute(each) for each in value] if isinstance(value, list) else value


def _with_null(value: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema has it."""
    if isinstance(value, dict):
        inner = {name: _with_null(each) for name, each in value.items() if name != "nullable"}
        if value.get("nullable") is True:
            return {"anyOf": [inner, {"type": "null"}]}
        return inner
    return [_with_null(each) for each in value] if isinstance(value, list) else value
