"""What every module, model, page and resource must keep to; a new one is tested without writing a test."""

from collections.abc import Collection, Mapping


def clean(found: Collection[object], hint: str = "") -> None:
    """Fails naming everything in *found*, one a line."""
    __tracebackhide__ = True
    if found:
        lines = [f"{k}: {v}" for k, v in found.items()] if isinstance(found, Mapping) else [str(f) for f in found]
        raise AssertionError("\n".join([hint or f"{len(found)} problems", *sorted(lines)]))
