"""A stand-in for PostgREST, the HTTP server through which supabase-js reaches Postgres.

PostgREST is a Haskell program that no Python or npm package brings, and what an app types is to be
tested with the real supabase-js against a real Postgres. So this speaks the part of PostgREST's
protocol which that needs, and nothing more:

- ``POST /rest/v1/rpc/FUNCTION`` with a JSON object of named arguments;
- ``GET /rest/v1/RELATION?select=a,b&COLUMN=in.(…)`` (or ``eq.…``);
- ``GET /auth/v1/user``, which Supabase's Auth answers: the user of a token, if it is one's;
- keys and tokens are JWTs, signed by HS256: ``Authorization`` says who asks, ``apikey`` that the
  app may ask at all;
- as PostgREST does, each request is one transaction of the role ``authenticator`` which begins with
  ``set local role`` to the token's role and with its claims in ``request.jwt.claims``, under that
  role's statement timeout on Supabase, read-only for a GET and for a function that is not VOLATILE;
  arguments are matched by name, and errors are ``{code, message, details, hint}`` with PostgREST's
  status (that of somebody who has not signed in).

What a test through it shows: the client's calls, the SQL, its rights and its limits. What it cannot
show: expired tokens, content negotiation, embedding, and any other query PostgREST understands.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
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

SECRET = b"the secret of the test's project"
STATEMENT_TIMEOUT_SECONDS = {"anon": 3, "authenticated": 8, "service_role": 8}
STATUS_BY_SQLSTATE = {"42501": 401, "42P01": 404, "42883": 404, "25006": 405, "P0001": 400}


def token(role: str, sub: str | None = None) -> str:
    """Return a JWT: a key of the project, or of somebody who has signed in."""
    claims = {"role": role, "exp": 4102444800} | ({"sub": sub} if sub else {})  # to 2100
    signed = (
        f"{_encoded(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_encoded(json.dumps(claims))}"
    )
    return f"{signed}.{_signature_of(signed)}"


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _signature_of(signed: str) -> str:
    digest = hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


ANON_KEY, SERVICE_KEY = token("anon"), token("service_role")


class RefusalError(Exception):
    """An answer that PostgREST gives itself, without asking Postgres."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "details": None, "hint": hint}


@contextmanager
def gateway(dsn: str) -> Iterator[str]:
    """Serve the database's schema ``public`` inside the block; yields the URL.

    Args:
        dsn: of the role ``authenticator``, which may become each of the tokens' roles.
    """

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
        if self.headers.get("apikey") not in (ANON_KEY, SERVICE_KEY):
            raise RefusalError(401, "", "Invalid API key")
        claims = _claims(self.headers.get("Authorization", "").removeprefix("Bearer "))
        url = urlsplit(self.path)
        match url.path.removeprefix("/rest/v1/").split("/"), self.command:
            case ["rpc", function], "POST":
                return self._call(claims, function, json.loads(sent))
            case ["", "auth", "v1", "user"], "GET":
                return _user(claims)
            case [relation], "GET":
                return self._select(claims, relation, dict(parse_qsl(url.query)))
        raise RefusalError(404, "PGRST125", f"Invalid path: {self.command} {url.path}")

    def _call(self, claims: dict[str, Any], function: str, arguments: dict[str, Any]) -> str:
        with psycopg.connect(self.database, row_factory=tuple_row) as connection:
            types, is_volatile, is_set = _signature(connection, function, arguments)
            named = sql.SQL(", ").join(
                sql.SQL("{} => arguments.{}").format(sql.Identifier(name), sql.Identifier(name))
                for name in arguments
            )
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name]))
                for name in arguments
            )
            answer = "coalesce(json_agg(answer), '[]')" if is_set else "to_json(min(answer))"
            given = "json_to_record(%s) as arguments({columns}), lateral " if arguments else ""
            query = sql.SQL(
                f"select {answer}::text from {given}public.{{function}}({{named}}) as answer"
            ).format(columns=columns, function=sql.Identifier(function), named=named)
            values = [json.dumps(arguments)] if arguments else []
            return _as_role(connection, claims, query, values, not is_volatile)

    def _select(self, claims: dict[str, Any], relation: str, parameters: dict[str, str]) -> str:
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
            return _as_role(connection, claims, query, values, read_only=True)


def _claims(sent: str) -> dict[str, Any]:
    """Return what a token says.

    Raises:
        RefusalError: it is not signed by this project.
    """
    signed, _, signature = sent.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature_of(signed).encode()):
        raise RefusalError(401, "PGRST301", "JWSError JWSInvalidSignature")
    body = signed.partition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def _user(claims: dict[str, Any]) -> str:
    """Return the account of a token.

    Raises:
        RefusalError: it is the app's key, and nobody's.
    """
    if "sub" not in claims:
        raise RefusalError(403, "bad_jwt", "invalid claim: missing sub claim")
    return json.dumps({"id": claims["sub"], "role": claims["role"], "aud": claims["role"]})


def _as_role(
    connection: psycopg.Connection[Any],
    claims: dict[str, Any],
    query: sql.Composed,
    values: list[Any],
    read_only: bool,
) -> str:
    """Run one query as PostgREST does and return its JSON text."""
    connection.rollback()
    role = claims["role"]
    with connection.transaction():
        if read_only:
            connection.execute("set transaction read only")
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)]
        )
        timeout = STATEMENT_TIMEOUT_SECONDS[role]
        connection.execute(f"set local statement_timeout = '{timeout}s'")
        row = connection.execute(query, values).fetchone()
    assert row is not None
    return str(row[0])


def _signature(
    connection: psycopg.Connection[Any], function: str, arguments: dict[str, Any]
) -> tuple[dict[str, str], bool, bool]:
    """Return of the function with these names the input types, whether it is VOLATILE and a set.

    Raises:
        RefusalError: there is none, or more than one, that takes exactly these arguments.
    """
    found = connection.execute(
        "select proargnames[1:pronargs],"
        " array(select format_type(t, null) from unnest(proargtypes) with ordinality as a(t, n)"
        " order by n), pronargs - pronargdefaults, provolatile = 'v', proretset"
        " from pg_proc where pronamespace = 'public'::regnamespace and proname = %s",
        [function],
    ).fetchall()
    fitting = [
        (dict(zip(names, types, strict=True)), is_volatile, is_set)
        for names, types, required, is_volatile, is_set in found
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
