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


# GB 32100-2015 with its amendment: department of registration → kinds of organisation it registers.  Of civil affairs (5) also 4 and
# 5, which committees of villages and of residents have got since.
_KINDS = {
    "1": "1239", "2": "19", "3": "123459", "4": "19", "5": "123459", "6": "129", "7": "129", "8": "19", "9": "1239",
    "A": "19", "N": "1239", "Y": "1",
}  # fmt: skip


def credit_code_valid(code: str) -> bool:
    """Whether *code* is a unified social credit code (GB 32100).

    A department that registers, a kind it registers, the six figures of a place, nine characters of the organisation and the right
    check character.
    """
    value = code.strip().upper()
    if not re.fullmatch(r"[0-9A-Z][0-9][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}", value) or value[1] not in _KINDS.get(value[0], ""):
        return False
    return bool(uscc.calc_check_digit(value[:17]) == value[17])
