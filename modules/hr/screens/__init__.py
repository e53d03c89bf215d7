"""Pages of people and the organisation."""

from modules.hr.screens import leaves, organisation, people, posts

__all__ = ["leaves", "organisation", "people", "posts"]
