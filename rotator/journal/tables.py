"""The journal's tables (SQLAlchemy Core). Times are Unix seconds unless a column says otherwise."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

HEAD = "0013"  # the newest migration; a test holds it against migrations/

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("value", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("playbook", String(200), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("fence", Integer, nullable=False),
    Column(
        "until", Float, nullable=False, comment="boot clock (SQLite) or server clock (PostgreSQL)"
    ),
    Column("boot", String(60), nullable=False, comment="boot id on SQLite; another boot = expired"),
    Column("lock", String(60), nullable=False, comment="device:inode of the holder's lock file"),
    Column("purpose", String(20), nullable=False, comment="rotation or debt"),
    Column("rotation", String(40), nullable=False),
    Column("since", Float, nullable=False),
)

playbooks = Table(
    "playbooks",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("definition", Text, nullable=False, comment="the last version that loaded, as JSON"),
    Column("last_success", Float, comment="when the key in force was brought out"),
    Column("current_key", Text, comment="Key as JSON"),
    Column(
        "counts_from",
        Float,
        comment="the moment that the last success belonged to: its schedule counts from it",
    ),
    Column(
        "schedule",
        Text,
        comment="what `due` was reckoned with; another text in the playbook: reckon anew",
    ),
    Column("due", Float, comment="when it is due next; null: not reckoned yet"),
    Column("ends", Float, comment="when the key in force ends, where its provider said so"),
    Column("renew", Float, comment="when a rotation is due for that, whatever the schedule"),
    Column("reconciled", Float, comment="when strays of all its rotations were last looked for"),
    Column("boot", String(60), comment="the boot in which its times were last written"),
    Column("wall_clock", Float, comment="the wall clock then, less that boot's own clock"),
    Index("playbooks_by_due", "due"),
    Index("playbooks_by_reconciled", "reconciled"),
)

rotations = Table(
    "rotations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("playbook", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("phase", String(30), nullable=False),
    Column("outcome", String(30)),
    Column("due", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("intent", Text),
    Column("definition", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("began", Float, nullable=False),
    Column("ended", Float),
    Column("counts_from", Float, comment="the due moment that it belongs to; null: its beginning"),
    Column("seen", Float, comment="the clock when this state was written"),
    Column("attention", Boolean, comment="it stands until a person acts"),
    Column("node", String(200), comment="where it was begun; null: before nodes had names"),
    Column("told", Integer, comment="notices: null, 1 its beginning, 2 its end, too"),
    Index("rotations_to_tell", "id", sqlite_where=text("told IS NULL OR told < 2")),
    Column("in_group", String(200), comment="of which no other one is active beside it"),
    Index("one_active_of_a_group", "in_group", unique=True, sqlite_where=text("active")),
    Index("active_rotations_by_due", "due", sqlite_where=text("active")),
    Index("active_rotations_by_clock", "seen", sqlite_where=text("active")),
    Index("rotations_that_stand", "playbook", sqlite_where=text("active AND attention")),
    Index("one_active_rotation", "playbook", unique=True, sqlite_where=text("active")),
    Index("rotations_by_playbook", "playbook", "began"),
    Index("rotations_by_end", "ended"),
    Index("rotations_by_beginning", "began"),
)

debts = Table(
    "debts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("playbook", String(200), nullable=False),
    Column("rotation", String(40), nullable=False),
    Column("key_id", String(300), nullable=False),
    Column("phase", String(30), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("due", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("intent", Text),
    Column("seen", Float, comment="the clock when this state was written"),
    Column("attention", Boolean, comment="it stands until a person acts"),
    Column("at_once", Boolean, comment="a person ordered that it die whoever holds it"),
    Index("debts_at_once", "playbook", sqlite_where=text("at_once")),
    Index("open_debts_by_due", "due", sqlite_where=text("open")),
    Index("open_debts_by_clock", "seen", sqlite_where=text("open")),
    Index("debts_that_stand", "playbook", sqlite_where=text("open AND attention")),
    Index("open_debts", "playbook", sqlite_where=text("open")),
    Index("debts_by_rotation", "rotation"),
    Index("debts_by_key", "playbook", "key_id"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("playbook", String(200), nullable=False),
    Column("rotation", String(40), nullable=False),
    Column("key_id", String(300), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("hint", String(60), nullable=False),
    Column("sealed", Text, comment="JSON of sealed values; null once erased"),
    Column("made", Float, nullable=False),
    Column("ends", Float, comment="when it ends, where its provider said so"),
    UniqueConstraint("playbook", "fingerprint", "key_id"),
    Index("sealed_credentials", "playbook", sqlite_where=text("sealed IS NOT NULL")),
)

store_versions = Table(
    "store_versions",
    metadata,
    Column("playbook", String(200), primary_key=True),
    Column("store", String(300), primary_key=True),
    Column("version", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("at", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("chain", String(40), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("chain", "seq"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("upto", Integer, nullable=False, comment="audit.n that this checkpoint covers"),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("signature", Text, nullable=False),
)

strays = Table(
    "strays",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("playbook", String(200), nullable=False),
    Column("rotation", String(40), nullable=False),
    Column("key_id", String(300), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("hint", String(60), nullable=False),
    Column("at", Float, nullable=False),
    Column("settled", Boolean, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    Column("scope", String(220), primary_key=True, comment="playbook NAME, tag TAG, or all"),
    Column("until", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("since", Float, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("playbook", String(200), nullable=False),
    Column("kind", String(20), nullable=False, server_default="revoke first", comment="an order"),
    Column("key_id", String(300), nullable=False, comment="the key that a person named, or empty"),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column(
        "answer",
        Text,
        comment="JSON: which keys die, or why none; null until the holder took it up, '' where an"
        " older rotator must not",
    ),
    Column("rotation", String(40), comment="which one it is about, or empty"),
    Index("orders_waiting", "playbook", sqlite_where=text("coalesce(answer, '') = ''")),
)

# What people are told, of each channel of its own: in the journal before it is sent.
notices = Table(
    "notices",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("id", String(60), nullable=False, comment="the same however often it is sent"),
    Column("channel", String(300), nullable=False),
    Column("playbook", String(200), nullable=False),
    Column("kind", String(30), nullable=False),
    Column("cause", String(64), nullable=False, comment="digest: one cause is told once"),
    Column("stands", Boolean, nullable=False, comment="its cause does: it is not told again"),
    Column("body", Text, nullable=False, comment="JSON: title, text, data"),
    Column("at", Float, nullable=False, comment="when it happened"),
    Column("state", String(10), nullable=False, comment="waiting, sent or given up"),
    Column("next", Float, nullable=False, comment="when it is tried next"),
    Column("failing", Float, comment="since when its channel has failed, where it does"),
    Column("tries", Integer, nullable=False),
    Column("error", Text, nullable=False, comment="why the last try failed"),
    Column("ended", Float, comment="when it was sent, or given up"),
    UniqueConstraint("id"),
    Index("notices_that_wait", "next", sqlite_where=text("state = 'waiting'")),
    Index("notices_that_stand", "playbook", sqlite_where=text("stands")),
    Index("notices_given_up", "channel", sqlite_where=text("state = 'given up'")),
    Index("notices_by_end", "ended"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("instance", String(40), primary_key=True, comment="one process of a daemon"),
    Column("name", String(200), nullable=False),
    Column("started", Float, nullable=False),
    Column("seen", Float, nullable=False, comment="the server's clock (PostgreSQL), or the wall's"),
    Column("version", String(60), nullable=False),
    Column("texts", Text, nullable=False, comment="JSON: a digest of each playbook that it read"),
)

texts = Table(
    "texts",
    metadata,
    Column("playbook", String(200), primary_key=True),
    Column("digest", String(40), primary_key=True),
    Column(
        "since",
        Float,
        nullable=False,
        comment="when any node read it first, or a person decided for it; `seen`'s clock",
    ),
)

roll_outs = Table(
    "roll_outs",
    metadata,
    Column("n", Integer, primary_key=True, comment="in the order in which they were decided"),
    Column("name", Text, nullable=False, comment="what is restarted: Restarter.shared_as"),
    Column("change", String(80), nullable=False),
    Column("playbook", String(200), nullable=False, comment="who orders it"),
    Column("rotation", String(40), nullable=False),
    Column("since", Float, nullable=False, comment="instances that started later have all keys"),
    Column("shared", Boolean, nullable=False, comment="it serves others beside who orders it"),
    Column("ordered", Boolean, nullable=False, comment="the restarter has answered that it is"),
    Index("roll_outs_by_name", "name", "n"),
)

sharers = Table(
    "sharers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("rotation", String(40), primary_key=True),
    Column("playbook", String(200), nullable=False),
    Column("consumer", String(300), nullable=False, comment="as the rotation's playbook names it"),
    Column("round", Integer, nullable=False, comment="of the rotation; of another one: no change"),
    Column("roll_out", Integer, comment="roll_outs.n: the first one that serves it in this round"),
)

# Written as the partial indexes have them: SQLite does not see that `active = 1`, as SQLAlchemy
# would say, means them.
ACTIVE = text("rotations.active")
OPEN = text("debts.open")
AT_ONCE = text("debts.at_once")
WAITING = text("coalesce(orders.answer, '') = ''")
TO_TELL = text("(rotations.told IS NULL OR rotations.told < 2)")
NOTICES_WAIT = text("notices.state = 'waiting'")
NOTICES_STAND = text("notices.stands")
NOTICES_GIVEN_UP = text("notices.state = 'given up'")


def know_postgresql() -> None:
    """Partial indexes are partial there, too.

    Said late: its name alone would import its drivers at every start.
    """
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
