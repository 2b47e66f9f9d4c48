"""A stand-in for PostgREST, the HTTP server through which supabase-js reaches Postgres.

PostgREST is a Haskell program that no Python or npm package brings, and the app's snippet is to be
tested with the real supabase-js against a real Postgres. So this speaks the part of PostgREST's
protocol which that snippet uses, and nothing more:

- ``POST /rest/v1/rpc/FUNCTION`` with a JSON object of named arguments;
- ``GET /rest/v1/RELATION?select=a,b&COLUMN=in.(…)`` (or ``eq.…``);
- as PostgREST does, each request is one transaction in the role of the caller, under that role's
  statement timeout (3 s on Supabase for ``anon``), read-only for a GET and for a function that is
  not VOLATILE; arguments are matched by name, and errors are ``{code, message, details, hint}``
  with PostgREST's status.

What a test through it shows: the client's calls, the SQL, its rights and its limits. What it cannot
show: JWTs, content negotiation, embedding, and any other query PostgREST understands.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

ANON_KEY = "anon-key-of-the-test"
SERVICE_KEY = "service-key-of-the-test"
ROLES = {ANON_KEY: "anon", SERVICE_KEY: "service_role"}
STATEMENT_TIMEOUT_SECONDS = 3
STATUS_BY_SQLSTATE = {"42501": 401, "42P01": 404, "42883": 404, "25006": 405, "P0001": 400}


class RefusalError(Exception):
    """An answer that PostgREST gives itself, without asking Postgres."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "details": None, "hint": hint}


@contextmanager
def gateway(dsn: str) -> Iterator[str]:
    """Serve the database's schema ``public`` to a key's role inside the block; yields the URL."""

    class Handler(_Handler):
        database = dsn

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    database: str

    def do_POST(self) -> None:
        self._respond()

    def do_GET(self) -> None:
        self._respond()

    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""

    def _respond(self) -> None:
        try:
            status, body = 200, self._answer()
        except RefusalError as refusal:
            status, body = refusal.status, json.dumps(refusal.body)
        except psycopg.Error as error:
            status, body = _status(error), json.dumps(_error_body(error))
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _answer(self) -> str:
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length)
        role = ROLES.get(self.headers.get("apikey") or "")
        if role is None:
            raise RefusalError(401, "", "Invalid API key")
        url = urlsplit(self.path)
        match url.path.removeprefix("/rest/v1/").split("/"), self.command:
            case ["rpc", function], "POST":
                return self._call(role, function, json.loads(sent))
            case [relation], "GET":
                return self._select(role, relation, dict(parse_qsl(url.query)))
        raise RefusalError(404, "PGRST125", f"Invalid path: {self.command} {url.path}")

    def _call(self, role: str, function: str, arguments: dict[str, Any]) -> str:
        with psycopg.connect(self.database, row_factory=tuple_row) as connection:
            types, is_volatile = _signature(connection, function, arguments)
            named = sql.SQL(", ").join(
                sql.SQL("{} => arguments.{}").format(sql.Identifier(name), sql.Identifier(name))
                for name in arguments
            )
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name]))
                for name in arguments
            )
            query = sql.SQL(
                "select coalesce(json_agg(answer), '[]')::text"
                " from json_to_record(%s) as arguments({columns}),"
                " lateral public.{function}({named}) as answer"
            ).format(columns=columns, function=sql.Identifier(function), named=named)
            return _as_role(role, connection, query, [json.dumps(arguments)], not is_volatile)

    def _select(self, role: str, relation: str, parameters: dict[str, str]) -> str:
        columns = parameters.pop("select", "").split(",")
        conditions = [
            sql.SQL("{}::text = any(%s)").format(sql.Identifier(column)) for column in parameters
        ]
        query = sql.SQL(
            "select coalesce(json_agg(found), '[]')::text"
            " from (select {columns} from public.{relation} where {conditions}) as found"
        ).format(
            columns=sql.SQL(", ").join(sql.Identifier(column) for column in columns),
            relation=sql.Identifier(relation),
            conditions=sql.SQL(" and ").join([sql.SQL("true"), *conditions]),
        )
        values = [_operands(condition) for condition in parameters.values()]
        with psycopg.connect(self.database, row_factory=tuple_row) as connection:
            return _as_role(role, connection, query, values, read_only=True)


def _as_role(
    role: str,
    connection: psycopg.Connection[Any],
    query: sql.Composed,
    values: list[Any],
    read_only: bool,
) -> str:
    """Run one query as PostgREST does and return its JSON text."""
    connection.rollback()
    with connection.transaction():
        if read_only:
            connection.execute("set transaction read only")
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        connection.execute(f"set local statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
        row = connection.execute(query, values).fetchone()
    assert row is not None
    return str(row[0])


def _signature(
    connection: psycopg.Connection[Any], function: str, arguments: dict[str, Any]
) -> tuple[dict[str, str], bool]:
    """Return the input types by name, and whether it is VOLATILE, of the function with these names.

    Raises:
        RefusalError: there is none, or more than one, that takes exactly these arguments.
    """
    found = connection.execute(
        "select proargnames[1:pronargs],"
        " array(select format_type(t, null) from unnest(proargtypes) with ordinality as a(t, n)"
        " order by n), pronargs - pronargdefaults, provolatile = 'v'"
        " from pg_proc where pronamespace = 'public'::regnamespace and proname = %s",
        [function],
    ).fetchall()
    fitting = [
        (dict(zip(names, types, strict=True)), is_volatile)
        for names, types, required, is_volatile in found
        if set(names[:required]) <= set(arguments) <= set(names)
    ]
    if len(fitting) == 1:
        return fitting[0]
    called = f"public.{function}({', '.join(sorted(arguments))})"
    if fitting:
        raise RefusalError(
            300, "PGRST203", f"Could not choose the best candidate function for {called}"
        )
    raise RefusalError(404, "PGRST202", f"Could not find the function {called} in the schema cache")


def _operands(condition: str) -> list[str]:
    """Return the values of ``eq.value`` or ``in.(a,"b")``."""
    operator, _, value = condition.partition(".")
    if operator == "eq":
        return [value]
    if operator == "in":
        items = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,()]+)', value)
        return [re.sub(r"\\(.)", r"\1", quoted) or plain for quoted, plain in items]
    raise RefusalError(400, "PGRST100", f'"failed to parse filter ({condition})"')


def _status(error: psycopg.Error) -> int:
    code = error.sqlstate or ""
    is_server_side = code[:2] in {"09", "25", "38", "39", "3B", "40", "54", "55", "57", "58"}
    return STATUS_BY_SQLSTATE.get(code, 500 if is_server_side or not code else 400)


def _error_body(error: psycopg.Error) -> dict[str, str | None]:
    said = error.diag
    return {
        "code": error.sqlstate,
        "message": said.message_primary or str(error),
        "details": said.message_detail,
        "hint": said.message_hint,
    }
