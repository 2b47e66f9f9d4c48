"""Requests of every shape, generated from /openapi.json, against a real database."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from conftest import make_settings
from interfaces.http_server import serving
from postgres_server import PostgresServer
from serving.app_world import make_app

# uvicorn refuses a URL of 64 KiB before the app sees it.
LONGEST_URL = 60_000


def test_requests_of_every_shape_get_the_answers_of_the_schema(
    postgres_server: PostgresServer,
) -> None:
    """Generated from /openapi.json: valid and invalid ones, and what lies at the bounds."""
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        negative_data_rejection,
        unsupported_method,
    ]
    bounded = settings(
        max_examples=12,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    dsn = make_app(postgres_server, "http_schema", slots=True)
    tried = 0
    with serving(make_settings("postgres", database_url=dsn)) as client:
        schema = schemathesis.openapi.from_url(str(client.base_url.join("/openapi.json")))
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in schemathesis.GenerationMode:

                @bounded
                @given(operation.as_strategy(generation_mode=mode))
                def ask(case: Any) -> None:
                    nonlocal tried
                    tried += 1
                    query = case.as_transport_kwargs().get("params") or {}
                    if len(urlencode(query, doseq=True)) > LONGEST_URL:
                        return
                    case.call_and_validate(checks=checks)

                ask()
    assert tried > 400
