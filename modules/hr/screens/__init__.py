"""Pages of people and the organisation."""

from modules.hr.screens import handover, leaves, organisation, people, posts

__all__ = ["handover", "leaves", "organisation", "people", "posts"]
