"""Data the tests start from, made without the code under test wherever it would prove itself."""
