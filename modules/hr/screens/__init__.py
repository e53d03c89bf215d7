"""Pages of people and the organisation."""

from modules.hr.screens import changes, handover, leaves, organisation, people, posts

__all__ = ["changes", "handover", "leaves", "organisation", "people", "posts"]
