"""Tables of the organisation and its people.

Periods are half-open, ``[from_day, to_day)``, and ``to_day`` NULL means open. `Assignment` and `DepartmentPeriod` are the truth over
time; `Employee`, `Employment` and `Department` hold the copy of today, which a daily job keeps.
"""

from modules.hr.models.changes import EmployeeEvent, EmployeeEventGrade
from modules.hr.models.leave import Leave
from modules.hr.models.mergers import Merger
from modules.hr.models.organisation import Department, DepartmentHead, DepartmentPeriod
from modules.hr.models.people import IDENTITY_PROBLEMS, Assignment, Employee, EmployeePrivate, Employment
from modules.hr.models.posts import Grade, GradeRate, Post

__all__ = [
    "IDENTITY_PROBLEMS",
    "Assignment",
    "Department",
    "DepartmentHead",
    "DepartmentPeriod",
    "Employee",
    "EmployeeEvent",
    "EmployeeEventGrade",
    "EmployeePrivate",
    "Employment",
    "Grade",
    "GradeRate",
    "Leave",
    "Merger",
    "Post",
]
