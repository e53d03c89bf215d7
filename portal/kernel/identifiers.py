"""Numbers with a check character: resident identity numbers and unified social credit codes (HRM-04)."""

import re
from datetime import date

from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError


def identity_number_problem(number: str, today: date) -> str | None:
    """What is wrong with a resident identity number (GB 11643): `format`, `date`, `check`; None when nothing is.

    Only the birth date and the check digit are verified: county codes change, and foreigners' residence permits have others.
    """
    value = number.strip().upper()
    if not re.fullmatch(r"[0-9]{17}[0-9X]", value):
        return "format"
    try:
        born = ric.get_birth_date(value)
    except ValidationError:
        return "date"
    if not date(1900, 1, 1) <= born <= today:
        return "date"
    return None if ric.calc_check_digit(value) == value[-1] else "check"


def identity_check_character(first_17: str) -> str:
    """The check character that belongs to the first 17 digits of an identity number."""
    return str(ric.calc_check_digit(first_17 + "0"))  # it ignores the last character


def credit_code_valid(code: str) -> bool:
    """Whether *code* is a unified social credit code (GB 32100): 18 characters, the last of them the right check character."""
    value = code.strip().upper()
    return re.fullmatch(r"[0-9A-Z]{18}", value) is not None and bool(uscc.is_valid(value))
