"""Unsaved input is kept while somebody types, found again on the next machine, and gone once saved (ALL-13, ALL-07)."""

from typing import Any

import pytest

NEW, EDIT = "/announcements/add", "/announcements/{}/edit"
TEXT = {"title": "搬迁通知", "body": "周一搬到新楼。", "from_day": "2026-01-02"}


def made(client: Any) -> int:
    got = client.post(NEW, data=TEXT)
    assert got.status_code == 303, got.text[:500]
    return int(got.headers["Location"].rsplit("/", 1)[1])


@pytest.mark.req("ALL-13", part="nothing typed is lost")
def test_what_was_typed_is_offered_again_and_gone_once_saved(client_as: Any, fresh_db: None) -> None:
    client = client_as("hr")
    assert 'data-autosave="/announcements/add/draft"' in client.get(NEW).text
    kept = client.post(f"{NEW}/draft", data=TEXT | {"title": "半句"})
    assert kept.status_code == 200 and kept.get_json()["saved_at"], kept.text
    other = client_as("hr")  # another machine
    page = other.get(NEW).text
    assert "填写但未保存" in page and "半句" not in page
    again = other.get(f"{NEW}?draft=1").text
    assert "半句" in again and "周一搬到新楼。" in again and "填写但未保存" not in again
    assert other.post(NEW, data=TEXT).status_code == 303
    assert "填写但未保存" not in client.get(NEW).text


@pytest.mark.req("ALL-07", part="draft")
def test_a_draft_of_an_older_version_meets_the_newer_one_when_saved(client_as: Any, fresh_db: None) -> None:
    client, admin = client_as("hr"), client_as("admin")
    pk = made(client)
    edit = EDIT.format(pk)
    assert client.post(f"{edit}/draft", data=TEXT | {"title": "草稿", "version": "1"}).status_code == 200
    assert admin.post(edit, data=TEXT | {"title": "定稿", "version": "1"}).status_code == 303
    page = client.get(f"{edit}?draft=1").text
    assert 'name="version" value="1"' in page and "草稿" in page
    met = client.post(edit, data=TEXT | {"title": "草稿", "version": "1"})
    assert met.status_code == 409 and "定稿" in met.text and "草稿" in met.text
    assert client.post(f"{edit}/draft/discard").status_code == 303
    assert "填写但未保存" not in client.get(edit).text


@pytest.mark.req("VIS-06", part="drafts")
def test_drafts_are_the_persons_own_and_bounded(client_as: Any, superuser: Any, fresh_db: None) -> None:
    client = client_as("hr")
    pk = made(client)
    assert client.post(f"{NEW}/draft", data=TEXT | {"title": "只有我"}).status_code == 200
    assert "填写但未保存" not in client_as("admin").get(NEW).text
    assert client_as("member.wang").post(f"{NEW}/draft", data=TEXT).status_code == 403
    assert client.post(f"{NEW}/draft", data={"body": "x" * 100_001}).status_code == 422
    assert client.post(EDIT.format(999999) + "/draft", data=TEXT | {"version": "1"}).status_code == 404
    assert client.post(EDIT.format(pk) + "/draft", data=TEXT).status_code == 400
    assert client.post(f"{NEW}/draft", data=TEXT | {"state": "s", "nonsense": "n"}).status_code == 200
    ((typed,),) = superuser.execute("select typed from web_form_draft where of not like 'test.%'").fetchall()
    assert set(typed) == set(TEXT), "only fields of the form are kept"


@pytest.mark.req("VIS-13", part="no copies in drafts")
def test_sensitive_input_is_never_kept(client_as: Any, superuser: Any, fresh_db: None) -> None:
    client = client_as("hr")
    (pk,) = superuser.execute("select id from hr_employee_private limit 1").fetchone()
    page = client.get(f"/employee-private/{pk}/edit").text
    assert "data-guard" in page and "data-autosave" not in page
    got = client.post(f"/employee-private/{pk}/edit/draft", data={"bank_account": "6222020200112233445", "version": "1"})
    assert got.status_code == 200 and got.get_json() == {"saved_at": None}
    assert superuser.execute("select count(*) from web_form_draft where of not like 'test.%'").fetchone() == (0,)


@pytest.mark.req("ALL-17", part="no copies in drafts")
def test_no_draft_holds_what_erasure_would_have_to_find() -> None:
    from portal.kernel.document import records
    from portal.web import drafts

    personal = {m.__tablename__ for m in records() if any(c.info.get("personal") for c in m.__table__.columns)}
    assert personal and not personal & {m.__tablename__ for m in records() if drafts.possible(m)}


def test_old_drafts_go(app: Any, client_as: Any, superuser: Any, fresh_db: None) -> None:
    from portal.kernel.db import unrestricted
    from portal.web import drafts

    client = client_as("hr")
    client.post(f"{NEW}/draft", data=TEXT)
    for days, left in ((29, 1), (31, 0)):
        superuser.execute("update web_form_draft set saved_at = now() - make_interval(days => %s)", (days,))
        with app.app_context(), unrestricted("test of drafts"):
            drafts.forget_old()
        assert superuser.execute("select count(*) from web_form_draft where of not like 'test.%'").fetchone() == (left,)
