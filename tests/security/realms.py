"""A realm of one's own at the test Keycloak: the portal's clients and rules, nobody in it."""

import json
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from keycloak import KeycloakAdmin

from deploy.keycloak import make_realm
from security.directory import Directory, TheirGroup, TheirUser
from security.keycloak import Administration

SECRET = secrets.token_urlsafe()


@dataclass
class OwnRealm:
    """*admin* may change everything; *portal* is what the portal itself sees and may do."""

    issuer: str
    admin: KeycloakAdmin
    portal: Directory

    def user(self, username: str) -> TheirUser | None:
        """One account with its groups."""
        found = self.admin.get_users({"username": username, "exact": True})
        return self.portal.user(found[0]["id"]) if found else None

    def group(self, code: str) -> TheirGroup | None:
        """The group that says it is this department."""
        return next((g for g in self.portal.groups().values() if g.code == code), None)

    def codes(self, username: str) -> set[str]:
        """Departments whose groups somebody is in."""
        user, groups = self.user(username), self.portal.groups()
        return {groups[g].code for g in user.groups} if user else set()

    def change(self, username: str, **values: Any) -> None:
        """Change an account by hand, as an administrator of Keycloak does."""
        found = self.admin.get_users({"username": username, "exact": True})[0]
        self.admin.update_user(found["id"], found | values)

    def empty(self) -> None:
        """Remove everybody and every group."""
        for user in self.portal.users():
            self.admin.delete_user(user.subject)
        for group in self.portal.groups().values():
            if group.parent is None:
                self.admin.delete_group(group.id)

    def sign_in(self, username: str, password: str) -> requests.Response:
        """The direct grant, which needs a client that allows it."""
        form = {"grant_type": "password", "client_id": "test-cli", "username": username, "password": password, "scope": "openid"}
        return requests.post(f"{self.issuer}/protocol/openid-connect/token", data=form, timeout=30)


@contextmanager
def own_realm(issuer: str, user: str, password: str, name: str) -> Iterator[OwnRealm]:
    """The realm *name*, made anew and removed afterwards."""
    parts = urlsplit(issuer)
    server = f"{parts.scheme}://{parts.netloc}/"
    master = KeycloakAdmin(server_url=server, username=user, password=password, realm_name="master")
    text = (
        json.dumps(make_realm.realm(sample=False)).replace("${PORTAL_URL}", "http://127.0.0.1:1").replace("${PORTAL_CLIENT_SECRET}", SECRET)
    )
    # ids hold for the whole server, which has other realms made from the same file
    text = text.replace(make_realm.CLIENT_ID, str(uuid.uuid5(uuid.NAMESPACE_URL, name)))
    master.connection.raw_delete(f"/admin/realms/{name}")
    wanted = json.loads(text) | {"realm": name, "sslRequired": "none", "displayName": name}
    wanted["users"][0].pop("id", None)
    wanted["clients"].append(
        {"clientId": "test-cli", "publicClient": True, "directAccessGrantsEnabled": True, "standardFlowEnabled": False}
    )
    made = master.connection.raw_post("/admin/realms", data=json.dumps(wanted))
    assert made.status_code == 201, made.text
    try:
        own = f"{server}realms/{name}"
        admin = KeycloakAdmin(server_url=server, username=user, password=password, realm_name=name, user_realm_name="master")
        yield OwnRealm(own, admin, Directory(Administration(own, make_realm.CLIENT, SECRET)))
    finally:
        master.connection.raw_delete(f"/admin/realms/{name}")
