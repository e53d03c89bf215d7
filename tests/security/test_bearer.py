"""Access tokens at the REST API: only those of our issuer, for us, now, by clients we take (POR-06)."""

import base64
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from config import Settings
from portal.kernel import settings as active
from security import bearer, keys, oidc
from security.tokens import BadToken
from tests.security.forge import Forge, forge

pytestmark = pytest.mark.req("POR-06")


@pytest.fixture(scope="module")
def smithy() -> Iterator[Forge]:
    with forge() as made:
        yield made


@pytest.fixture
def accepted(app: Flask, settings: Settings, smithy: Forge) -> Iterator[Callable[[str], bool]]:
    """`accepted(token)`: whether the portal, trusting the forge, believes it."""
    before = active.settings()
    active.use(settings.model_copy(update={"oidc_issuer": smithy.issuer}))

    def accept(token: str) -> bool:
        try:
            bearer.verify_access_token(token)
        except BadToken:
            return False
        return True

    with app.app_context():
        yield accept
    active.use(before)


def test_a_good_token_is_believed(accepted: Callable[[str], bool], smithy: Forge) -> None:
    assert accepted(smithy.sign(smithy.access_claims()))
    assert accepted(smithy.sign(smithy.access_claims(aud="portal-api", sid=None)))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None}, {"iss": "http://127.0.0.1:1/realms/forge"}, {"iss": ["x"]}, {"iss": ""}, {"aud": None}, {"aud": "portal"},
        {"aud": ["account", "portal"]}, {"aud": []}, {"aud": {"portal-api": 1}}, {"aud": "portal-api2"}, {"exp": None}, {"exp": 0},
        {"exp": "9999999999"}, {"exp": True}, {"exp": {}}, {"exp": -1}, {"iat": None}, {"iat": timedelta(hours=1)}, {"iat": "now"},
        {"nbf": timedelta(hours=1)}, {"nbf": "x"}, {"typ": None}, {"typ": "ID"}, {"typ": "Refresh"}, {"typ": "Logout"}, {"typ": ["Bearer"]},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"azp": None}, {"azp": ""}, {"azp": ["portal-demo-cli"]},
    ],
    ids=str,
)  # fmt: skip
def test_each_wrong_claim_is_refused(accepted: Callable[[str], bool], smithy: Forge, changes: dict[str, Any]) -> None:
    assert not accepted(smithy.sign(smithy.access_claims(**changes)))


@pytest.mark.parametrize(("claim", "seconds", "good"), [("exp", -25, True), ("exp", -35, False), ("nbf", 25, True), ("nbf", 35, False)])
def test_clocks_may_differ_by_thirty_seconds(accepted: Callable[[str], bool], smithy: Forge, claim: str, seconds: int, good: bool) -> None:
    assert accepted(smithy.sign(smithy.access_claims(**{claim: timedelta(seconds=seconds)}))) is good


def test_one_content_has_one_spelling(accepted: Callable[[str], bool], smithy: Forge) -> None:
    """The last character of a part carries unused bits: varying them must not make a second token of the same content."""
    good = smithy.sign(smithy.access_claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [good[:-1] + c for c in alphabet if c != good[-1]]
    same = [t for t in twins if base64.urlsafe_b64decode(t.split(".")[2] + "==") == base64.urlsafe_b64decode(good.split(".")[2] + "==")]
    assert same, "the signature of RS256 always has twins"
    assert not any(accepted(t) for t in twins)


@pytest.mark.filterwarnings("ignore:Key size")
def test_keys_not_made_for_signing_are_no_keys(accepted: Callable[[str], bool], smithy: Forge) -> None:
    for more in ({"use": "enc"}, {"use": None}, {"alg": "RS512"}):
        key = smithy.new_key(**more)
        oidc.provider().keys._tried = None
        assert not accepted(smithy.sign(smithy.access_claims(), key)), more
    small = smithy.new_key(bits=1024)
    oidc.provider().keys._tried = None
    assert not accepted(smithy.sign(smithy.access_claims(), small))


def test_a_new_key_is_learned_and_a_withdrawn_one_forgotten(accepted: Callable[[str], bool], smithy: Forge) -> None:
    cache = oidc.provider().keys
    old, new = smithy.key, smithy.new_key()
    old_entry = next(k for k in smithy.published if k["kid"] == old.kid)
    cache._tried = None
    assert accepted(smithy.sign(smithy.access_claims(), new)), "an unknown key name makes the portal ask again"
    smithy.published.remove(old_entry)
    assert accepted(smithy.sign(smithy.access_claims(), old)), "within the time keys are kept"
    cache._fetched, cache._tried = -keys.MAX_AGE - 1, None
    assert not accepted(smithy.sign(smithy.access_claims(), old))
    smithy.published.append(old_entry)
    cache._tried = None


def test_invented_key_names_do_not_flood_the_issuer(accepted: Callable[[str], bool], smithy: Forge) -> None:
    oidc.provider().keys._tried = None
    before = smithy.asked
    for n in range(200):
        assert not accepted(smithy.sign(smithy.access_claims(), kid=f"invented-{n}"))
    assert smithy.asked - before <= 1


@pytest.mark.req("POR-07", part="keys are kept while Keycloak is down")
def test_keys_outlive_the_issuer_and_the_process(app: Flask, settings: Settings, smithy: Forge) -> None:
    address = smithy.issuer + "/certs"
    with app.app_context():
        first = keys.KeyCache(smithy.issuer, lambda: address)
        assert first.key(smithy.key.kid)
        smithy.broken = True
        try:
            first._fetched, first._tried = -keys.MAX_AGE - 1, None
            assert first.key(smithy.key.kid), "old keys go on being used"
            second = keys.KeyCache(smithy.issuer, lambda: address)
            assert second.key(smithy.key.kid), "a process that never saw the issuer reads the copy in the database"
            with pytest.raises(keys.UnknownKey):
                second.key("unknown")
        finally:
            smithy.broken = False


def test_an_older_token_gives_no_role_back(app: Flask, user_id: Callable[[str], int], smithy: Forge, fresh_db: None) -> None:
    from sqlalchemy import text

    from portal.kernel.db import unrestricted
    from security import accounts

    me = user_id("outsider")
    held = text("select count(*) from ab_user_role x join ab_role r on r.id = x.role_id where x.user_id = :u and r.name = 'qa'")
    with app.app_context():
        with unrestricted("test") as s:
            subject = s.scalar(
                text("update security_account set subject = coalesce(subject, 'somebody') where user_id = :u returning subject"), {"u": me}
            )
        now = time.time()
        for age, found in ((accounts.FRESH + 1, 0), (1.0, 1)):
            claims = smithy.access_claims(sub=subject, iat=int(now - age), roles=["employee", "qa"])
            assert accounts.find_for_token(claims) == me
            with unrestricted("test") as s:
                assert s.scalar(held, {"u": me}) == found


def test_no_machine_acts_as_a_person(app: Flask, fresh_db: None) -> None:
    from security import accounts

    with app.app_context():
        with pytest.raises(ValueError, match="person"):
            accounts.bind_machine("robot", "pm.chen", ("leader",))
        first = accounts.bind_machine("robot", "robot.reports", ("qa",))
        assert accounts.bind_machine("robot", "robot.reports", ("qa",)) == first
