"""Everything the portal needs around it, fetched and started on this machine: for the demonstration and for the tests.

Only the standard library is used here, because this code runs before any package is installed. One folder holds it all (``.shuniu``,
or ``--data DIR``): downloads and the Python environment are shared, each *profile* (``demo``, ``test``) keeps its own data below.

What the tests get
------------------
``run.py test`` starts the profile ``test`` once (PostgreSQL without fsync, free ports) and passes in the environment:

================================  ==========================================================================================
``SHUNIU_TEST_PG_SUPER_URL``      superuser, database ``postgres``: create a database per run (owner ``shuniu_owner``) from here
``SHUNIU_TEST_PG_OWNER_URL``      role ``shuniu_owner``, database ``shuniu`` (empty; extension pg_trgm exists)
``SHUNIU_TEST_PG_APP_URL``        role ``app_login``, same database
``SHUNIU_TEST_PG_WORKER_URL``     role ``worker_login``, same database
``SHUNIU_TEST_PG_BIN``            folder with pg_dump, psql, …
``SHUNIU_TEST_REDIS_URL``         Redis; absent when none can be had
``SHUNIU_TEST_REDIS_SERVER``      program to start further servers, for tests that kill one
``SHUNIU_TEST_OIDC_ISSUER``       Keycloak with the sample realm, freshly imported; absent when none can be had
``SHUNIU_TEST_OIDC_CLIENT_SECRET``  secret of the client ``portal``
``SHUNIU_TEST_OIDC_ADMIN_USER``   administrator of the master realm, and
``SHUNIU_TEST_OIDC_ADMIN_PASSWORD``  the password
``SHUNIU_TEST_KEYCLOAK_PID``      process, to be stopped and continued (SIGSTOP, SIGCONT) by tests of an unreachable server
``SHUNIU_TEST_PORTAL_URL``        address under which the realm expects the portal; a test server must listen there for sign-in
``SHUNIU_TEST_CHROMIUM``          browser program; start it with ``--no-sandbox`` as root
``SHUNIU_TEST_CHROMIUM_ENV``      JSON object of further environment variables the browser needs (may be ``{}``)
``SHUNIU_TEST_FAST``              ``1`` from ``check --fast``: no service runs, tests that need one are skipped
================================  ==========================================================================================

All database URLs have the form ``postgresql+psycopg://user:password@127.0.0.1:port/database``. With ``CI=true`` a service that
cannot be had is a failure of the run, so a test may skip for a missing variable without hiding anything.
"""
