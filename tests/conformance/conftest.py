"""The suite looks at what the product declares, not at what other tests of the same process declared."""

from collections.abc import Iterator

import pytest

from portal.kernel import settings
from portal.notify import notices, rules


@pytest.fixture(autouse=True)
def _only_the_products_declarations() -> Iterator[None]:
    registries = (settings.declared, notices._kinds, rules.declared)
    before = [dict(r) for r in registries]
    for registry in registries:
        for name in [n for n in registry if n.startswith(("test.", "soak.", "notify.test_"))]:
            del registry[name]
    yield
    for registry, whole in zip(registries, before, strict=True):
        registry.update(whole)  # type: ignore[arg-type]
