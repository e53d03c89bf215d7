"""Tests: every one runs against the real services that `python3 run.py test` starts."""
