"""The seal on the history: committed entries are chained by hashes in one order without gaps, so that nothing is altered unseen (VIS-13).

The trigger writes entries unchained, since a chain held until commit would make everybody wait for everybody. Once a minute `seal`
chains what is committed for good: entries of transactions older than the oldest one still running. One that is still running keeps
what it wrote, however old, for a later turn, so nothing is skipped. Only the function `audit_seal` writes seals; no role of the portal
may. An entry's hash is made of its facts and, for each value, of the hash of value and salt: where a value was erased its hash stays
and the chain holds. docs/adr/0017-sealed-history.md
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base, session

LOCK = 7_201_604_002
"""Key of the advisory lock: one sealer at a time."""
GENESIS = bytes(32)
"""What the first seal is chained to."""


class AuditSeal(Base):
    """The place of one history entry in the sealed order. *horizon*: every transaction before it was sealed when this seal was made."""

    __tablename__ = "security_audit_seal"
    __table_args__ = (Index("security_audit_seal_entry", "entry_id", unique=True), {"info": {"only": {"worker": "select"}}})

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(BigInteger)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    horizon: Mapped[int] = mapped_column(BigInteger)


class AuditCheck(Base):
    """One verification of the whole history, or one anchor written: for the auditor's page."""

    __tablename__ = "security_audit_check"
    __table_args__ = (Index("security_audit_check_what", "what", "id"), {"info": {"only": {"worker": "select, insert"}}})

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    what: Mapped[str] = mapped_column(Text)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(Text, server_default="")
    unsealed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sound: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    problems: Mapped[int] = mapped_column(Integer, server_default="0")
    first_kind: Mapped[str] = mapped_column(Text, server_default="")
    first_seq: Mapped[int | None] = mapped_column(BigInteger)
    first_entry: Mapped[int | None] = mapped_column(BigInteger)


# ------------------------------------------------------------------ what is hashed
def _salt(side: str) -> str:
    return f"encode(sha256(convert_to(a.salt::text || '{side} ' || k, 'UTF8')), 'hex')"


def _value(side: str) -> str:
    """Hash of the value *v* of key *k*; *r* is what erasure left of it. Only an empty value may stand by its kept hash.

    Kept hashes and salts have their one length, else what stands beside them could be pushed over into them.  A value without any
    salt, which only somebody with all rights can write, is hashed all the same.
    """
    own = f"encode(sha256(convert_to(coalesce({_kept('salt')}, {_salt(side)}, '-') || v::text, 'UTF8')), 'hex')"
    return f"case when v = 'null' and {_kept('hash')} is not null then r->>'hash' else {own} end"


def _kept(what: str) -> str:
    return f"case when length(r->>'{what}') = 64 then r->>'{what}' end"


def _side(side: str) -> str:
    return f"""case when a.{side} is null then '-' when jsonb_typeof(a.{side}) <> 'object' then '?' || a.{side}::text else coalesce((
      select string_agg(to_jsonb(k)::text || {_value(side)}, ',')
        from (select k, v, a.residue->'{side}'->k as r from jsonb_each(a.{side}) as each_(k, v)) as value_), '') end"""  # noqa: S608 - constants


CONTENT = f"""sha256(convert_to(
  jsonb_build_array(a.id, case when isfinite(a.at) then (extract(epoch from a.at) * 1000000)::bigint end, a.txid,
    a.actor, null::bigint, a.db_role, a.request_id, a.ip, a.reason, a.tbl, a.row_id, a.root_tbl, a.root_id, a.op)::text
  || chr(10) || {_side("old")} || chr(10) || {_side("new")}, 'UTF8'))"""
"""SQL over the alias *a* of `audit_entry`: what an entry says, as 32 bytes. Sealing and verifying send the same text; it calls nothing
that the database could have been given to say something else."""

FUNCTIONS = [
    # nothing if another one is at it; two numbers of transactions tell which are over: below the oldest running one all are.
    # After a restore into another server these numbers begin anew, below what was sealed: then everything unsealed is looked for once
    f"""
create or replace function audit_seal() returns bigint language plpgsql security definer set search_path = public, pg_temp as $fn$
declare
  last record; at_seq bigint; head bytea; oldest bigint; next_ bigint; sealed bigint := 0; e record; found_ refcursor; made bytea;
begin
  if not pg_try_advisory_xact_lock({LOCK}) then return null; end if;
  select s.seq, s.hash, s.horizon into last from security_audit_seal s order by s.seq desc limit 1;
  at_seq := coalesce(last.seq, 0);
  head := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
  oldest := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  next_ := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
  if last.horizon > oldest then
    open found_ for select a.id, {CONTENT} as content from audit_entry a
      where (a.txid < oldest or a.txid >= next_) and not exists (select from security_audit_seal s where s.entry_id = a.id)
      order by a.txid < next_, a.txid, a.id;
  else
    open found_ for select a.id, {CONTENT} as content from audit_entry a
      where a.txid >= coalesce(last.horizon, 0) and a.txid < oldest
        and not exists (select from security_audit_seal s where s.entry_id = a.id)
      order by a.txid, a.id;
  end if;
  loop
    fetch found_ into e;
    exit when not found;
    at_seq := at_seq + 1;
    made := sha256(head || int8send(at_seq) || e.content);
    insert into security_audit_seal (seq, entry_id, previous, hash, horizon) values (at_seq, e.id, head, made, oldest);
    head := made;
    sealed := sealed + 1;
  end loop;
  close found_;
  return sealed;
end $fn$
""",  # noqa: S608 - constants
    # for approved erasure (ALL-17), by the worker only. The values go, their salted hashes stay, the salt that could prove a guess goes
    f"""
create or replace function audit_erase(of_table text, of_row bigint, columns_ text[], why text) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $fn$
declare changed bigint;
begin
  -- what two people agreed on, and nothing else, also for code that runs as the worker
  if not (select rolsuper from pg_roles where rolname = session_user)
     and not exists (select from security_erasure e where e.state = 'approved' and why = 'erasure ' || e.id) then
    raise insufficient_privilege using message = 'no approved erasure';
  end if;
  update audit_entry a set salt = null,
    residue = jsonb_build_object(
      'old', (select jsonb_object_agg(k, case when r->>'hash' is not null then r
        when k = any(columns_) then jsonb_build_object('hash', {_value("old")})
        else jsonb_build_object('salt', coalesce(r->>'salt', {_salt("old")})) end)
        from (select k, v, a.residue->'old'->k as r from jsonb_each(a.old) as each_(k, v)) as value_),
      'new', (select jsonb_object_agg(k, case when r->>'hash' is not null then r
        when k = any(columns_) then jsonb_build_object('hash', {_value("new")})
        else jsonb_build_object('salt', coalesce(r->>'salt', {_salt("new")})) end)
        from (select k, v, a.residue->'new'->k as r from jsonb_each(a.new) as each_(k, v)) as value_)),
    old = coalesce((select jsonb_object_agg(k, case when k = any(columns_) then 'null' else v end)
      from jsonb_each(a.old) as each_(k, v)), a.old),
    new = coalesce((select jsonb_object_agg(k, case when k = any(columns_) then 'null' else v end)
      from jsonb_each(a.new) as each_(k, v)), a.new)
  where a.tbl = of_table and a.row_id = of_row and a.op <> 'erase' and (a.old ?| columns_ or a.new ?| columns_);
  get diagnostics changed = row_count;
  insert into audit_entry (actor, db_role, request_id, ip, reason, tbl, row_id, op, new)
  values (nullif(current_setting('app.me', true), '')::bigint, current_setting('role', true),
    nullif(current_setting('app.request', true), ''), nullif(current_setting('app.ip', true), ''), why, of_table, of_row, 'erase',
    (select jsonb_object_agg(c, null::jsonb) from unnest(columns_) as c));
  return changed;
end $fn$
""",  # noqa: S608 - constants
    "revoke all on function audit_seal(), audit_erase(text, bigint, text[], text) from public",
    "grant execute on function audit_seal(), audit_erase(text, bigint, text[], text) to worker",
]


def seal() -> int | None:
    """Chains what is committed and not chained yet, inside `unrestricted`. The number of entries; None while another one is at it."""
    sealed: Any = session().scalar(text("select audit_seal()"))
    return None if sealed is None else int(sealed)


def head() -> tuple[int, str]:
    """Number and hash of the last seal; 0 and nothing while there is none. Inside `unrestricted`."""
    row = session().execute(text("select seq, encode(hash, 'hex') from security_audit_seal order by seq desc limit 1")).one_or_none()
    return (0, "") if row is None else (int(row[0]), str(row[1]))
