"""Paging: the way along the viewer's axes gives exactly what the plain way gives."""

import pytest

from portal.web import paging
from portal.web.paging import Order

PEOPLE = ("ceo", "head.rd", "deputy.plt", "pm.chen", "pm.li", "domain.manager", "member.wang", "outsider", "leader", "hr", "qa")
DAY = [Order("day", True)]


def walk(model, size, **kwargs):
    """All pages forward, then all backward."""
    forward, cursor, counts = [], None, set()
    while True:
        page = paging.page(model, order=DAY, limit=size, after=cursor, **kwargs)
        forward += page.ids
        counts.add((page.count, page.capped))
        if page.next is None:
            break
        cursor = page.next
    backward, before = list(page.ids), page.prev
    while before is not None:
        page = paging.page(model, order=DAY, limit=size, before=before, **kwargs)
        backward = page.ids + backward
        before = page.prev
    return forward, backward, counts


@pytest.mark.req("VIS-14", part="paging")
@pytest.mark.parametrize("who", PEOPLE)
def test_along_the_axes_and_plain_are_the_same(request_as, who, monkeypatch):
    from modules.dailyreport.models import DailyReport, ReportLine

    with request_as(who):
        for model in (ReportLine, DailyReport):
            for where in (paging.no_condition, lambda e: [e.author_id > 3]):
                got = {}
                for keys in (400, -1):
                    monkeypatch.setattr(paging, "MAX_KEYS", keys)
                    got[keys] = [walk(model, size, where=where) for size in (1, 3, 7, 200)]
                assert got[400] == got[-1]
                for forward, backward, counts in got[400]:
                    assert forward == backward and len(set(forward)) == len(forward)
                    assert counts == {(len(forward), False)}


def test_the_count_is_capped(request_as, monkeypatch):
    from modules.dailyreport.models import ReportLine

    monkeypatch.setattr(paging, "CAP", 4)
    for who in ("ceo", "hr", "pm.chen"):
        with request_as(who):
            page = paging.page(ReportLine, order=DAY, limit=3)
            assert (page.count, page.capped) == (4, True)
            whole = paging.page(ReportLine, order=DAY, limit=3, exact=True)
            assert whole.count > 4 and not whole.capped


def test_few_of_many_keys(request_as, monkeypatch):
    """More visible keys than rows on a page: only the newest keys are read."""
    from modules.dailyreport.models import ReportLine

    with request_as("ceo"):
        monkeypatch.setattr(paging, "MAX_KEYS", -1)
        plain = paging.page(ReportLine, order=DAY, limit=2)
        monkeypatch.setattr(paging, "MAX_KEYS", 400)
        assert paging.page(ReportLine, order=DAY, limit=2) == plain
