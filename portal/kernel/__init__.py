"""What every module stands on: records, modules, money, calendar, events, jobs, errors, settings. Knows no module."""
