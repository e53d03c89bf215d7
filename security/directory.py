"""Keycloak's users, groups and client roles, read page by page and written one at a time.

A part of a user's representation wipes the rest, so writing is always: read, change, write.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keycloak.exceptions import KeycloakError

from security.expected import Person
from security.keycloak import Administration

NUMBER, CODE = "employee_number", "department_code"
"""Attributes that say which employee an account and which department a group belongs to; administrators alone may edit them."""
SIZE = 200
MOST_USERS, MOST_GROUPS = 20_000, 5_000
"""More than this is not read: such a realm holds more than one company's people."""


class TooMany(Exception):
    """The realm has more users or groups than the portal compares."""


@dataclass(frozen=True)
class TheirUser:
    """An account as Keycloak has it; *groups*: ids of the groups it is in, as far as they were asked for."""

    subject: str
    username: str
    email: str
    first_name: str
    last_name: str
    enabled: bool
    number: str
    groups: frozenset[str] = frozenset()
    verified: bool = False
    """Whether somebody has shown that the address is theirs."""

    @property
    def name(self) -> str:
        """The full name, family name first."""
        return f"{self.last_name}{self.first_name}"


@dataclass(frozen=True)
class TheirGroup:
    """A group as Keycloak has it; *parent*: id of the group above, *code*: the department it says it is.

    *roles*: whoever is in it gets roles by that, of whatever application.
    """

    id: str
    name: str
    parent: str | None
    code: str
    roles: bool = False


class Directory:
    """Reads and writes people and departments at Keycloak.  Methods raise `KeycloakError`."""

    def __init__(self, admin: Administration) -> None:
        self._admin = admin

    def _pages(self, path: str, most: int, **query: Any) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for first in range(0, most, SIZE):
            page = self._admin.request("get", path, first=first, max=SIZE, **query)
            for one in page:
                if one["id"] not in seen:  # the list may move on while it is read
                    seen.add(one["id"])
                    yield one
            if len(page) < SIZE:
                return
        raise TooMany(f"more than {most} in {path}")

    # -------------------------------------------------------------- users
    def users(self) -> list[TheirUser]:
        """Every account of people; service accounts are never among them."""
        return [_user(found) for found in self._pages("/users", MOST_USERS, briefRepresentation="false")]

    def user(self, subject: str) -> TheirUser | None:
        """One account with its groups; None when it is gone."""
        try:
            found = self._admin.request("get", f"/users/{subject}")
        except KeycloakError as error:
            if error.response_code == 404:
                return None
            raise
        groups = frozenset(g["id"] for g in self._pages(f"/users/{subject}/groups", MOST_GROUPS))
        return _user(found, groups)

    def candidates(self, person: Person) -> list[TheirUser]:
        """Accounts that may be *person*'s: by employee number, user name or e-mail address, exactly."""
        asked: list[dict[str, Any]] = [{"q": f"{NUMBER}:{person.number}"}, {"username": person.username}] + (
            [{"email": person.email}] if person.email else []
        )
        found: dict[str, TheirUser] = {}
        for query in asked:
            rows = self._admin.request("get", "/users", exact="true", briefRepresentation="false", first=0, max=SIZE, **query)
            found |= {row["id"]: _user(row) for row in rows}
        return list(found.values())

    def create(self, person: Person, username: str, email: str | None) -> str:
        """A new account that has to be given a password before its first use; returns its id.  Never a password in here."""
        self._admin.request(
            "post",
            "/users",
            {
                "username": username,
                "enabled": True,
                "firstName": person.first_name,
                "lastName": person.last_name,
                "email": email or "",
                "emailVerified": False,  # nobody has shown yet that the address is theirs; following the invitation does
                "attributes": {NUMBER: [person.number]},
                "requiredActions": ["UPDATE_PASSWORD"],
            },
        )
        found = self._admin.request("get", "/users", username=username, exact="true", first=0, max=2)
        return str(found[0]["id"])

    def change(self, subject: str, values: dict[str, Any], number: str | None = None) -> None:
        """Write *values* into the account, and the employee number if given; everything else stays."""
        before = self._admin.request("get", f"/users/{subject}")
        if number is not None:
            values = values | {"attributes": (before.get("attributes") or {}) | {NUMBER: [number]}}
        self._admin.request("put", f"/users/{subject}", before | values)

    def invite(self, subject: str) -> bool:
        """Have Keycloak mail the way to a password; False when it cannot, for example because it knows no mail server."""
        try:
            self._admin.request("put", f"/users/{subject}/execute-actions-email", ["UPDATE_PASSWORD"], lifespan=7 * 86400)
        except KeycloakError:
            return False
        return True

    def log_out(self, subject: str) -> None:
        """End all Keycloak sessions of the account."""
        self._admin.log_out(subject)

    # -------------------------------------------------------------- groups
    def groups(self) -> dict[str, TheirGroup]:
        """Every group by id, those above before those below."""
        found: dict[str, TheirGroup] = {}

        def read(path: str, parent: str | None) -> None:
            for one in list(self._pages(path, MOST_GROUPS, briefRepresentation="false")):
                code = ((one.get("attributes") or {}).get(CODE) or [""])[0]
                roles = bool(one.get("realmRoles") or one.get("clientRoles"))
                found[one["id"]] = TheirGroup(one["id"], one["name"], parent, code, roles)
                if len(found) > MOST_GROUPS:
                    raise TooMany(f"more than {MOST_GROUPS} groups")
                if one.get("subGroupCount", 1):
                    read(f"/groups/{one['id']}/children", one["id"])

        read("/groups", None)
        return found

    def members(self, group: str) -> set[str]:
        """Ids of the accounts directly in *group*."""
        return {one["id"] for one in self._pages(f"/groups/{group}/members", MOST_USERS, briefRepresentation="true")}

    def create_group(self, code: str, name: str, parent: str | None) -> str:
        """A new group of the department *code* below *parent*; returns its id."""
        body = {"name": name, "attributes": {CODE: [code]}}
        return self._admin.make(f"/groups/{parent}/children" if parent else "/groups", body)

    def change_group(self, group: str, name: str, code: str | None = None) -> None:
        """Give *group* another name, and the department's code if given; its description and other attributes stay."""
        before = self._admin.request("get", f"/groups/{group}")
        attributes = (before.get("attributes") or {}) | ({CODE: [code]} if code is not None else {})
        kept = {"description": before["description"]} if before.get("description") else {}
        self._admin.request("put", f"/groups/{group}", {"name": name, "attributes": attributes, **kept})

    def move_group(self, group: str, name: str, parent: str | None) -> None:
        """Hang *group* below *parent*; *name* is the one it has."""
        self._admin.request("post", f"/groups/{parent}/children" if parent else "/groups", {"id": group, "name": name})

    def remove_group(self, group: str) -> None:
        """Remove *group* with everything below it; one that is gone is no error."""
        self._admin.request("delete", f"/groups/{group}", gone_is_well=True)

    def join(self, subject: str, group: str) -> None:
        """Put the account into *group*."""
        self._admin.request("put", f"/users/{subject}/groups/{group}", {})

    def quit(self, subject: str, group: str) -> None:
        """Take the account out of *group*."""
        self._admin.request("delete", f"/users/{subject}/groups/{group}", gone_is_well=True)

    # -------------------------------------------------------------- client roles
    def roles(self) -> set[str]:
        """Keys of the portal's client roles."""
        return {one["name"] for one in self._pages(f"/clients/{self._admin.client}/roles", MOST_GROUPS)}

    def create_role(self, key: str, description: str) -> None:
        """Make the client role *key*; one that is there is no error."""
        try:
            self._admin.request("post", f"/clients/{self._admin.client}/roles", {"name": key, "description": description})
        except KeycloakError as error:
            if error.response_code != 409:
                raise

    def remove_role(self, key: str) -> None:
        """Remove the client role *key*; one that is gone is no error."""
        self._admin.request("delete", f"/clients/{self._admin.client}/roles/{key}", gone_is_well=True)


def _user(found: dict[str, Any], groups: frozenset[str] = frozenset()) -> TheirUser:
    number = ((found.get("attributes") or {}).get(NUMBER) or [""])[0]
    text = {key: str(found.get(key) or "") for key in ("email", "firstName", "lastName")}
    enabled, verified = bool(found.get("enabled")), bool(found.get("emailVerified"))
    return TheirUser(found["id"], found["username"], text["email"], text["firstName"], text["lastName"], enabled, number, groups, verified)
