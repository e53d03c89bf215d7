"""The application catalogue: who finds what, which addresses are taken, what is noted, what Keycloak knows (POR-08)."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal.applications import clients, jobs
from portal.kernel.db import unrestricted
from portal.kernel.errors import Unavailable

API = "/api/v1/applications/"
Clients = Callable[..., Any]


def register(admin: Any, **values: Any) -> Any:
    """A new application by REST."""
    category = admin.get("/api/v1/application-categories/").json["ids"][0]
    given = {"name": {"zh": "代码", "en": "Code"}, "url": "https://code.example.invalid/", "category_id": category, "roles": ["qa"]}
    return admin.post(API, json=given | values)


def found_by(client: Any) -> set[str]:
    """English names of what a person finds by REST."""
    return {row["name"]["en"] for row in client.get(API).json["result"]}


@pytest.mark.req("POR-08", part="visibility")
def test_people_find_the_applications_of_their_roles(fresh_db: None, client_as: Clients) -> None:
    admin = client_as("admin")
    assert found_by(admin) == {"wiki", "ledger", "attic", "draft"}, "administrators keep the whole catalogue"
    assert found_by(client_as("member.wang")) == {"wiki"}
    assert found_by(client_as("finance")) == {"wiki", "ledger"}
    pages = {name: client_as(name).get("/launcher/").text for name in ("member.wang", "finance", "qa", "admin")}
    shown = {name: {word for word in ("wiki", "ledger", "attic", "draft") if f"应用 {word}" in page} for name, page in pages.items()}
    assert shown == {"member.wang": {"wiki"}, "finance": {"wiki", "ledger"}, "qa": {"wiki"}, "admin": {"wiki"}}, (
        "own tiles, closed ones left out"
    )
    hidden = next(r["id"] for r in admin.get(API).json["result"] if r["name"]["en"] == "ledger")
    for address in (f"/launcher/{hidden}", f"{API}{hidden}"):
        assert client_as("member.wang").get(address).status_code == 404
    made = register(admin)
    assert made.status_code == 201, made.text
    assert "Code" in found_by(client_as("qa")) and "Code" not in found_by(client_as("finance"))
    changed = admin.put(f"{API}{made.json['id']}", json={"roles": ["finance"]}, headers={"If-Match": made.headers["ETag"]})
    assert changed.status_code == 200, changed.text
    assert "Code" in found_by(client_as("finance")) and "Code" not in found_by(client_as("qa")), "holds from the next request"
    assert register(client_as("member.wang")).status_code == 403
    assert client_as("member.wang").get("/applications/add").status_code == 403


@pytest.mark.req("POR-08", part="address")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("javascript:alert(1)", "https://"),
        ("JaVaScRiPt://x/%0aalert(1)", "https://"),
        ("data:text/html,x", "https://"),
        ("ftp://files.example.invalid/", "https://"),
        ("//code.example.invalid/", "https://"),
        ("/relative", "https://"),
        ("https:///nohost", "主机名"),
        ("https:code.example.invalid", "主机名"),
        ("https://user:secret@code.example.invalid/", "用户名和密码"),
        ("https://user@code.example.invalid/", "用户名和密码"),
        ("https://code.example.invalid\\@evil.invalid/", "反斜杠"),
        ("https://code.example.invalid/\tx", "空白"),
        ("https://code.example.invalid:99999/", "无效"),
        ("https://" + "x" * 1000 + ".invalid/", "1000"),
    ],
)
def test_only_web_addresses_are_taken(client_as: Clients, url: str, words: str) -> None:
    admin = client_as("admin")
    refused = register(admin, url=url)
    assert refused.status_code == 422 and words in refused.json["error"]["fields"]["url"], refused.text
    category = admin.get("/api/v1/application-categories/").json["ids"][0]
    form = {"name.zh": "名字仍在", "name.en": "kept", "url": url, "category_id": category, "icon": "mail", "roles": ["qa"]}
    page = admin.post("/applications/add", data=form)
    assert page.status_code == 422 and "名字仍在" in page.text and words in page.text, "shown again with the reason"


def test_the_database_refuses_what_the_form_would(app: Flask) -> None:
    """Whatever way a row comes by, its address is one a browser may be sent to."""
    from sqlalchemy.exc import IntegrityError

    for url in ("javascript:alert(1)", "https://u:p@host/", "https://", "https:///x", "http://a b/", "https://a\\@b/"):
        with app.app_context(), pytest.raises(IntegrityError), unrestricted("test") as s:
            s.execute(text("update applications_application set url = :u"), {"u": url})
    with app.app_context(), unrestricted("test") as s:
        for url in ("https://a/", "http://127.0.0.1:8001/realms/x?y=1#z", "HTTPS://a", "https://a?x=@b"):
            s.execute(
                text("update applications_application set url = :u where id = (select min(id) from applications_application)"), {"u": url}
            )
        s.rollback()


@pytest.mark.req("POR-08", part="launch")
def test_an_opening_is_noted_and_counted_without_names(
    fresh_db: None, client_as: Clients, superuser: Any, user_id: Callable[[str], int]
) -> None:
    wang, admin = client_as("member.wang"), client_as("admin")
    wiki = wang.get(API).json["ids"][0]
    assert f'href="/launcher/{wiki}" target="_blank" rel="noopener"' in wang.get("/launcher/").text
    superuser.execute("update applications_launch set at = at - interval '1 hour'")
    before = superuser.execute("select count(*) from applications_launch").fetchone()[0]
    gone = wang.get(f"/launcher/{wiki}")
    assert gone.status_code == 303 and gone.headers["Location"] == "https://wiki.example.invalid/"
    noted = superuser.execute(
        "select user_id, application_id, at > now() - interval '1 minute' from applications_launch order by id desc"
    ).fetchall()
    assert len(noted) == before + 1 and noted[0] == (user_id("member.wang"), wiki, True)
    launches = "/api/v1/application-launches/"
    assert client_as("auditor").get(launches).json["count"] == before + 1
    assert wang.get(launches).json["count"] == 2, "the own ones"
    assert admin.get(launches).json["count"] == 0, "administrators get no profile of people"
    assert '"/application-launches/"' in client_as("auditor").get("/").text and '"/application-launches/"' not in admin.get("/").text
    page = admin.get(f"/applications/{wiki}").text
    assert re.search(r"30 天打开次数.{0,200}>3<", page, re.S), "opened three times, by whomever"
    superuser.execute("update applications_launch set at = now() - interval '91 days'")
    from portal.kernel.db import unrestricted as system

    with wang.application.app_context(), system("test"):
        jobs.forget_openings()
    assert superuser.execute("select count(*) from applications_launch").fetchone()[0] == 0


def test_reloading_does_not_fill_the_log(fresh_db: None, client_as: Clients, superuser: Any) -> None:
    """An address anybody can reload notes one opening per person, application and minute."""
    wang, zhao = client_as("member.wang"), client_as("member.zhao")
    superuser.execute("update applications_launch set at = now() - interval '1 hour'")
    before = superuser.execute("select count(*) from applications_launch").fetchone()[0]
    second = register(client_as("admin"), roles=["employee"]).json["id"]
    first = next(pk for pk in wang.get(API).json["ids"] if pk != second)
    for client, application in ((wang, first), (wang, first), (wang, second), (zhao, first), (wang, first), (zhao, first)):
        assert client.get(f"/launcher/{application}").status_code == 303
    assert superuser.execute("select count(*) from applications_launch").fetchone()[0] == before + 3
    superuser.execute("update applications_launch set at = at - interval '61 seconds'")
    wang.get(f"/launcher/{first}")
    assert superuser.execute("select count(*) from applications_launch").fetchone()[0] == before + 4


def test_openings_at_the_same_moment_are_one(fresh_db: None, client_as: Clients, superuser: Any) -> None:
    superuser.execute("update applications_launch set at = now() - interval '1 hour'")
    before = superuser.execute("select count(*) from applications_launch").fetchone()[0]
    clients = [client_as("member.wang") for _n in range(4)]
    wiki = clients[0].get(API).json["ids"][0]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda c: c.get(f"/launcher/{wiki}").status_code, clients)) == {303}
    assert superuser.execute("select count(*) from applications_launch").fetchone()[0] == before + 1


@pytest.mark.req("POR-08", part="active or closed")
def test_a_closed_application_is_not_offered(fresh_db: None, client_as: Clients) -> None:
    admin, wang = client_as("admin"), client_as("member.wang")
    wiki = wang.get(API).json["ids"][0]
    version = admin.get(f"{API}{wiki}").headers["ETag"]
    assert wang.post(f"{API}{wiki}/close", headers={"If-Match": version}).status_code == 403
    assert admin.post(f"{API}{wiki}/close", headers={"If-Match": version}).status_code == 200
    assert "应用 wiki" not in wang.get("/launcher/").text and "还没有您可用的应用" in wang.get("/launcher/").text
    refused = wang.get(f"/launcher/{wiki}")
    assert refused.status_code == 409 and "已停用" in refused.text
    version = admin.get(f"{API}{wiki}").headers["ETag"]
    assert admin.post(f"{API}{wiki}/reopen", headers={"If-Match": version}).status_code == 200
    assert wang.get(f"/launcher/{wiki}").status_code == 303
    said = admin.get(f"/applications/{wiki}/history").text
    assert "使用中" in said and "已关闭" in said, said


@pytest.mark.req("POR-08", part="Keycloak's clients")
def test_clients_are_compared_with_keycloak(
    fresh_db: None, app: Flask, keycloak: SimpleNamespace, client_as: Clients, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = client_as("admin")
    form = admin.get("/applications/add").text
    assert "尚未从 Keycloak 读取客户端" in form and "<datalist" not in form
    ids = {name: register(admin, client_id=name).json["id"] for name in ("portal-api", "no-such-client", "portal-demo-cli")}
    states = lambda: {pk: admin.get(f"{API}{pk}").json["result"]["client_state"] for pk in ids.values()}  # noqa: E731
    assert set(states().values()) == {"unknown"}
    assert client_as("member.wang").post("/applications/compare").status_code == 403
    assert admin.post("/applications/compare").status_code == 303
    superuser.execute("update applications_client set enabled = false where client_id = 'portal-demo-cli'")
    assert states() == {ids["portal-api"]: "ok", ids["no-such-client"]: "missing", ids["portal-demo-cli"]: "disabled"}
    page = admin.get("/applications/").text
    assert "Keycloak 中不存在" in page and "在 Keycloak 中已禁用" in page and "2 个应用无法登录" in page
    form = admin.get("/applications/add").text
    assert '<datalist id="s-client_id">' in form and '<option value="portal-api">' in form and 'value="realm-management"' not in form
    with app.app_context():
        jobs.compare_clients()
    assert states()[ids["portal-demo-cli"]] == "ok", "the job puts right what changed"

    def away() -> None:
        raise Unavailable("identity provider")

    monkeypatch.setattr(clients, "administration", away)
    answer = admin.post("/applications/compare", follow_redirects=True)
    assert answer.status_code == 200 and "目前无法访问 Keycloak" in answer.text and states()[ids["portal-api"]] == "ok"
