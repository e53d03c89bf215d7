"""Money: exact arithmetic, rounded once, half a cent away from zero.

Amounts are `Decimal` yuan with two places, unit prices have four.  Intermediate values are never rounded:
formulas compute with whole `Decimal` or `Fraction` values and call `cents` where a figure is booked.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

Number = Decimal | Fraction | int

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_PLACES = ("仟", "佰", "拾", "")
_GROUPS = ("", "万", "亿", "万亿")
_LIMIT = Decimal("9999999999999999.99")


def rounded(value: Number, places: int) -> Decimal:
    """*value* with *places* decimals, ties away from zero, negatives too.  Exact for every magnitude."""
    if isinstance(value, float):
        raise TypeError("money is never a float")
    exact = Fraction(value) * 10**places
    whole = abs(exact.numerator) * 2 + exact.denominator
    units = whole // (2 * exact.denominator)
    with localcontext() as context:
        context.prec = max(28, len(str(units)) + places + 2)
        return Decimal(units if exact >= 0 else -units).scaleb(-places) + Decimal(0).scaleb(-places)


def cents(value: Number) -> Decimal:
    """*value* in yuan to the cent, half a cent away from zero."""
    return rounded(value, 2)


def unit_price(value: Number) -> Decimal:
    """A price per unit in yuan, to four places."""
    return rounded(value, 4)


def net_of(gross: Number, rate: Number) -> Decimal:
    """Amount without tax of *gross* yuan at the VAT *rate* (0.13 for 13 %), to the cent."""
    return cents(Fraction(gross) / (1 + Fraction(rate)))


def tax_of(gross: Number, rate: Number) -> Decimal:
    """Tax contained in *gross* yuan: what remains after `net_of`, so that both always add up."""
    return cents(Fraction(gross)) - net_of(gross, rate)


def ratio(part: Number, whole: Number) -> Fraction | None:
    """*part* / *whole*, exact; None when *whole* is zero."""
    return Fraction(part) / Fraction(whole) if whole else None


def shown_ratio(value: Fraction | Decimal | None) -> Decimal | None:
    """A ratio, index or point with the four places people are shown.  Never compare with this one."""
    return None if value is None else rounded(value, 4)


def allocate(total: Decimal, weights: Sequence[Number]) -> list[Decimal]:
    """*total* yuan shared by *weights*, to the cent, adding up exactly: largest remainder, the earlier one on a tie.

    Raises ValueError when there is nobody to give it to (no weight above zero) or a weight is negative.
    """
    shares = [Fraction(weight) for weight in weights]
    whole = sum(shares)
    if whole <= 0 or min(shares) < 0:
        raise ValueError("weights must be positive")
    units = Fraction(cents(total)) * 100
    sign = -1 if units < 0 else 1
    exact = [abs(units) * share / whole for share in shares]
    parts = [int(value) for value in exact]
    missing = int(abs(units)) - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[:missing]:
        parts[i] += 1
    return [cents(Fraction(sign * part, 100)) for part in parts]


def _group(digits: str) -> str:
    """Four digits in capital characters, one 零 for any number of zeros between two others."""
    text, pending = "", False
    for digit, place in zip(digits, _PLACES, strict=True):
        if digit == "0":
            pending = bool(text)
        else:
            text += ("零" if pending else "") + _DIGITS[int(digit)] + place
            pending = False
    return text


def capital_amount(value: Decimal | int) -> str:
    """*value* yuan in capital characters for printed forms, e.g. 壹仟肆佰零玖元伍角.

    整 only after 元; 零 after 元 when the yuan digit is 0 and jiao is not; none after 万 for the same case.
    Raises ValueError above 9 999 万亿.
    """
    amount = cents(value)
    if abs(amount) > _LIMIT:
        raise ValueError("amount too large to write out")
    yuan, fraction = f"{abs(amount):.2f}".split(".")
    digits = yuan.zfill(-(-len(yuan) // 4) * 4)
    groups = [digits[i : i + 4] for i in range(0, len(digits), 4)]
    text, empty = "", False
    for position, group in enumerate(groups):
        if group == "0000":
            empty = True
            continue
        gap = text and (empty or group[0] == "0")
        text += ("零" if gap else "") + _group(group) + _unit(groups, position)
        empty = False
    jiao, fen = fraction[0], fraction[1]
    if fraction == "00":
        text = (text or "零") + "元整"
    else:
        text += "元" if text else ""
        if jiao != "0":
            text += ("零" if text and yuan[-1] == "0" else "") + _DIGITS[int(jiao)] + "角"
        elif text:
            text += "零"
        text += _DIGITS[int(fen)] + "分" if fen != "0" else ""
    return ("负" if amount < 0 else "") + text


def _unit(groups: Sequence[str], position: int) -> str:
    """万, 亿 or 万亿 after the group at *position*; 万 alone when the 亿 group below it says 亿."""
    power = len(groups) - 1 - position
    if power == 3 and groups[position + 1] != "0000":
        return "万"
    return _GROUPS[power]
