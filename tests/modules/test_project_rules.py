"""Formulas of projects: when work is admitted, how healthy the dates are."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.project import rules

DAY = date(2026, 3, 2)


@pytest.mark.req("DAY-09", part="work date")
class TestAdmission:
    @pytest.mark.parametrize("state", ["draft", "paused", "closed", "cancelled"])
    def test_these_states_accept_nothing(self, state):
        assert not rules.accepts_work(state) and not rules.accepts_work(state, after_completion=True)

    def test_active_accepts_and_completed_only_service(self):
        assert rules.accepts_work("active")
        assert not rules.accepts_work("completed") and rules.accepts_work("completed", after_completion=True)

    def test_the_day_of_a_change_knows_both_states(self):
        life = [(DAY, "draft", "active"), (DAY + timedelta(days=5), "active", "paused"), (DAY + timedelta(days=9), "paused", "active")]
        admitted = {n: rules.accepts_work_on(life, DAY + timedelta(days=n)) for n in range(-1, 11)}
        assert [n for n, ok in admitted.items() if ok] == [0, 1, 2, 3, 4, 5, 9, 10]

    def test_several_changes_on_one_day(self):
        life = [(DAY, "draft", "active"), (DAY, "active", "paused"), (DAY, "paused", "active"), (DAY, "active", "cancelled")]
        assert rules.states_on(life, DAY) == {"draft", "active", "paused", "cancelled"}
        assert rules.states_on(life, DAY + timedelta(days=1)) == {"cancelled"}
        assert rules.states_on(life, DAY - timedelta(days=1)) == {"draft"}
        assert rules.states_on([], DAY) == {"draft"}


class TestHealth:
    @pytest.mark.parametrize(
        ("state", "starts", "ends", "expected"),
        [
            ("active", -100, 100, ("ok", "fine", 0)),
            ("active", -100, 14, ("warn", "ends_soon", 14)),
            ("active", -100, 0, ("warn", "ends_soon", 0)),
            ("active", -100, -1, ("risk", "overdue", 1)),
            ("draft", -3, 100, ("warn", "late_start", 3)),
            ("draft", 0, 100, ("ok", "fine", 0)),
            ("paused", -100, -50, ("warn", "paused", 0)),
            ("completed", -100, -50, ("ok", "fine", 0)),
        ],
    )
    def test_dates(self, state, starts, ends, expected):
        assert rules.date_health(state, DAY + timedelta(days=starts), DAY + timedelta(days=ends), DAY) == expected

    @given(st.lists(st.builds(rules.Health, st.sampled_from(("ok", "warn", "risk")), st.tuples(st.text(min_size=1)))))
    def test_the_worst_decides_and_every_reason_stays(self, parts):
        found = rules.worst(parts)
        assert rules.RANK[found.level] == max((rules.RANK[p.level] for p in parts), default=0)
        assert sorted(found.reasons) == sorted(r for p in parts for r in p.reasons)

    @given(st.integers(0, 900), st.integers(-900, 900))
    def test_elapsed_stays_between_nothing_and_all(self, length, at):
        share = rules.elapsed(DAY, DAY + timedelta(days=length), DAY + timedelta(days=at))
        assert 0 <= share <= 100
        assert share == 100 or at < length
