"""Writes the Keycloak realm of the portal as an import file; standard library only.

    python3 deploy/keycloak/make_realm.py > portal/embedded/realm/shuniu-realm.json      the sample realm, with its invented people
    python3 deploy/keycloak/make_realm.py --production > realm.json                       clients, roles and rules only

Whoever imports the file first replaces ``${PORTAL_URL}`` (address of the portal, without a slash at the end) and
``${PORTAL_CLIENT_SECRET}``; Keycloak itself does so from environment variables of these names.
"""

import argparse
import base64
import hashlib
import json
import sys
import uuid
from typing import Any

REALM = "shuniu"
CLIENT, AUDIENCE = "portal", "portal-api"
CLIENT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://shuniu.example/clients/portal"))
"""Keycloak's identifier of the portal's client: fixed, because the permission to keep its roles names it."""
SAMPLE_PASSWORD = "shuniu-demo"  # noqa: S105 - of the invented people only
HASH_ITERATIONS = 210_000

ROLES = {
    "employee": "员工 Employee",
    "leader": "公司领导 Company leader",
    "hr": "人力资源 Human resources",
    "qa": "质量保证 Quality assurance",
    "finance": "财务 Finance",
    "sales": "销售 Sales",
    "sales_manager": "销售经理 Sales manager",
    "buyer": "采购 Buyer",
    "legal": "法务 Legal",
    "service": "售后服务 After-sales service",
    "archivist": "档案管理员 Archivist",
    "system_admin": "系统管理员 System administrator",
    "security_admin": "安全管理员 Security administrator",
    "auditor": "审计员 Auditor",
}
"""Client roles of the portal, the same keys as security.roles. Project managers, heads and members are data, not roles."""

PEOPLE = (
    ("admin", "韦安宁", ("system_admin",)),
    ("leader", "周远山", ("leader",)),
    ("domain.manager", "顾明德", ()),
    ("pm.chen", "陈嘉树", ()),
    ("pm.li", "李慕白", ()),
    ("head.rd", "周明远", ()),
    ("head.sales", "苏晴", ()),
    ("member.wang", "王知夏", ()),
    ("member.zhao", "赵思源", ()),
    ("sales.liu", "刘佳怡", ("sales",)),
    ("sales.manager", "许文静", ("sales", "sales_manager")),
    ("buyer", "邓若彤", ("buyer",)),
    ("legal", "沈清和", ("legal",)),
    ("finance", "钱立群", ("finance",)),
    ("hr", "何雨桐", ("hr",)),
    ("qa", "罗俊杰", ("qa",)),
    ("service", "唐一鸣", ("service",)),
    ("security.admin", "卫国安", ("security_admin",)),
    ("auditor", "梁晓敏", ("auditor",)),
    ("archivist", "宋文博", ("archivist",)),
    ("outsider", "郭子昂", ()),
)
"""User name, invented name (family name first), roles beside ``employee``; employee numbers E0001, E0002, … in this order."""


def subject(username: str) -> str:
    """Keycloak's identifier of a sample person: fixed, so that the sample company can name it beforehand."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "https://shuniu.example/people/" + username))


def mapper(name: str, kind: str, config: dict[str, str]) -> dict[str, Any]:
    """A protocol mapper of a client."""
    return {"name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config}


def roles_mapper() -> dict[str, Any]:
    """The person's portal roles as the claim ``roles``."""
    return mapper(
        "portal roles",
        "oidc-usermodel-client-role-mapper",
        {
            "usermodel.clientRoleMapping.clientId": CLIENT,
            "claim.name": "roles",
            "jsonType.label": "String",
            "multivalued": "true",
            "id.token.claim": "true",
            "access.token.claim": "true",
            "userinfo.token.claim": "false",
        },
    )


def number_mapper() -> dict[str, Any]:
    """The employee number, which only administrators can edit, as a claim: the first sign-in may be linked by it."""
    return mapper(
        "employee number",
        "oidc-usermodel-attribute-mapper",
        {
            "user.attribute": "employee_number",
            "claim.name": "employee_number",
            "jsonType.label": "String",
            "id.token.claim": "true",
            "access.token.claim": "true",
            "userinfo.token.claim": "false",
        },
    )


def audience_mapper() -> dict[str, Any]:
    """Access tokens of the client are meant for the REST API."""
    return mapper(
        "audience " + AUDIENCE,
        "oidc-audience-mapper",
        {
            "included.client.audience": AUDIENCE,
            "access.token.claim": "true",
            "id.token.claim": "false",
        },
    )


def portal_client() -> dict[str, Any]:
    """The portal itself: sign-in by code with PKCE, back-channel logout, and a service account that manages people."""
    return {
        "id": CLIENT_ID,
        "clientId": CLIENT,
        "name": "枢纽 Shuniu",
        "enabled": True,
        "publicClient": False,
        "clientAuthenticatorType": "client-secret",
        "secret": "${PORTAL_CLIENT_SECRET}",
        "standardFlowEnabled": True,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": True,
        "frontchannelLogout": False,
        "fullScopeAllowed": True,
        "baseUrl": "${PORTAL_URL}/",
        "redirectUris": ["${PORTAL_URL}/oidc/callback"],
        "webOrigins": [],
        "attributes": {
            "pkce.code.challenge.method": "S256",
            "backchannel.logout.url": "${PORTAL_URL}/oidc/backchannel-logout",
            "backchannel.logout.session.required": "true",
            "backchannel.logout.revoke.offline.tokens": "false",
            "post.logout.redirect.uris": "${PORTAL_URL}/logout/done",
            "id.token.signed.response.alg": "RS256",
            "access.token.signed.response.alg": "RS256",
            "use.refresh.tokens": "false",
        },
        "protocolMappers": [roles_mapper(), number_mapper()],
    }


def api_client() -> dict[str, Any]:
    """Stands for the REST API as an audience; nobody signs in through it."""
    return {
        "clientId": AUDIENCE,
        "name": "枢纽 Shuniu REST API",
        "enabled": True,
        "bearerOnly": True,
        "standardFlowEnabled": False,
        "directAccessGrantsEnabled": False,
    }


def sample_clients() -> list[dict[str, Any]]:
    """For the sample realm only: a command-line client, a machine that calls the REST API, and another application."""
    return [
        {
            "clientId": "portal-demo-cli",
            "name": "枢纽 Shuniu command line (sample)",
            "enabled": True,
            "publicClient": True,
            "standardFlowEnabled": False,
            "directAccessGrantsEnabled": True,
            "fullScopeAllowed": True,
            "attributes": {"access.token.signed.response.alg": "RS256"},
            "protocolMappers": [roles_mapper(), number_mapper(), audience_mapper()],
        },
        {
            "clientId": "portal-demo-robot",
            "name": "枢纽 Shuniu machine (sample)",
            "enabled": True,
            "publicClient": False,
            "clientAuthenticatorType": "client-secret",
            "secret": SAMPLE_PASSWORD,
            "standardFlowEnabled": False,
            "directAccessGrantsEnabled": False,
            "serviceAccountsEnabled": True,
            "attributes": {"access.token.signed.response.alg": "RS256"},
            "protocolMappers": [audience_mapper()],
        },
        {
            "clientId": "sample-app",
            "name": "示例应用 Sample application",
            "enabled": True,
            "publicClient": False,
            "clientAuthenticatorType": "client-secret",
            "secret": SAMPLE_PASSWORD,
            "standardFlowEnabled": True,
            "directAccessGrantsEnabled": False,
            "baseUrl": "http://127.0.0.1:8090/",
            "redirectUris": ["http://127.0.0.1:8090/*"],
            "attributes": {"pkce.code.challenge.method": "S256"},
        },
    ]


def credential(password: str) -> dict[str, Any]:
    """*password* already hashed, so that an import of many people is quick. The salt is fixed: the file must not change at each run."""
    salt = hashlib.sha256(b"shuniu sample realm").digest()[:16]
    value = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, HASH_ITERATIONS, 64)
    encode = lambda b: base64.b64encode(b).decode()  # noqa: E731
    return {
        "type": "password",
        "secretData": json.dumps({"value": encode(value), "salt": encode(salt), "additionalParameters": {}}),
        "credentialData": json.dumps({"hashIterations": HASH_ITERATIONS, "algorithm": "pbkdf2-sha512", "additionalParameters": {}}),
    }


def sample_users() -> list[dict[str, Any]]:
    """The invented people with the sample password."""
    secret = credential(SAMPLE_PASSWORD)
    return [
        {
            "id": subject(username),
            "username": username,
            "enabled": True,
            "emailVerified": True,
            "lastName": name[:1],
            "firstName": name[1:],
            "email": f"{username}@shuniu.example",
            "attributes": {"employee_number": [f"E{n:04d}"], "locale": ["zh-CN"]},
            "credentials": [secret],
            # without the default roles the account console answers 401
            "realmRoles": [f"default-roles-{REALM}"],
            "clientRoles": {CLIENT: ["employee", *roles]},
        }
        for n, (username, name, roles) in enumerate(PEOPLE, 1)
    ]


def service_account() -> dict[str, Any]:
    """The portal's own account for Keycloak's administration interface, no stronger than its tasks."""
    return {
        "username": f"service-account-{CLIENT}",
        "enabled": True,
        "serviceAccountClientId": CLIENT,
        "clientRoles": {"realm-management": ["manage-users", "view-users", "query-users", "query-groups", "view-clients", "view-events"]},
    }


def permissions_client() -> dict[str, Any]:
    """Fine-grained permission for the one thing its roles leave out: the portal keeps the client roles of its own client, of no other.

    (The role ``manage-clients`` would let it change every application of the realm.)
    """
    of_clients = ("manage", "map-roles", "map-roles-client-scope", "map-roles-composite", "view")
    kinds = {
        "Clients": of_clients,
        "Groups": ("manage", "manage-members", "manage-membership", "view", "view-members"),
        "Roles": ("map-role", "map-role-client-scope", "map-role-composite"),
        "Users": ("impersonate", "manage", "manage-group-membership", "map-roles", "reset-password", "view"),
    }
    scopes = sorted({scope for names in kinds.values() for scope in names})
    resources: list[dict[str, Any]] = [
        {"name": kind, "type": kind, "scopes": [{"name": scope} for scope in names]} for kind, names in kinds.items()
    ]
    resources.append({"name": CLIENT_ID, "displayName": CLIENT, "type": "Clients", "scopes": [{"name": "manage"}]})
    itself, own_roles = "the portal itself", "the portal keeps its own roles"
    rule = {"logic": "POSITIVE", "decisionStrategy": "UNANIMOUS"}
    policies = [
        {"name": itself, "type": "user", "config": {"users": json.dumps([f"service-account-{CLIENT}"])}} | rule,
        {
            "name": own_roles,
            "type": "scope",
            "resourceType": "Clients",
            "config": {
                "defaultResourceType": "Clients",
                "resources": json.dumps([CLIENT_ID]),
                "scopes": json.dumps(["manage"]),
                "applyPolicies": json.dumps([itself]),
            },
        }
        | rule,
    ]
    return {
        "clientId": "admin-permissions",
        "enabled": True,
        "publicClient": False,
        "standardFlowEnabled": False,
        "authorizationServicesEnabled": True,
        "authorizationSettings": {
            "allowRemoteResourceManagement": False,
            "policyEnforcementMode": "ENFORCING",
            "decisionStrategy": "UNANIMOUS",
            "scopes": [{"name": scope} for scope in scopes],
            "resources": resources,
            "policies": policies,
        },
    }


def user_profile() -> dict[str, Any]:
    """Declares the employee number: shown to the person, edited by administrators only."""

    def attribute(
        name: str, display: str, *, editor: str = "user", validations: dict[str, Any] | None = None, required: bool = False
    ) -> dict[str, Any]:
        described: dict[str, Any] = {
            "name": name,
            "displayName": display,
            "validations": validations or {},
            "permissions": {"view": ["admin", "user"], "edit": ["admin", "user"] if editor == "user" else ["admin"]},
            "multivalued": False,
        }
        return described | ({"required": {"roles": ["user"]}} if required else {})

    person = {"length": {"max": 255}, "person-name-prohibited-characters": {}}
    profile = {
        "attributes": [
            attribute(
                "username",
                "${username}",
                validations={"length": {"min": 2, "max": 255}, "username-prohibited-characters": {}, "up-username-not-idn-homograph": {}},
            ),
            attribute("email", "${email}", editor="admin", validations={"email": {}, "length": {"max": 255}}),
            attribute("firstName", "${firstName}", validations=person, required=True),
            attribute("lastName", "${lastName}", validations=person, required=True),
            attribute("employee_number", "工号 Employee number", editor="admin", validations={"length": {"max": 32}}),
        ],
        "groups": [],
    }
    return {"providerId": "declarative-user-profile", "config": {"kc.user.profile.config": [json.dumps(profile, ensure_ascii=False)]}}


def realm(sample: bool) -> dict[str, Any]:
    """The whole import file; the production one demands TLS and brings nobody."""
    return {
        "realm": REALM,
        "displayName": "枢纽 Shuniu",
        "enabled": True,
        "sslRequired": "none" if sample else "external",
        "registrationAllowed": False,
        "editUsernameAllowed": False,
        "resetPasswordAllowed": not sample,
        "rememberMe": False,
        "loginWithEmailAllowed": True,
        "duplicateEmailsAllowed": False,
        "internationalizationEnabled": True,
        "supportedLocales": ["zh-CN", "en"],
        "defaultLocale": "zh-CN",
        "accessTokenLifespan": 300,
        # the portal keeps its own session and does not refresh tokens: an idle limit would count from the sign-in
        "ssoSessionIdleTimeout": 36000,
        "ssoSessionMaxLifespan": 36000,
        "defaultSignatureAlgorithm": "RS256",
        "passwordPolicy": f"hashAlgorithm(pbkdf2-sha512) and hashIterations({HASH_ITERATIONS}) and length(8) and notUsername(undefined)",
        "bruteForceProtected": True,
        "permanentLockout": False,
        "failureFactor": 10,
        "waitIncrementSeconds": 60,
        "maxFailureWaitSeconds": 900,
        "maxDeltaTimeSeconds": 43200,
        "quickLoginCheckMilliSeconds": 1000,
        "minimumQuickLoginWaitSeconds": 60,
        "eventsEnabled": True,
        "eventsExpiration": 30 * 86400,
        "eventsListeners": ["jboss-logging"],
        "adminEventsEnabled": True,
        "adminEventsDetailsEnabled": True,
        "adminPermissionsEnabled": True,
        "roles": {"client": {CLIENT: [{"name": key, "description": text} for key, text in ROLES.items()]}},
        "clients": [portal_client(), api_client(), permissions_client(), *(sample_clients() if sample else [])],
        "users": [service_account(), *(sample_users() if sample else [])],
        "components": {"org.keycloak.userprofile.UserProfileProvider": [user_profile()]},
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--production", action="store_true", help="without sample people and sample clients, TLS demanded")
    json.dump(realm(sample=not arguments.parse_args().production), sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")
