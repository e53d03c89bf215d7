"""The sample realm: what the script writes, with the roles and people the portal expects."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modules.hr.sample import ACCOUNTS, subject_of
from security.roles import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.req("POR-14", part="sample realm")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_realm", ROOT / "deploy/keycloak/make_realm.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def realm() -> dict[str, Any]:
    return dict(json.loads((ROOT / "portal/embedded/realm/shuniu-realm.json").read_text(encoding="utf-8")))


def test_the_file_is_what_the_script_writes(script: ModuleType, realm: dict[str, Any]) -> None:
    assert script.realm(sample=True) == realm


def test_roles_are_those_of_the_portal(realm: dict[str, Any]) -> None:
    assert {r["name"] for r in realm["roles"]["client"]["portal"]} == {r.key for r in BUILT_IN}
    for user in realm["users"]:
        assert set(user["clientRoles"].get("portal", ())) <= {r.key for r in BUILT_IN}


def test_people_are_those_of_the_sample_company(realm: dict[str, Any]) -> None:
    people = [u for u in realm["users"] if "serviceAccountClientId" not in u]
    assert len(people) == 21
    assert all(u["id"] == subject_of(u["username"]) for u in people)
    here = [
        (u["username"], u["lastName"] + u["firstName"], u["attributes"]["employee_number"], set(u["clientRoles"]["portal"])) for u in people
    ]
    assert here == [(name, words, [f"E{n:04d}"], {"employee", *keys}) for n, (name, words, *_, keys) in enumerate(ACCOUNTS, 1)]


def test_sign_in_is_by_code_with_pkce_only(realm: dict[str, Any]) -> None:
    portal = next(c for c in realm["clients"] if c["clientId"] == "portal")
    flows = ("standardFlowEnabled", "implicitFlowEnabled", "directAccessGrantsEnabled", "publicClient")
    assert [portal[name] for name in flows] == [True, False, False, False]
    assert portal["attributes"]["pkce.code.challenge.method"] == "S256"
    assert portal["redirectUris"] == ["${PORTAL_URL}/oidc/callback"], "no wildcard"
    assert portal["secret"] == "${PORTAL_CLIENT_SECRET}"


def test_the_production_realm_brings_nobody_and_demands_tls(script: ModuleType) -> None:
    made = script.realm(sample=False)
    assert [u["username"] for u in made["users"]] == ["service-account-portal"]
    assert {c["clientId"] for c in made["clients"]} == {"portal", "portal-api", "admin-permissions"}
    assert made["sslRequired"] == "external"
    assert made["bruteForceProtected"]
    assert "shuniu-demo" not in json.dumps(made)
