"""What may be done with people and departments, and the questions others ask about them."""

from modules.hr.actions.changes import PROPOSES, STAYS, decides, prepare, revise
from modules.hr.actions.effects import take_effect
from modules.hr.actions.employment import (
    apply_due_assignments,
    assignment_on,
    assignments_of,
    change_contact,
    correct_assignment,
    correct_reason,
    leave_company,
    make_regular,
    rehire,
    transfer,
    withdraw_transfer,
)
from modules.hr.actions.handover import take_headship, take_person
from modules.hr.actions.joining import EMPLOYED, Newcomer, hire, hire_many
from modules.hr.actions.leave import LeaveOn, approve, away, cancel, leave_days, on_leave, reject, submit
from modules.hr.actions.merging import merge, move_late
from modules.hr.actions.organisation import (
    appoint,
    departments_on,
    employed_in,
    end_headship,
    found,
    heads_of,
    heads_of_many,
    heads_on,
    move,
    organisation,
    people_on,
    rename,
)
from modules.hr.actions.plans import withdraw_together
from modules.hr.actions.rates import rate_of, set_rate, withdraw_rate

__all__ = [
    "EMPLOYED",
    "PROPOSES",
    "STAYS",
    "LeaveOn",
    "Newcomer",
    "apply_due_assignments",
    "appoint",
    "approve",
    "assignment_on",
    "assignments_of",
    "away",
    "cancel",
    "change_contact",
    "correct_assignment",
    "correct_reason",
    "decides",
    "departments_on",
    "employed_in",
    "end_headship",
    "found",
    "heads_of",
    "heads_of_many",
    "heads_on",
    "hire",
    "hire_many",
    "leave_company",
    "leave_days",
    "make_regular",
    "merge",
    "move",
    "move_late",
    "on_leave",
    "organisation",
    "people_on",
    "prepare",
    "rate_of",
    "rehire",
    "reject",
    "rename",
    "revise",
    "set_rate",
    "submit",
    "take_effect",
    "take_headship",
    "take_person",
    "transfer",
    "withdraw_rate",
    "withdraw_together",
    "withdraw_transfer",
]
