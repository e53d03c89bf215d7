"""Fields: what is typed and what is sent is either a value the column takes or a message; nothing else."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Date, DateTime, Numeric, Text

from portal.web import exporting
from portal.web.fields import Field, FieldError

KINDS = {
    "text": Text(),
    "longtext": Text(),
    "email": Text(),
    "integer": BigInteger(),
    "ref": BigInteger(),
    "decimal": Numeric(18, 4),
    "money": Numeric(18, 2),
    "hours": Numeric(5, 2),
    "date": Date(),
    "datetime": DateTime(timezone=True),
    "bool": Text(),
    "choice": Text(),
    "label": Text(),
    "multichoice": Text(),
    "json": Text(),
}


def field(kind: str) -> Field:
    column = Column("x", KINDS[kind])
    numeric = column.type if isinstance(column.type, Numeric) else None
    choices = {"a": "A", "b": "B"} if kind in ("choice", "multichoice") else {}
    return Field("x", kind, "X", column, scale=numeric.scale if numeric else 0, digits=numeric.precision if numeric else 0, choices=choices)


@pytest.fixture(scope="module", autouse=True)
def words(app):
    with app.test_request_context("/"):
        yield


ODD = st.text(max_size=40) | st.sampled_from(
    ["NaN", "Infinity", "1e999999", "-0", "٣", "1_000", "9" * 400, "0x10", "2026-02-30", "24:00", "\x00", "１２"]
)


@pytest.mark.req("ALL-13")
@given(st.sampled_from(sorted(KINDS)), ODD)
def test_any_text_is_a_value_or_a_message(kind, text):
    f = field(kind)
    try:
        value = f.parse(text)
    except FieldError as e:
        assert str(e)
        return
    assert "\x00" not in str(value)
    if isinstance(value, Decimal):
        assert value.is_finite() and abs(value) < Decimal(10) ** (f.digits - f.scale) and -value.as_tuple().exponent <= f.scale
    if value is not None and kind not in ("label", "multichoice"):
        # what was accepted can be sent back as it is shown by REST
        assert f.from_json(f.to_json(value)) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | ODD,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
)


@given(st.sampled_from(sorted(KINDS)), JSON)
def test_any_json_is_a_value_or_a_message(kind, value):
    try:
        field(kind).from_json(value)
    except FieldError as e:
        assert str(e)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("money", "1,234.50", Decimal("1234.50")),
        ("money", "12", Decimal("12.00")),
        ("hours", "7.5", Decimal("7.50")),
        ("decimal", "0.0001", Decimal("0.0001")),
        ("date", "2026-03-31", date(2026, 3, 31)),
        ("datetime", "2026-03-31T09:30", datetime(2026, 3, 31, 1, 30, tzinfo=UTC)),
        ("datetime", "2026-03-31T01:30:00Z", datetime(2026, 3, 31, 1, 30, tzinfo=UTC)),
        ("bool", "on", True),
        ("bool", "", False),
        ("text", "  a ", "a"),
        ("text", "   ", None),
        ("longtext", " a\r\nb ", "a\nb"),
    ],
)
def test_what_is_typed(kind, text, value):
    assert field(kind).parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("money", "1.005"),
        ("money", "99999999999999999"),
        ("hours", "1000"),
        ("hours", "7.555"),
        ("integer", "7.5"),
        ("integer", str(2**63)),
        ("date", "31.03.2026"),
        ("email", "nobody"),
        ("choice", "c"),
        ("text", "x" * 10_001),
    ],
)
def test_what_is_refused(kind, text):
    with pytest.raises(FieldError):
        field(kind).parse(text)


@given(st.text(max_size=20))
def test_no_cell_is_a_formula(text):
    shown = exporting.harmless(text)
    assert shown[:1] not in ("=", "+", "@", "\t", "\r") and (shown[:1] != "-" or shown == "—")
