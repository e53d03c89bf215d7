"""Mergers of departments of the invented company."""

from typing import Any


def mergers(s: Any, ids: Any) -> None:
    """Mergers of departments in every state. None plans anything: the tables stay as they are."""
    from modules.hr.models import Merger

    def merger(old: str, new: str, state: str, by: str, decided_by: str | None = None) -> None:
        row = Merger(
            name=f"{old} → {new}", department_id=ids.departments[old], into_id=ids.departments[new], from_day=ids.day(60), state=state,
            created_by=ids.users[by], reason=f"{old} into {new}",
        )  # fmt: skip
        if decided_by is not None:
            row.decided_by, row.decision_note = ids.users[decided_by], "answer"
        s.add(row)
        s.flush()

    merger("BE", "PLT", "submitted", "hr")
    merger("HQ", "ADM", "approved", "hr", "leader")
    merger("SAL", "ADM", "rejected", "hr", "leader")
    merger("SAL", "ADM", "cancelled", "hr", "leader")
    merger("SAL", "ADM", "cancelled", "hr")
    merger("RD", "ADM", "submitted", "leader")
