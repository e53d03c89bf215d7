"""Notices: written with their cause, once per person and key, worded for each receiver, sent by mail that gets through."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from flask import Flask
from sqlalchemy import event, select, text
from sqlalchemy.engine import Engine

from config import Settings
from portal.kernel import outbox
from portal.kernel import settings as active
from portal.kernel.db import unrestricted
from portal.kernel.i18n import _l
from portal.notify import Message, notice_kind, notify, notify_each
from portal.notify.deliveries import queue_digests, wording
from portal.notify.models import Notice
from tests.factories.around import free_port

notice_kind("test.told", title=_l("Project"), body="%(what)s: %(record)s", url="/projects/%(id)s")
notice_kind("test.quiet", title=_l("Notices"), body="%(what)s", mail="digest")

Person = Callable[[str], int]


_portal: list[Flask] = []


@pytest.fixture(autouse=True)
def clean(app: Flask) -> None:
    _portal[:] = [app]
    with system() as s:
        for table in ("kernel_outbox", "notify_delivery", "notify_notice", "notify_preference"):
            s.execute(text(f"delete from {table}"))
        s.execute(text("update ab_user set active = true where username = 'sales.liu'"))


@contextmanager
def system() -> Iterator[Any]:
    """As the system, committed at the end; no context is left for the requests of a test client."""
    with _portal[0].app_context(), unrestricted("test") as s:
        yield s


def work() -> int:
    with _portal[0].app_context():
        return outbox.drain()


@pytest.fixture
def mail(settings: Settings, smtp: SimpleNamespace, clean: None) -> Iterator[list[EmailMessage]]:
    """Mail is set up; what the server received."""
    active.use(settings.model_copy(update={"smtp_host": smtp.host, "smtp_port": smtp.port, "smtp_from": "portal@shuniu.example"}))
    yield smtp.messages
    active.use(settings)


def tell(*people: int, kind: str = "test.told", what: str = "x", **kwargs: Any) -> int:
    with system():
        return notify(people, kind, params={"what": what}, **kwargs)


def words(notices: list[Notice], reader: int) -> list[Message]:
    with _portal[0].app_context():
        return wording(notices, reader)


def rows(sql: str) -> list[Any]:
    with system() as s:
        return list(s.execute(text(sql)).all())


def due_now() -> None:
    with system() as s:
        s.execute(text("update kernel_outbox set available_at = now(), leased_until = null where done_at is null and dead_at is null"))


def project(user_id: Person, name: str = "Project Alpha") -> Any:
    from modules.project.models import Project

    with system() as s:
        return s.scalars(select(Project).where(Project.name == name)).one()


# ------------------------------------------------------------------ writing
@pytest.mark.req("ALR-06", part="once per person and event")
def test_each_receiver_hears_a_thing_once(user_id: Person) -> None:
    wang, liu, leaver = user_id("member.wang"), user_id("sales.liu"), user_id("leaver")
    assert tell(wang, liu, wang, leaver, key="k") == 2, "nobody twice, and nobody whose account is disabled"
    assert tell(wang, liu, key="k") == 0 and tell(wang, key="other") == 1
    assert tell(wang) == 1 and tell(wang) == 1, "without a key a notice about no record is new each time"


@pytest.mark.req("ALR-06")
def test_a_notice_lives_and_dies_with_its_cause(user_id: Person) -> None:
    with pytest.raises(ZeroDivisionError), system():
        notify([user_id("member.wang")], "test.told", params={"what": "x"})
        _ = 1 / 0
    assert rows("select 1 from notify_notice") == [] and rows("select 1 from kernel_outbox") == []


@pytest.mark.req("ALR-06")
def test_people_tell_others_through_the_outbox_since_they_may_not_write_to_them(user_id: Person, request_as: Callable[..., Any]) -> None:
    with request_as("member.wang", keep=True):
        assert notify([user_id("sales.liu")], "test.told", params={"what": "x"}, key="k") == 0
    assert rows("select 1 from notify_notice") == []
    work()
    assert [row.receiver_id for row in rows("select receiver_id from notify_notice")] == [user_id("sales.liu")]


def test_many_at_once_are_one_statement(user_id: Person) -> None:
    told = [{"receiver": user_id("member.wang"), "key": f"k{n}", "params": {"what": n}} for n in range(500)]
    with counted() as statements, system():
        assert notify_each("test.told", told) == 500
    assert len([s for s in statements if "notify_notice" in s]) == 1


class counted:
    """`with counted() as statements:` the SQL of the block."""

    def __enter__(self) -> list[str]:
        self.statements: list[str] = []
        event.listen(Engine, "before_cursor_execute", self._note)
        return self.statements

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, _conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.statements.append(statement)


# ------------------------------------------------------------------ wording
@pytest.mark.req("ALR-07")
def test_a_notice_says_only_what_its_receiver_may_see(user_id: Person) -> None:
    chen, outsider, alpha = user_id("pm.chen"), user_id("outsider"), project(user_id)
    with system():
        notify([chen, outsider], "test.told", alpha, {"what": "secret"}, key="k")
    with system() as s:
        notices = {n.receiver_id: n for n in s.scalars(select(Notice))}
    (seen,), (hidden,) = words([notices[chen]], chen), words([notices[outsider]], outsider)
    assert seen.body == f"secret: {alpha}" and seen.url == f"/projects/{alpha.id}"
    assert "secret" not in hidden.title + hidden.body and "Alpha" not in hidden.title + hidden.body and hidden.url == ""


@pytest.mark.req("ALL-11", part="notices")
def test_a_notice_is_worded_in_the_receivers_language(user_id: Person) -> None:
    auditor, wang = user_id("auditor"), user_id("member.wang")
    tell(auditor, wang, key="k")
    with system() as s:
        notices = {n.receiver_id: n for n in s.scalars(select(Notice))}
    assert words([notices[auditor]], auditor)[0].title == "Project"
    assert words([notices[wang]], wang)[0].title == "项目"


def test_params_of_an_older_release_do_no_harm(user_id: Person) -> None:
    with system():
        notify([user_id("member.wang")], "test.told", params={"other": 1})
        notify([user_id("member.wang")], "test.nobody_declares_it", params={"other": 1})
    with system() as s:
        notices = list(s.scalars(select(Notice).order_by(Notice.id)))
    assert [m.title for m in words(notices, user_id("member.wang"))] == ["项目", "test.nobody_declares_it"]


# ------------------------------------------------------------------ mail
@pytest.mark.req("ALR-05", part="e-mail")
def test_mail_reaches_the_receiver_as_text_and_html(mail: list[EmailMessage], user_id: Person, settings: Settings) -> None:
    alpha = project(user_id)
    with system():
        notify([user_id("pm.chen")], "test.told", alpha, {"what": "<b>&\r\nBcc: x@y.example"}, key="k")
    assert mail == [], "nothing before the commit, nothing from the request itself"
    work()
    (letter,) = mail
    assert letter["To"].addresses[0].addr_spec == "pm.chen@shuniu.example" and letter["Bcc"] is None
    assert letter["Subject"] == "项目" and letter["Auto-Submitted"] == "auto-generated"
    plain = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    html = letter.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert f"{settings.public_url}/projects/{alpha.id}" in plain and "&lt;b&gt;&amp;" in html and "<b>&" not in html
    assert [row.state for row in rows("select state from notify_delivery")] == ["sent"]


@pytest.mark.req("ALR-07", part="e-mail")
def test_mail_says_only_what_its_receiver_may_see(mail: list[EmailMessage], user_id: Person) -> None:
    with system():
        notify([user_id("outsider")], "test.told", project(user_id), {"what": "secret"}, key="k")
    work()
    assert "secret" not in mail[0].as_string() and "Alpha" not in mail[0].as_string()


@pytest.mark.req("ALR-06", part="receivers are checked when sending")
def test_no_mail_to_an_account_that_was_disabled_meanwhile(mail: list[EmailMessage], user_id: Person) -> None:
    tell(user_id("sales.liu"), key="k")
    with system() as s:
        s.execute(text("update ab_user set active = false where username = 'sales.liu'"))
    work()
    assert mail == [] and [row.state for row in rows("select state from notify_delivery")] == ["skipped"]


@pytest.mark.req("ALR-06", part="retries")
def test_mail_waits_while_the_server_is_down_and_arrives_once(settings: Settings, user_id: Person) -> None:
    port = free_port()
    active.use(settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": port}))
    try:
        tell(user_id("sales.liu"), key="k")
        work()
        (delivery,) = rows("select state, attempts, last_error from notify_delivery")
        assert delivery.state == "waiting" and delivery.attempts == 1 and "ConnectionRefused" in delivery.last_error
        received: list[Any] = []

        class Keep:
            async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
                received.append(envelope.content)
                return "250 OK"

        server = Controller(Keep(), hostname="127.0.0.1", port=port)
        server.start()
        try:
            due_now()
            work()
            due_now()
            work()
        finally:
            server.stop()
        (delivery,) = rows("select state, attempts, last_error from notify_delivery")
        assert len(received) == 1 and (delivery.state, delivery.attempts, delivery.last_error) == ("sent", 2, None)
    finally:
        active.use(settings)


@pytest.mark.req("ALR-06", part="dead letters")
def test_mail_the_server_refuses_for_good_is_not_tried_again(settings: Settings, user_id: Person) -> None:
    class Refuse:
        async def handle_RCPT(self, _server: Any, _session: Any, _envelope: Any, _address: str, _options: Any) -> str:
            return "550 no such user"

    server = Controller(Refuse(), hostname="127.0.0.1", port=free_port())
    server.start()
    active.use(settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": server.port}))
    try:
        tell(user_id("sales.liu"), key="k")
        work()
    finally:
        active.use(settings)
        server.stop()
    (delivery,) = rows("select state, last_error from notify_delivery")
    assert delivery.state == "failed" and "550 no such user" in delivery.last_error
    assert rows("select 1 from kernel_outbox where done_at is null") == []


@pytest.mark.req("ALR-05", part="digest")
def test_a_digest_is_one_mail(mail: list[EmailMessage], user_id: Person) -> None:
    from portal.kernel import calendar

    for n in range(3):
        tell(user_id("sales.liu"), kind="test.quiet", what=f"thing {n}", key=f"k{n}")
    work()
    assert mail == []
    for _ in range(2):
        with system():
            queue_digests(calendar.now())
        work()
    (letter,) = mail
    assert letter["Subject"] == "3 条通知"
    plain = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert [f"thing {n}" in plain for n in range(3)] == [True] * 3


@pytest.mark.req("ALR-05", part="webhook")
def test_a_chat_service_gets_the_persons_own_message(user_id: Person) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    from portal.notify.channels import ADDRESSES
    from portal.notify.models import Preference

    got: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with system() as s:
            ADDRESSES["webhook"].set(f"json://127.0.0.1:{server.server_port}/hook/{{username}}")
            s.add(Preference(user_id=user_id("sales.liu"), kind="test.told", channel="webhook", mode="now"))
        tell(user_id("sales.liu"), user_id("member.wang"), what="hello", key="k")
        work()
        with system():
            ADDRESSES["webhook"].set(f"json://127.0.0.1:{server.server_port}/group")
        tell(user_id("sales.liu"), what="hello", key="again")
        work()
    finally:
        server.shutdown()
    ((path, body),) = got
    assert path == "/hook/sales.liu" and body["title"] == "项目" and "hello" in body["message"]
    assert [row.state for row in rows("select state from notify_delivery order by id")] == ["sent", "skipped"], "never to a group"


# ------------------------------------------------------------------ pages
@pytest.mark.req("ALR-05", part="portal")
def test_the_bell_learns_of_a_notice_and_costs_one_statement_while_nothing_happens(user_id: Person, client_as: Callable[..., Any]) -> None:
    client = client_as("member.wang")
    empty = client.get("/notices/poll")
    assert empty.json == {"unread": 0, "items": []}
    with counted() as statements:
        same = client.get("/notices/poll", headers={"If-None-Match": empty.headers["ETag"]})
    assert same.status_code == 304 and same.data == b""
    assert len([s for s in statements if "app_begin" not in s]) == 1
    tell(user_id("member.wang"), user_id("sales.liu"), key="k")
    news = client.get("/notices/poll", headers={"If-None-Match": empty.headers["ETag"]})
    assert news.status_code == 200 and news.json["unread"] == 1
    (item,) = news.json["items"]
    assert item["title"] == "项目" and not item["read"] and item["url"] == f"/notices/{item['id']}"
    assert client.post("/notices/read").json == {"unread": 0}
    assert client.get("/notices/poll").json["items"][0]["read"] is True
    assert client_as("sales.liu").get("/notices/poll").json["unread"] == 1, "the other one's is still unread"
    assert client_as(None).get("/notices/poll").status_code in (302, 401)


@pytest.mark.req("ALR-05", part="portal")
def test_opening_and_listing(user_id: Person, client_as: Callable[..., Any]) -> None:
    alpha = project(user_id)
    with system():
        notify([user_id("pm.chen")], "test.told", alpha, {"what": "x"}, key="k")
    client = client_as("pm.chen")
    pk = client.get("/notices/poll").json["items"][0]["id"]
    assert f"/notices/{pk}" in client.get("/notices/").text and client.get("/notices/?unread=1").status_code == 200
    assert client_as("sales.liu").get(f"/notices/{pk}").status_code == 404
    answer = client.get(f"/notices/{pk}")
    assert answer.status_code == 303 and answer.headers["Location"].endswith(f"/projects/{alpha.id}")
    assert client.get("/notices/poll").json["unread"] == 0


@pytest.mark.parametrize("body", [{"ids": "1"}, {"ids": [True]}, {"ids": [2**63]}, {"ids": [-1]}, {}, [], {"ids": list(range(1, 2000))}])
def test_nonsense_to_the_read_address_is_refused(body: Any, client_as: Callable[..., Any]) -> None:
    assert client_as("member.wang").post("/notices/read", json=body).status_code == 422


@pytest.mark.req("ALR-05", part="portal")
def test_rest_gives_ones_own_notices_only(user_id: Person, client_as: Callable[..., Any]) -> None:
    tell(user_id("member.wang"), user_id("sales.liu"), key="k")
    answer = client_as("member.wang").get("/api/v1/notices/")
    assert answer.status_code == 200 and [row["receiver_id"] for row in answer.json["result"]] == [user_id("member.wang")]
    assert client_as("member.wang").post("/api/v1/notices/", json={"kind": "x"}).status_code in (404, 405)


@pytest.mark.req("ALR-05", part="preferences")
def test_preferences_decide_which_mail_comes(mail: list[EmailMessage], user_id: Person, client_as: Callable[..., Any]) -> None:
    client = client_as("sales.liu")
    page = client.get("/notice-preferences/")
    assert page.status_code == 200 and 'name="test.told:mail"' in page.text
    assert client.post("/notice-preferences/", data={"test.told:mail": "off", "test.quiet:mail": "now"}).status_code == 303
    assert client.post("/notice-preferences/", data={"test.told:mail": "sometimes"}).status_code == 422
    tell(user_id("sales.liu"), user_id("member.wang"), key="k")
    tell(user_id("sales.liu"), kind="test.quiet", key="q")
    work()
    assert sorted(letter["To"].addresses[0].username for letter in mail) == ["member.wang", "sales.liu"]
    assert [letter["Subject"] for letter in mail if "sales" in letter["To"]] == ["通知"]
    assert client.post("/notice-preferences/", data={"test.told:mail": "now"}).status_code == 303
    tell(user_id("sales.liu"), key="again")
    work()
    assert len(mail) == 3
