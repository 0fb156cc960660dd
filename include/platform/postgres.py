"""A PostgreSQL of one's own: a data folder, loopback, passwords (scram), the binaries of Debian's package or of any other folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.errors import ComponentError, InputError

DEBIAN = Path("/usr/lib/postgresql")
APT = "apt-get install postgresql redis-server"
NOBODY = 65534
CONNECTIONS = 200
START_S = 120.0


def binaries(data: Path) -> Path:
    """The folder of ``postgres`` and ``initdb``: of the version that made ``data``, or the newest. Raises InputError when there is none."""
    found = {initdb.parents[1].name: initdb.parent for initdb in DEBIAN.glob("*/bin/initdb") if (initdb.parent / "postgres").exists()}
    made_by = data / "PG_VERSION"
    if made_by.exists():
        version = made_by.read_text().strip()
        if version not in found:
            what = f"there is no PostgreSQL {version}, which has made this database."
            raise InputError(what, where=str(data), remedy=f"apt-get install postgresql-{version}")
        return found[version]
    if not found:
        raise InputError("there is no PostgreSQL on this machine.", where=str(DEBIAN), remedy=f"Run `make install-scaled`, or: {APT}")
    return found[max(found, key=lambda version: float(version))]


def owner() -> tuple[int, int] | None:
    """User and group that PostgreSQL runs as, when it isn't this user: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        return NOBODY, NOBODY
    return entry.pw_uid, entry.pw_gid


def as_owner() -> dict[str, Any]:
    """The same for subprocess."""
    who = owner()
    return {"user": who[0], "group": who[1], "extra_groups": []} if who else {}


def check_reach(folder: Path) -> None:
    """Raises InputError when PostgreSQL's user may not pass through a folder to its data."""
    who = owner()
    if who and subprocess.run(["test", "-x", str(folder)], check=False, cwd="/", **as_owner()).returncode:
        raise InputError(
            f"PostgreSQL does not run as root, and its user ({who[0]}) may not pass through this folder.",
            where=str(folder),
            remedy="Let others pass (chmod o+x, the folders above it too), set UPDRAFT_HOME to another, or don't run Updraft as root.",
        )


def initialise(binaries: Path, data: Path, superuser: str, password: str) -> None:
    """Make the data folder, unless it is there. Killed in between, it is made anew. Raises ComponentError with initdb's own words."""
    if data.exists():
        return
    data.parent.mkdir(parents=True, exist_ok=True)
    if owner():
        data.parent.chmod(0o711)
    new, secret = data.with_name("new"), data.with_name("password")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    try:
        secret.write_text(password)
        if who := owner():
            for path in (new, secret):
                os.chown(path, *who)
        command = [str(binaries / "initdb"), "-D", str(new), "-U", superuser, "-E", "UTF8", "--locale=C"]
        command += ["--auth=scram-sha-256", f"--pwfile={secret}"]
        done = subprocess.run(command, check=False, cwd="/", capture_output=True, text=True, **as_owner())
    finally:
        secret.unlink()
    if done.returncode:
        raise ComponentError(f"initdb failed: {(done.stderr or done.stdout).strip()[-1000:]}", where="postgres")
    new.rename(data)


def command(binaries: Path, data: Path, host: str, port: int, *options: str) -> tuple[str, ...]:
    """The server in the foreground, its log on stderr. ``host``: an address, or the folder of its socket, which then is all that it listens
    at. ``options``: ``name=value`` of postgresql.conf."""
    # A failed statement's text, and whatever stands in it, is for its sender to know: the log has the error.
    folder, address = (host, "") if host.startswith("/") else ("", host)
    at = (f'unix_socket_directories="{folder}"' if folder else "unix_socket_directories=", "unix_socket_permissions=0700")
    given = (*at, f"max_connections={CONNECTIONS}", "log_min_error_statement=panic", *options)
    return (
        *(str(binaries / "postgres"), "-D", str(data), "-h", address, "-p", str(port)),
        *(part for option in given for part in ("-c", option)),
    )


def make_socket_folder(folder: Path) -> None:
    """A folder in which PostgreSQL alone can make its socket; nothing when ``folder`` is an address."""
    if folder.is_absolute():
        folder.mkdir(mode=0o700, exist_ok=True)
        if who := owner():
            os.chown(folder, *who)


def as_program(command: tuple[str, ...]) -> tuple[str, ...]:
    """The same for a program that supervisord starts, which may be root."""
    who = owner()
    prefix = ("/usr/bin/setpriv", f"--reuid={who[0]}", f"--regid={who[1]}", "--clear-groups", "--") if who else ()
    return (*prefix, *command)


def provide(host: str, port: int, superuser: str, passwords: Mapping[str, str], databases: Mapping[str, str]) -> None:
    """Wait for the server; make the roles (name → password, the superuser's own among them) and databases (name → owner) that are missing.

    Raises ComponentError when it does not answer in time.
    """
    import psycopg2
    from psycopg2 import extensions, sql

    deadline = time.monotonic() + START_S
    while True:
        try:
            connection = psycopg2.connect(host=host, port=port, user=superuser, password=passwords[superuser], dbname="postgres")
            break
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise ComponentError(f"does not answer at {host}:{port}: {str(error).strip()}", where="postgres") from None
            time.sleep(0.2)
    try:
        connection.autocommit = True  # CREATE DATABASE knows no transaction
        with connection.cursor() as cursor:
            for role in passwords:
                cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
                if cursor.fetchone() is None:  # the server is told, and may log, the password's hash only
                    hashed = extensions.encrypt_password(passwords[role], role, connection, "scram-sha-256")
                    cursor.execute(sql.SQL("create role {} login password {}").format(sql.Identifier(role), sql.Literal(hashed)))
            for database, role in databases.items():
                cursor.execute("select 1 from pg_database where datname = %s", (database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(database), sql.Identifier(role)))
                cursor.execute(sql.SQL("revoke connect on database {} from public").format(sql.Identifier(database)))
    finally:
        connection.close()
