"""枢纽 Shuniu: the enterprise portal."""

__version__ = "0.1.0"
