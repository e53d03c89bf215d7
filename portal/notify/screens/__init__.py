"""Pages: notices and preferences, warnings and their rules, jobs and queues, the company's calendar, numbers and parameters."""

from portal.notify.screens import company, notices, operation, parameters, warnings

__all__ = ["company", "notices", "operation", "parameters", "warnings"]
