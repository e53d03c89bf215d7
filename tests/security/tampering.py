"""What somebody with all rights on the database might do to the history; each takes a connection and chance, and does it once.

It returns the id of the entry that a verification must name first, nothing when several come into question.
"""

import random
from collections.abc import Callable
from typing import Any

from psycopg.types.json import Jsonb

from security import sealing

Attack = Callable[[Any, random.Random], int | None]


def _somewhere(s: Any, dice: random.Random) -> tuple[int, int]:
    last = s.execute("select max(seq) from security_audit_seal").fetchone()[0]
    return s.execute("select seq, entry_id from security_audit_seal where seq = %s", [dice.randint(1, last)]).fetchone()  # type: ignore[no-any-return]


def edit(s: Any, dice: random.Random) -> int:
    _seq, entry = _somewhere(s, dice)
    column = dice.choice(
        ["actor = coalesce(actor, 0) + 1", "at = at + interval '1 microsecond'", "at = 'infinity'",
         "ip = '10.0.0.99'", "reason = 'because'", "op = op || 'x'",
         "row_id = row_id + 1", "tbl = 'x' || tbl", "request_id = 'r'", "db_role = 'other'", "txid = txid - 1", "root_id = 5",
         "salt = gen_random_uuid()", "old = '{}'", "new = coalesce(new, '{}') || '{\"added\": 1}'", "old = 'null'",
         "new = null where new is not null", "residue = '{\"new\": {\"summary\": 5}}', salt = null", "residue = '7', new = '\"x\"'",
         "residue = '7'", "residue = '{}'"]
    )  # fmt: skip
    if " where " in column:
        entry = s.execute("select max(id) from audit_entry where new is not null and id <= %s", [entry]).fetchone()[0]
        column = column.partition(" where ")[0]
    s.execute(f"update audit_entry set {column} where id = %s", [entry])
    return int(entry)


def edit_a_value(s: Any, dice: random.Random) -> int:
    rows = s.execute(
        """select s.entry_id, k, v from security_audit_seal s join audit_entry a on a.id = s.entry_id, jsonb_each(a.new) e(k, v)
            where jsonb_typeof(v) in ('string', 'number', 'boolean')"""
    ).fetchall()
    entry, key, value = dice.choice(rows)
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else value + " "
    s.execute("update audit_entry set new = jsonb_set(new, array[%s], %s) where id = %s", [key, Jsonb(other), entry])
    return int(entry)


def delete_one(s: Any, dice: random.Random) -> int:
    _seq, entry = _somewhere(s, dice)
    s.execute("delete from audit_entry where id = %s", [entry])
    return int(entry)


def delete_with_its_seal(s: Any, dice: random.Random) -> None:
    seq, entry = _somewhere(s, dice)
    s.execute("delete from audit_entry where id = %s", [entry])
    s.execute("delete from security_audit_seal where seq = %s", [seq])


def delete_and_close_the_gap(s: Any, dice: random.Random) -> None:
    seq, entry = _somewhere(s, dice)
    s.execute("delete from audit_entry where id = %s", [entry])
    s.execute("delete from security_audit_seal where seq = %s", [seq])
    s.execute("update security_audit_seal set seq = seq - 1000000 where seq > %s", [seq])
    s.execute("update security_audit_seal set seq = seq + 999999 where seq < 0")


def swap_places(s: Any, dice: random.Random) -> None:
    (a, one), (b, other) = _somewhere(s, dice), _somewhere(s, dice)
    while a == b:
        b, other = _somewhere(s, dice)
    s.execute("update security_audit_seal set entry_id = -1 where seq = %s", [a])
    s.execute("update security_audit_seal set entry_id = %s where seq = %s", [one, b])
    s.execute("update security_audit_seal set entry_id = %s where seq = %s", [other, a])


def insert_into_the_past(s: Any, dice: random.Random) -> int:
    _seq, entry = _somewhere(s, dice)
    return int(
        s.execute(
            """insert into audit_entry (at, txid, actor, tbl, row_id, op, new)
               select at, txid, actor, tbl, row_id, op, new from audit_entry where id = %s returning id""",
            [entry],
        ).fetchone()[0]
    )


def insert_from_the_future(s: Any, dice: random.Random) -> int:
    return int(
        s.execute(
            "insert into audit_entry (txid, tbl, row_id, op) values (txid_current() + 1000000, 'x', 1, 'insert') returning id"
        ).fetchone()[0]
    )


def change_a_seal(s: Any, dice: random.Random) -> int:
    seq, entry = _somewhere(s, dice)
    column = dice.choice(["hash", "previous"])
    s.execute(f"update security_audit_seal set {column} = sha256({column}) where seq = %s", [seq])
    return int(entry)


def _chain_anew(s: Any, start: int) -> None:
    """What somebody with all rights on the database does to hide a change: every later seal made anew."""
    s.execute(
        f"""do $$ declare one record; head bytea; begin
          select coalesce((select hash from security_audit_seal where seq = {start} - 1), decode(repeat('00', 32), 'hex')) into head;
          for one in select s.seq, {sealing.CONTENT} as content from security_audit_seal s join audit_entry a on a.id = s.entry_id
                    where s.seq >= {start} order by s.seq loop
            update security_audit_seal set previous = head, hash = sha256(head || int8send(one.seq) || one.content) where seq = one.seq;
            head := sha256(head || int8send(one.seq) || one.content);
          end loop; end $$"""
    )


def edit_and_seal_it_anew(s: Any, dice: random.Random) -> None:
    seq, entry = _somewhere(s, dice)
    s.execute("update audit_entry set actor = -5 where id = %s", [entry])
    _chain_anew(s, seq)


def edit_and_seal_only_it_anew(s: Any, dice: random.Random) -> int:
    last = s.execute("select max(seq) from security_audit_seal").fetchone()[0]
    seq, entry = _somewhere(s, dice)
    while seq == last:
        seq, entry = _somewhere(s, dice)
    s.execute("update audit_entry set actor = -5 where id = %s", [entry])
    s.execute(
        f"""update security_audit_seal s set hash = sha256(s.previous || int8send(s.seq) || {sealing.CONTENT})
             from audit_entry a where a.id = s.entry_id and s.seq = %s""",
        [seq],
    )
    return int(entry)


def cut_the_end(s: Any, dice: random.Random) -> None:
    last = s.execute("select max(seq) from security_audit_seal").fetchone()[0]
    seq = dice.randint(max(1, last - 30), last)
    s.execute("delete from audit_entry a using security_audit_seal s where s.entry_id = a.id and s.seq >= %s", [seq])
    s.execute("delete from audit_entry a where not exists (select from security_audit_seal s where s.entry_id = a.id)")
    s.execute("delete from security_audit_seal where seq >= %s", [seq])


def cut_only_the_seals(s: Any, dice: random.Random) -> None:
    last = s.execute("select max(seq) from security_audit_seal").fetchone()[0]
    s.execute("delete from security_audit_seal where seq > %s", [last - dice.randint(1, 10)])


def empty_everything(s: Any, dice: random.Random) -> None:
    s.execute("truncate audit_entry, security_audit_seal, security_audit_check")


def erase_without_a_record(s: Any, dice: random.Random) -> int:
    _seq, entry = _somewhere(s, dice)
    table, row = s.execute("select tbl, row_id from audit_entry where id = %s", [entry]).fetchone()
    key = s.execute("select k from audit_entry a, jsonb_object_keys(coalesce(a.new, a.old)) k where a.id = %s limit 1", [entry]).fetchone()[
        0
    ]
    s.execute("select audit_erase(%s, %s, array[%s], 'to hide it')", [table, row, key])
    s.execute("delete from audit_entry where op = 'erase'")
    return 0  # several entries of the row are concerned


def push_a_value_into_its_salt(s: Any, dice: random.Random) -> int:
    """After an erasure on record of another column: a kept salt takes the first digit, salt and value together stay the same text."""
    entry, table, row, key, value, other = s.execute(
        """select a.id, a.tbl, a.row_id, e.k, e.v::text, o.k from security_audit_seal s join audit_entry a on a.id = s.entry_id,
                  jsonb_each(a.new) e(k, v), jsonb_object_keys(a.new) o(k)
            where jsonb_typeof(e.v) = 'number' and e.v::text ~ '^[1-9][1-9]+$' and o.k <> e.k order by s.seq, e.k, o.k limit 1"""
    ).fetchone()
    s.execute("select audit_erase(%s, %s, array[%s], 'asked by the person')", [table, row, other])
    s.execute(
        """update audit_entry set new = jsonb_set(new, array[%s], %s),
             residue = jsonb_set(residue, array['new', %s, 'salt'], to_jsonb((residue->'new'->%s->>'salt') || %s)) where id = %s""",
        [key, Jsonb(int(value[1:])), key, key, value[0], entry],
    )
    return int(entry)


ATTACKS: tuple[Attack, ...] = (
    edit, edit_a_value, delete_one, delete_with_its_seal, delete_and_close_the_gap, swap_places, insert_into_the_past,
    insert_from_the_future, change_a_seal, edit_and_seal_it_anew, edit_and_seal_only_it_anew, cut_the_end, cut_only_the_seals,
    empty_everything, push_a_value_into_its_salt, erase_without_a_record,
)  # fmt: skip
EXPECTED = {
    "edit": {"changed"}, "edit_a_value": {"changed"}, "push_a_value_into_its_salt": {"changed"},
    "delete_one": {"missing"}, "delete_with_its_seal": {"gap", "cut"},
    "delete_and_close_the_gap": {"seal", "cut"}, "swap_places": {"order", "changed"}, "insert_into_the_past": {"inserted"},
    "insert_from_the_future": {"future"}, "change_a_seal": {"seal", "changed"}, "edit_and_seal_it_anew": {"anchor"},
    "edit_and_seal_only_it_anew": {"seal"}, "cut_the_end": {"cut"}, "cut_only_the_seals": {"cut", "inserted"},
    "empty_everything": {"cut"}, "erase_without_a_record": {"erased"},
}  # fmt: skip
