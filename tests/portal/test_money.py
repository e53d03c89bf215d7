"""Money: figures of the specification, and properties over all amounts."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.kernel.money import allocate, capital_amount, cents, net_of, ratio, shown_ratio, tax_of, unit_price

EXAMPLES = json.loads((Path(__file__).parent / "examples_money.json").read_text())
amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


@pytest.mark.req("ALL-01")
@pytest.mark.parametrize(
    ("value", "booked"),
    [("1.005", "1.01"), ("-1.005", "-1.01"), ("2.675", "2.68"), ("0.004", "0.00"), ("-0.004", "0.00"), ("1.0049999", "1.00")],
)
def test_half_a_cent_goes_away_from_zero(value: str, booked: str) -> None:
    assert str(cents(Decimal(value))) == booked


@pytest.mark.req("ALL-01")
def test_prices_have_four_places_and_a_float_is_refused() -> None:
    assert unit_price(Decimal("1.23445")) == Decimal("1.2345")
    with pytest.raises(TypeError):
        cents(1.1)  # type: ignore[arg-type]


@pytest.mark.req("ALL-01")
@pytest.mark.parametrize("case", EXAMPLES["tax"], ids=lambda case: case["in"]["gross"])
def test_net_and_tax(case: dict[str, dict[str, str]]) -> None:
    gross, rate = Decimal(case["in"]["gross"]), Decimal(case["in"]["rate"])
    assert (str(net_of(gross, rate)), str(tax_of(gross, rate))) == (case["out"]["net"], case["out"]["tax"])


@pytest.mark.req("ALL-01")
@given(amounts, st.sampled_from(["0.13", "0.09", "0.06", "0.03", "0.01", "0"]))
def test_net_and_tax_always_add_up(gross: Decimal, rate: str) -> None:
    assert net_of(gross, Decimal(rate)) + tax_of(gross, Decimal(rate)) == gross


@pytest.mark.req("ALL-01")
def test_a_ratio_without_denominator_is_nothing() -> None:
    assert ratio(Decimal(5), Decimal(0)) is None and shown_ratio(None) is None
    assert shown_ratio(ratio(Decimal(2), Decimal(3))) == Decimal("0.6667")


def points(weights: dict[str, str], members: list[dict[str, object]]) -> list[Fraction]:
    """Exact contribution points of PER-06: 60 by role and workload, 40 by score."""
    days = [{role: Fraction(d) for role, d in m["days"].items()} for m in members]  # type: ignore[attr-defined]
    worked = {role: sum(d.get(role, Fraction(0)) for d in days) for role in weights}
    used = sum(Fraction(w) for role, w in weights.items() if worked[role])
    scores = [Fraction(str(m["score"])) for m in members]
    second = scores if sum(scores) else [sum(d.values(), Fraction(0)) for d in days]
    return [
        60 * sum((Fraction(weights[r]) * n / worked[r] for r, n in d.items() if worked[r]), Fraction(0)) / used + 40 * s / sum(second)
        for d, s in zip(days, second, strict=True)
    ]


@pytest.mark.req("ALL-01")
@pytest.mark.parametrize("case", EXAMPLES["contribution"], ids=lambda case: case["in"]["pool"])
def test_shares_of_a_pool(case: dict[str, dict[str, object]]) -> None:
    given_in = case["in"]
    shares = points(given_in["weights"], given_in["members"])  # type: ignore[arg-type]
    assert [str(shown_ratio(Decimal(p.numerator) / Decimal(p.denominator))) for p in shares] == case["out"]["points"]
    assert [str(pay) for pay in allocate(Decimal(str(given_in["pool"])), shares)] == case["out"]["pay"]


@pytest.mark.req("ALL-01")
@given(amounts, st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_an_allocation_adds_up(total: Decimal, weights: list[int]) -> None:
    parts = allocate(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(Fraction(part) - Fraction(total) * weight / sum(weights)) < Fraction(1, 100)


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1]])
def test_an_allocation_to_nobody_is_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        allocate(Decimal(1), weights)


@pytest.mark.req("ALL-11", part="capital amounts")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1409.50", "壹仟肆佰零玖元伍角"),
        ("16409.02", "壹万陆仟肆佰零玖元零贰分"),
        ("107000.53", "壹拾万柒仟元零伍角叁分"),
        ("325.04", "叁佰贰拾伍元零肆分"),
        ("100", "壹佰元整"),
        ("1680.32", "壹仟陆佰捌拾元零叁角贰分"),
        ("0", "零元整"),
        ("0.05", "伍分"),
        ("0.53", "伍角叁分"),
        ("1.005", "壹元零壹分"),
        ("-12.30", "负壹拾贰元叁角"),
        ("10000", "壹万元整"),
        ("100500", "壹拾万零伍佰元整"),
        ("100005000", "壹亿零伍仟元整"),
        ("1000000001", "壹拾亿零壹元整"),
        ("20010001", "贰仟零壹万零壹元整"),
        ("1000000000000", "壹万亿元整"),
        ("1000100000000", "壹万零壹亿元整"),
    ],
)
def test_capital_amounts(value: str, text: str) -> None:
    assert capital_amount(Decimal(value)) == text


@given(st.decimals(min_value=0, max_value=10**15, places=2))
def test_capital_amounts_read_back(value: Decimal) -> None:
    text = capital_amount(value)
    assert "零零" not in text and not text.startswith("零元零")
    assert read(text) == value


def read(text: str) -> Decimal:
    """The amount a person reads in *text*."""
    digits = {c: i for i, c in enumerate("零壹贰叁肆伍陆柒捌玖")}
    total = section = block = digit = 0
    fraction = Decimal(0)
    for c in text:
        if c in digits:
            digit = digits[c]
        elif c in "拾佰仟":
            section += digit * {"拾": 10, "佰": 100, "仟": 1000}[c]
            digit = 0
        elif c == "万":
            block, section, digit = (section + digit) * 10**4, 0, 0
        elif c == "亿":
            total, block, section, digit = total + (block + section + digit) * 10**8, 0, 0, 0
        elif c == "元":
            total, block, section, digit = total + block + section + digit, 0, 0, 0
        elif c in "角分":
            fraction += digit * Decimal({"角": "0.1", "分": "0.01"}[c])
            digit = 0
    return total + fraction
