"""Business rows are archived and come back; nobody on the web's connection can destroy one (ALL-06)."""

from typing import Any

import psycopg
import pytest

from portal.kernel.document import records
from portal.web import registry
from security.policies import viewer_roles

pytestmark = pytest.mark.req("ALL-06")


@pytest.fixture
def as_web(superuser: Any) -> Any:
    """A connection as the web's login role."""
    with psycopg.connect(superuser.info.dsn, password=superuser.info.password, autocommit=True) as conn:
        conn.execute("set session authorization app_login")
        yield conn


def test_no_role_of_the_web_may_delete_a_business_row(app: Any, as_web: Any, superuser: Any) -> None:
    roles = [*viewer_roles(), "app_anon", "app_act", "app_read", "app_login"]
    found = superuser.execute(
        """select r, t from unnest(%s::text[]) r, unnest(%s::text[]) t
            where has_table_privilege(r, t, 'delete') or has_table_privilege(r, t, 'truncate')""",
        [roles, [m.__tablename__ for m in records()]],
    ).fetchall()
    disposable = {m.__tablename__ for m in records() if m.DISPOSABLE}
    assert (
        {t for _r, t in found}
        == disposable
        == {"web_home_layout", "web_list_setting", "web_form_draft", "dailyreport_draft", "lowcode_import_row"}
    )
    assert {r for r, _t in found} == {"app_act"}
    for m in records():
        if not m.DISPOSABLE:
            for role in ("app", "app_act"):
                as_web.execute(f"set role {role}")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    as_web.execute(f'delete from "{m.__tablename__}"')
                as_web.execute("reset role")


def test_every_model_with_archiving_has_restoring_on_page_and_rest(app: Any) -> None:
    rules = {(r.rule, m) for r in app.url_map.iter_rules() for m in r.methods or ()}
    for screen in registry.screens.values():
        if "archive" in screen.verbs:
            for word in ("archive", "restore"):
                assert (f"{screen.route_base}/<int:pk>/{word}", "POST") in rules, screen
    for resource in registry.resources.values():
        deletes = (f"{resource.route_base}/<int:pk>", "DELETE") in rules
        assert deletes == ((f"{resource.route_base}/<int:pk>/restore", "POST") in rules) == ("archive" in resource.verbs), resource


def test_put_away_found_again_and_taken_back(client_as: Any, superuser: Any) -> None:
    hr = client_as("hr")
    made = hr.post("/api/v1/posts/", json={"code": "T-99", "name": {"zh": "临时岗", "en": "Passing post"}})
    assert made.status_code == 201, made.text
    pk, tag = made.get_json()["id"], made.headers["ETag"]
    assert hr.delete(f"/api/v1/posts/{pk}", headers={"If-Match": tag}).status_code == 200
    assert "T-99" not in hr.get("/posts/?q=T-99").text.split("sn-tbl")[-1] or hr.get(f"/api/v1/posts/{pk}").status_code == 404
    assert "archived=1" in hr.get("/posts/").text and "archived=1" not in client_as("member.wang").get("/departments/").text
    listed = hr.get("/posts/?archived=1").text
    assert "T-99" in listed
    page = hr.get(f"/posts/{pk}").text
    assert f"/posts/{pk}/restore" in page
    # a clash says what is in the way
    assert hr.post("/api/v1/posts/", json={"code": "T-99", "name": {"zh": "新岗", "en": "New post"}}).status_code == 201
    version = superuser.execute("select version from hr_post where id = %s", [pk]).fetchone()[0]
    clash = hr.post(f"/api/v1/posts/{pk}/restore", headers={"If-Match": f'"{version}"'})
    assert clash.status_code == 409 and clash.get_json()["error"]["message"], clash.text
    superuser.execute("update hr_post set code = 'T-98' where code = 'T-99' and id <> %s", [pk])
    assert hr.post(f"/api/v1/posts/{pk}/restore", headers={"If-Match": f'"{version}"'}).status_code == 200


def test_what_others_hang_on_is_refused_with_names_of_what_one_may_see(client_as: Any, superuser: Any) -> None:
    hr = client_as("hr")
    pk = superuser.execute("select post_id from hr_employee where post_id is not null order by id limit 1").fetchone()
    if pk is None:
        superuser.execute("update hr_employee set post_id = (select min(id) from hr_post)")
        pk = superuser.execute("select min(id) from hr_post").fetchone()
    tag = hr.get(f"/api/v1/posts/{pk[0]}").headers["ETag"]
    refused = hr.delete(f"/api/v1/posts/{pk[0]}", headers={"If-Match": tag})
    error = refused.get_json()["error"]
    assert refused.status_code == 409 and error["code"] == "in_use"
    used = error["fields"]["used_by"]
    people = next(u for u in used if any(r["url"] and r["url"].startswith("/people/") for r in u["records"]))
    assert people["count"] >= len(people["records"]) and people["others"] == people["count"] - len(people["records"])
    names = {r[0] for r in superuser.execute("select name from hr_employee where post_id = %s", [pk[0]]).fetchall()}
    assert {r["text"] for r in people["records"]} <= names
    page = hr.post(f"/posts/{pk[0]}/archive", data={"version": tag.strip('"')})
    assert page.status_code == 409 and f'href="{people["records"][0]["url"]}"' in page.text
    # of what one may not see, only the number: a leader archives a project role used in projects; numbers without names elsewhere
    domain = superuser.execute("select domain_id from project_project order by id limit 1").fetchone()[0]
    leader = client_as("leader")
    tag = leader.get(f"/api/v1/project-domains/{domain}").headers["ETag"]
    other = leader.delete(f"/api/v1/project-domains/{domain}", headers={"If-Match": tag})
    assert other.status_code in (403, 405, 409)
