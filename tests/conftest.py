"""What every test may ask for: the application on a database of its own, people signed in to it, and the services around it."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from flask import Flask, g
from flask.testing import FlaskClient

from config import Settings
from tests.factories import databases
from tests.factories.databases import Database

pytest_plugins = ["tests.factories.around"]
SECRET = "tests-tests-tests-tests-tests-tests-0"


# ------------------------------------------------------------------ the run
def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="long tests at full depth")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault(databases.RUN, uuid.uuid4().hex[:8])  # processes of pytest-xdist inherit it
    os.environ.setdefault("SHUNIU_SECRET_KEY", SECRET)  # tests without the application still ask for the company's zone


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and os.environ.get("SHUNIU_TEST_KEEP") != "1":
        databases.drop_all(os.environ[databases.RUN])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="only with --soak"))


@pytest.fixture(scope="session")
def depth(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """`depth(ordinary, soak)`: how often to try, the second number with --soak."""
    soak = bool(pytestconfig.getoption("--soak"))
    return lambda ordinary, full: full if soak else ordinary


# ------------------------------------------------------------------ the application
def _make(database: Database, app: Flask, settings: Settings) -> None:
    from portal import schema
    from tests.factories import company

    schema.migrate(app, settings)
    with app.app_context():
        company.build()


@pytest.fixture(scope="session")
def _system(worker_id: str) -> Iterator[SimpleNamespace]:
    """The application of this process with its database, made once; tests ask for `app`."""
    made = SimpleNamespace(app=None, used=False, spoilt=False)

    def make(database: Database) -> None:
        _make(database, made.app, made.settings)

    made.database = Database(worker_id, make)
    made.settings = _settings(made.database)
    from portal.app import create_app

    made.app = create_app(made.settings, TESTING=False, PROPAGATE_EXCEPTIONS=False)
    made.disconnect = lambda: _disconnect(made.app)
    yield made
    made.disconnect()


def _settings(database: Database) -> Settings:
    url = os.environ.get("SHUNIU_TEST_PORTAL_URL", "http://127.0.0.1:8000")
    return Settings(
        database_url=database.url("SHUNIU_TEST_PG_APP_URL"),
        worker_database_url=database.url("SHUNIU_TEST_PG_WORKER_URL"),
        owner_database_url=database.url("SHUNIU_TEST_PG_OWNER_URL"),
        redis_url=None,
        secret_key=SECRET,
        public_url=url,
        trusted_hosts=["localhost", "127.0.0.1"],
        oidc_issuer=os.environ.get("SHUNIU_TEST_OIDC_ISSUER", "http://127.0.0.1:8001/realms/shuniu"),
        oidc_client_secret=os.environ.get("SHUNIU_TEST_OIDC_CLIENT_SECRET", "unused"),
        oidc_api_clients=["portal-demo-cli"],
    )


def _disconnect(app: Flask) -> None:
    from portal.kernel.db import db

    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture(scope="module")
def app(_system: SimpleNamespace) -> Iterator[Flask]:
    """The portal on a database with the invented company, made anew for every test module."""
    _renew(_system)
    yield _system.app


@pytest.fixture
def fresh_db(app: Flask, _system: SimpleNamespace) -> Iterator[None]:
    """The database as at the start of the module, for this test alone; the next test finds it anew."""
    if _system.used:
        _renew(_system)
    yield
    _system.used = True
    _system.spoilt = True


@pytest.fixture(autouse=True)
def _unspoilt(request: pytest.FixtureRequest) -> None:
    """After a test with `fresh_db` the next one that uses the application gets a new database; made only then."""
    if "app" in request.fixturenames:
        system = request.getfixturevalue("_system")
        request.getfixturevalue("app")
        if system.spoilt:
            _renew(system)
        if "fresh_db" not in request.fixturenames:
            system.used = True


@pytest.fixture(autouse=True)
def _uncounted() -> None:
    """What a test tried does not count against the next one."""
    from security import rates

    rates.forget()


def _renew(system: SimpleNamespace) -> None:
    from portal.kernel import settings as active
    from portal.kernel.settings import forget_values
    from security import manager

    system.used = system.spoilt = False
    active.use(system.settings)
    system.database.renew(system.disconnect)
    manager._permissions.clear()
    forget_values()


@pytest.fixture(scope="module")
def settings(_system: SimpleNamespace) -> Settings:
    """The settings of `app`."""
    return _system.settings


@pytest.fixture(scope="module")
def database(app: Flask, _system: SimpleNamespace) -> Database:
    """Names and addresses of the database of `app`."""
    return _system.database


@pytest.fixture
def superuser(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection past all rules, autocommitting: for oracles and for arranging what nobody may do."""
    with psycopg.connect(database.super_dsn(), autocommit=True) as conn:
        yield conn


# ------------------------------------------------------------------ people
@pytest.fixture(scope="module")
def user_id(app: Flask, database: Database) -> Callable[[str], int]:
    """`user_id("pm.chen")`."""
    known: dict[str, int] = {}

    def find(username: str) -> int:
        if username not in known:
            with psycopg.connect(database.super_dsn()) as conn:
                known.update(conn.execute("select username, id from ab_user").fetchall())
        return known[username]

    return find


@pytest.fixture(scope="module")
def token_of(app: Flask, user_id: Callable[[str], int], _system: SimpleNamespace) -> Callable[..., str]:
    """`token_of("pm.chen", kind="browser")`: the token of a living server session, made once per person and kind."""
    from security import sessions

    known: dict[tuple[int, str, str], str] = {}

    def start(username: str, kind: str = "browser") -> str:
        key = (_system.database.generation, username, kind)
        if key not in known:
            with app.app_context():
                known[key] = sessions.start(user_id(username), kind=kind)
        return known[key]

    return start


class Client(FlaskClient):
    """A test client that sends the CSRF token of its session as the pages' scripts do; `client.csrf = False` leaves it out."""

    csrf = True

    def open(self, *args: Any, **kwargs: Any) -> Any:
        if self.csrf and str(kwargs.get("method", "GET")).upper() not in ("GET", "HEAD", "OPTIONS"):
            headers = dict(kwargs.pop("headers", None) or {})
            headers.setdefault("X-CSRFToken", self.csrf_token())
            kwargs["headers"] = headers
        return super().open(*args, **kwargs)

    def csrf_token(self) -> str:
        """The token that forms carry."""
        from itsdangerous import URLSafeTimedSerializer

        with self.session_transaction() as cookie:
            raw = cookie.setdefault("csrf_token", uuid.uuid4().hex)
        return URLSafeTimedSerializer(self.application.secret_key, salt="wtf-csrf-token").dumps(raw)


@pytest.fixture(scope="module")
def client_as(app: Flask, token_of: Callable[..., str]) -> Callable[[str | None], Client]:
    """`client_as("pm.chen")`: a test client that holds the cookie of a living session; None: nobody's."""
    app.test_client_class = Client

    def make(username: str | None) -> Client:
        client = app.test_client()
        assert isinstance(client, Client)
        if username is not None:
            with client.session_transaction() as cookie:
                cookie["sid"] = token_of(username)
        return client

    return make


@pytest.fixture
def client(client_as: Callable[[str | None], Client]) -> Client:
    """Nobody's test client."""
    return client_as(None)


Opener = Callable[[str], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def session_as(app: Flask, user_id: Callable[[str], int]) -> Opener:
    """`with session_as("pm.chen") as s:` an ORM session that sees what the person sees; nothing in it is kept."""
    from portal.kernel.db import as_person

    @contextmanager
    def opened(username: str) -> Iterator[Any]:
        with app.app_context(), as_person(user_id(username)) as s:
            yield s

    return opened


@pytest.fixture(scope="module")
def request_as(app: Flask, token_of: Callable[..., str]) -> Callable[..., AbstractContextManager[Any]]:
    """`with request_as("pm.chen") as s:` inside a request of that person, rolled back at the end (`keep=True`: committed)."""
    from portal.kernel.db import db, session

    @contextmanager
    def opened(username: str | None, keep: bool = False, **request: Any) -> Iterator[Any]:
        with app.test_request_context("/", **request):
            if username is not None:
                g.credential = token_of(username)
            try:
                yield session()
                if keep:
                    db.session().finish()
            finally:
                db.session.rollback()
                db.session.remove()

    return opened


@pytest.fixture(scope="module")
def raw_as(database: Database, token_of: Callable[..., str]) -> Callable[[str | None], AbstractContextManager[psycopg.Connection[Any]]]:
    """`with raw_as("pm.chen") as conn:` plain SQL on the web's login role, in a transaction begun for the person; rolled back.

    None: the transaction is begun for nobody. `raw_as("")` does not begin at all.
    """
    from sqlalchemy.engine import make_url

    @contextmanager
    def opened(username: str | None) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(databases.dsn(make_url(database.url("SHUNIU_TEST_PG_APP_URL")))) as conn:
            if username != "":
                conn.execute("select app_begin(%s, 'test', '')", [token_of(username) if username else ""])
            try:
                yield conn
            finally:
                conn.rollback()

    return opened


@pytest.fixture
def worker(app: Flask) -> Callable[[], int]:
    """`worker()`: do now what a worker process would do, until the outbox is empty; the number of rows handled."""
    from portal.kernel import outbox

    def work() -> int:
        with app.app_context():
            return outbox.drain()

    return work
