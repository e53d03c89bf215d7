"""Formulas of people: periods, half days, the tree, check characters."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.hr import rules
from portal.kernel import identifiers

DAY = date(2026, 3, 2)
days = st.integers(-400, 400).map(lambda n: DAY + timedelta(days=n))
halves = st.sampled_from(("am", "pm"))


@dataclass(frozen=True)
class Rate:
    from_day: date
    to_day: date | None
    cost: int


@st.composite
def chains(draw: st.DrawFn) -> list[Rate]:
    """Rates that follow each other without overlap, some with gaps, the last one open or not."""
    begins = sorted(draw(st.sets(days, min_size=1, max_size=6)))
    out = []
    for n, begin in enumerate(begins):
        following = begins[n + 1] if n + 1 < len(begins) else None
        if following is None:
            end = draw(st.none() | st.integers(1, 200).map(lambda k, b=begin: b + timedelta(days=k)))
        else:
            end = begin + timedelta(days=draw(st.integers(1, (following - begin).days)))
        out.append(Rate(begin, end, n))
    return out


@pytest.mark.req("HRM-03")
class TestRates:
    @given(chains(), days)
    def test_one_rate_at_most_holds_on_a_day_and_it_is_found(self, chain, day):
        holding = [r for r in chain if r.from_day <= day and (r.to_day is None or day < r.to_day)]
        assert len(holding) <= 1
        assert rules.rate_on(chain, day) == (holding[0] if holding else None)

    @given(chains(), st.integers(0, 300), days)
    def test_a_rate_that_may_begin_changes_no_earlier_day(self, chain, ahead, today):
        new = today + timedelta(days=ahead)
        if rules.may_begin(new, chain[-1].from_day, today) is not None:
            return
        last = chain[-1]
        end = new if last.to_day is None or last.to_day > new else last.to_day
        after = [*chain[:-1], Rate(last.from_day, end, last.cost), Rate(new, None, 99)]
        for n in range(-30, 1):
            past = today + timedelta(days=n - 1)
            assert rules.rate_on(chain, past) == rules.rate_on(chain, past)
            before, now = rules.rate_on(chain, past), rules.rate_on(after, past)
            assert (before and before.cost) == (now and now.cost)

    def test_the_first_may_begin_in_the_past_later_ones_not(self):
        assert rules.may_begin(DAY - timedelta(days=500), None, DAY) is None
        assert rules.may_begin(DAY - timedelta(days=1), DAY - timedelta(days=500), DAY) == "past"
        assert rules.may_begin(DAY, DAY - timedelta(days=500), DAY) is None
        assert rules.may_begin(DAY + timedelta(days=5), DAY + timedelta(days=5), DAY) == "order"

    @given(days, st.none() | days, days, st.none() | days)
    def test_overlap_is_sharing_a_day(self, a, b, c, d):
        if (b is not None and b <= a) or (d is not None and d <= c):
            return
        every = [DAY + timedelta(days=n) for n in range(-401, 402)]
        shared = any(a <= x and (b is None or x < b) and c <= x and (d is None or x < d) for x in every)
        assert rules.overlap(a, b, c, d) == shared == rules.overlap(c, d, a, b)


@st.composite
def spans(draw: st.DrawFn) -> rules.Span:
    first = draw(days)
    last = first + timedelta(days=draw(st.integers(0, 12)))
    start, end = draw(halves), draw(halves)
    if first == last and start > end:
        start, end = end, start
    return rules.Span(first, start, last, end)


@pytest.mark.req("HRM-07", part="half days")
class TestLeave:
    @given(spans())
    def test_its_days_are_the_sum_of_its_halves(self, span):
        whole = sum((part for _day, part in span.each_day()), Decimal(0))
        length = (span.to_day - span.from_day).days + 1
        expected = Decimal(length) - (Decimal("0.5") if span.from_half == "pm" else 0) - (Decimal("0.5") if span.to_half == "am" else 0)
        assert whole == expected > 0
        assert span.ordered()

    @given(spans(), spans())
    def test_two_meet_when_they_share_a_half_day(self, a, b):
        mine = {(d, h) for d, _part in a.each_day() for h in a.halves(d)}
        theirs = {(d, h) for d, _part in b.each_day() for h in b.halves(d)}
        assert a.meets(b) == bool(mine & theirs) == b.meets(a)

    @given(spans())
    def test_rest_days_cost_nothing(self, span):
        taken = rules.leave_days(span, lambda d: d.weekday() < 5)
        assert taken == sum((p for d, p in span.each_day() if d.weekday() < 5), Decimal(0))

    def test_figures(self):
        friday = date(2026, 3, 6)
        span = rules.Span(friday, "pm", friday + timedelta(days=3), "am")
        assert rules.leave_days(span, lambda d: d.weekday() < 5) == Decimal("1.0")
        assert span.halves(friday) == {"pm"} and span.halves(friday + timedelta(days=3)) == {"am"}
        assert span.halves(friday + timedelta(days=4)) == frozenset()
        assert not rules.Span(friday, "pm", friday, "am").ordered()


@st.composite
def trees(draw: st.DrawFn) -> dict[int, int | None]:
    size = draw(st.integers(1, 25))
    return {n: (draw(st.integers(0, n - 1)) if n else None) for n in range(size)}


@pytest.mark.req("HRM-01", part="tree")
class TestTree:
    @given(trees())
    def test_totals_add_up_and_nobody_is_lost(self, parents):
        counts = {n: n % 3 for n in parents}
        roots = rules.tree([(n, str(n), p) for n, p in parents.items()], counts)
        assert sum(r.total for r in roots) == sum(counts.values())

        def size(node: rules.Node) -> int:
            assert node.total == node.own + sum(c.total for c in node.children)
            return 1 + sum(size(c) for c in node.children)

        assert sum(size(r) for r in roots) == len(parents)

    @given(trees(), st.data())
    def test_a_move_is_refused_exactly_when_it_makes_a_cycle(self, parents, data):
        moved = data.draw(st.sampled_from(sorted(parents)))
        target = data.draw(st.none() | st.sampled_from(sorted(parents)))
        after = {**parents, moved: target}
        seen, at, cycle = set(), moved, False
        while after[at] is not None:
            at = after[at]
            if at == moved or at in seen:
                cycle = True
                break
            seen.add(at)
        assert rules.makes_cycle(parents, moved, target) == cycle

    def test_a_department_whose_parent_is_gone_stands_at_the_top(self):
        assert [r.id for r in rules.tree([(2, "b", 9)], {2: 4})] == [2]


@pytest.mark.req("HRM-04")
class TestCheckCharacters:
    TODAY = date(2026, 3, 2)

    def test_the_published_examples(self):
        assert identifiers.identity_number_problem("11010519491231002X", self.TODAY) is None
        assert identifiers.identity_number_problem(" 11010519491231002x ", self.TODAY) is None
        assert identifiers.credit_code_valid("91350100M000100Y43")
        assert identifiers.credit_code_valid(" 91350100m000100y43 ")
        assert not identifiers.credit_code_valid("91350100M000100Y4Z")
        assert not identifiers.credit_code_valid("9135-0100M000100Y43") and not identifiers.credit_code_valid("")

    @pytest.mark.parametrize(
        ("first", "valid"),
        [
            ("91", True), ("92", True), ("93", True), ("11", True), ("12", True), ("52", True), ("54", True), ("35", True),
            ("A1", True), ("N2", True), ("Y1", True),
            ("00", False), ("01", False), ("90", False), ("94", False), ("Y2", False), ("B1", False), ("A2", False), ("9A", False),
        ],
    )  # fmt: skip
    def test_a_credit_code_begins_with_who_registers_what(self, first, valid):
        alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
        body = first + "350100M000100Y4"
        total = sum(alphabet.index(c) * pow(3, n, 31) for n, c in enumerate(body))
        assert identifiers.credit_code_valid(body + alphabet[-total % 31]) is valid
        assert not identifiers.credit_code_valid(body + alphabet[(1 - total) % 31])
        assert not identifiers.credit_code_valid("0" * 18)

    @pytest.mark.parametrize(
        ("number", "problem"),
        [
            ("110105194912310021", "check"),
            ("11010519491331002X", "date"),
            ("110105205001010026", "date"),
            ("11010518991231002X", "date"),
            ("1101051949123100", "format"),
            ("11010519491231002Y", "format"),
            ("１１010519491231002X", "format"),
            ("", "format"),
        ],
    )
    def test_what_is_wrong_is_named(self, number, problem):
        assert identifiers.identity_number_problem(number, self.TODAY) == problem

    @given(st.integers(100000, 999999), st.dates(date(1900, 1, 1), date(2026, 3, 2)), st.integers(0, 999))
    def test_counties_newer_than_the_birth_are_fine(self, county, born, sequence):
        first = f"{county}{born:%Y%m%d}{sequence:03d}"
        number = first + identifiers.identity_check_character(first)
        assert identifiers.identity_number_problem(number, self.TODAY) is None

    @given(st.integers(0, 17), st.integers(1, 9))
    def test_one_wrong_digit_is_always_noticed(self, position, shift):
        number = list("11010519491231002X")
        if position == 17:
            number[17] = str(shift)
        else:
            number[position] = str((int(number[position]) + shift) % 10)
        assert identifiers.identity_number_problem("".join(number), self.TODAY) is not None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("周远山", ("远山", "周")),
        ("欧阳睿", ("睿", "欧阳")),
        ("苏晴", ("晴", "苏")),
        ("Ada Lovelace", ("Ada", "Lovelace")),
        ("Ada", ("Ada", "")),
    ],
)
def test_names_come_apart(name, parts):
    assert rules.split_name(name) == parts
