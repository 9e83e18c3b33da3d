"""What the ledger of a SQLite file consists of: its tables, and every statement.

Times of holds and rates are Unix milliseconds, all others Unix seconds.
"""

TABLES = (
    """CREATE TABLE tenants (
        tenant TEXT PRIMARY KEY,
        fields TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE rates (
        who TEXT, what TEXT, content INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (who, what)
    ) WITHOUT ROWID""",
    "CREATE INDEX rates_by_age ON rates (at)",
    "CREATE TABLE holds (id TEXT PRIMARY KEY, due INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX holds_by_due ON holds (due)",
    # `due` stands here once more, so that a level is added up from one index alone.
    """CREATE TABLE held (
        hold TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, period TEXT NOT NULL,
        due INTEGER NOT NULL, amount INTEGER NOT NULL
    )""",
    "CREATE INDEX held_by_level ON held (who, what, period, due, amount)",
    "CREATE INDEX held_by_hold ON held (hold)",
    """CREATE TABLE spent (
        who TEXT, period TEXT, amount INTEGER NOT NULL, until REAL,
        PRIMARY KEY (who, period)
    ) WITHOUT ROWID""",
    "CREATE INDEX spent_by_age ON spent (until)",
    "CREATE TABLE open (task_id TEXT PRIMARY KEY, look_at REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX open_by_look ON open (look_at)",
    "CREATE TABLE done (task_id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX done_by_age ON done (at)",
    """CREATE TABLE settlements (
        sender TEXT, number INTEGER, at REAL NOT NULL, PRIMARY KEY (sender, number)
    ) WITHOUT ROWID""",
    "CREATE INDEX settlements_by_age ON settlements (at)",
    """CREATE TABLE sums (
        day TEXT, tenant TEXT, token TEXT, model TEXT, currency TEXT,
        records INTEGER NOT NULL, amount INTEGER NOT NULL, seconds INTEGER NOT NULL,
        images INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        characters INTEGER NOT NULL,
        PRIMARY KEY (day, tenant, token, model, currency)
    ) WITHOUT ROWID""",
    "CREATE TABLE usage (place INTEGER PRIMARY KEY AUTOINCREMENT, fields TEXT NOT NULL)",
    "CREATE TABLE leader (seat INTEGER PRIMARY KEY, process TEXT NOT NULL, until REAL NOT NULL)",
)

TENANT = "SELECT fields FROM tenants WHERE tenant = ?"
TENANTS = "SELECT tenant FROM tenants ORDER BY tenant"
SAVE_TENANT = "INSERT OR REPLACE INTO tenants (tenant, fields) VALUES (?, ?)"
REMOVE_TENANT = "DELETE FROM tenants WHERE tenant = ?"

RATE = "SELECT content, at FROM rates WHERE who = ? AND what = ?"
POUR = "INSERT OR REPLACE INTO rates (who, what, content, at) VALUES (?, ?, ?, ?)"

IS_HELD = "SELECT 1 FROM holds WHERE id = ? AND due > ?"
HELD = """
    SELECT coalesce(sum(amount), 0) FROM held
    WHERE who = ? AND what = ? AND period = ? AND due > ?
"""
HOLD = "INSERT OR REPLACE INTO holds (id, due) VALUES (?, ?)"  # one that has lapsed
HOLD_LEVEL = "INSERT INTO held (hold, who, what, period, due, amount) VALUES (?, ?, ?, ?, ?, ?)"
PROLONG = (
    "UPDATE holds SET due = max(due, :due) WHERE id = :hold AND due > :now",
    "UPDATE held SET due = max(due, :due) WHERE hold = :hold AND due > :now",
)
END = ("DELETE FROM holds WHERE id = ?", "DELETE FROM held WHERE hold = ?")
LAPSED = "SELECT id FROM holds WHERE due <= ? LIMIT 100"

SPENT = "SELECT amount FROM spent WHERE who = ? AND period = ?"
SPEND = """
    INSERT INTO spent (who, period, amount, until) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET amount = amount + excluded.amount, until = excluded.until
"""

OPEN = """
    INSERT INTO open (task_id, look_at) SELECT :task_id, :look_at
    WHERE NOT EXISTS (SELECT 1 FROM done WHERE task_id = :task_id) ON CONFLICT DO NOTHING
"""
CLOSE = "DELETE FROM open WHERE task_id = ?"
DONE = "INSERT OR REPLACE INTO done (task_id, at) VALUES (?, ?)"
LOOK_LATER = "UPDATE open SET look_at = ? WHERE task_id = ?"

SETTLE = "INSERT INTO settlements (sender, number, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
WRITE = "INSERT INTO usage (fields) VALUES (?)"
RECORDS = "SELECT place, fields FROM usage WHERE place > ? ORDER BY place LIMIT ?"

_SUMS = ("records", "amount", "seconds", "images", "input_tokens", "output_tokens", "characters")
SUM = f"""
    INSERT INTO sums VALUES (?, ?, ?, ?, ?, {", ".join("?" * len(_SUMS))})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)}
"""  # noqa: S608  # constants
TOTALS = "SELECT * FROM sums WHERE day BETWEEN ? AND ? ORDER BY day, tenant, token, model, currency"

LEADER = "SELECT process, until FROM leader WHERE seat = 1"
LEAD = "INSERT OR REPLACE INTO leader (seat, process, until) VALUES (1, ?, ?)"

# At most so many at once, as in `sqlite_schema.PURGE`; more than one settlement adds.
FORGET_EMPTY = """
    DELETE FROM rates WHERE (who, what) IN
    (SELECT who, what FROM rates WHERE at <= ? LIMIT 100)
"""
FORGET_SPENT = """
    DELETE FROM spent WHERE (who, period) IN
    (SELECT who, period FROM spent WHERE until <= ? LIMIT 500)
"""
FORGET_DONE = """
    DELETE FROM done WHERE task_id IN (SELECT task_id FROM done WHERE at <= ? LIMIT 500)
"""
FORGET_SETTLEMENTS = """
    DELETE FROM settlements WHERE (sender, number) IN
    (SELECT sender, number FROM settlements WHERE at <= ? LIMIT 500)
"""
FORGET_SUMS = """
    DELETE FROM sums WHERE (day, tenant, token, model, currency) IN
    (SELECT day, tenant, token, model, currency FROM sums WHERE day < ? LIMIT 500)
"""
FORGET_RECORDS = """
    DELETE FROM usage WHERE place IN
    (SELECT place FROM usage WHERE place <= (SELECT max(place) FROM usage) - ? LIMIT 500)
"""
FORGET_OPEN = """
    DELETE FROM open WHERE task_id IN (SELECT task_id FROM tasks WHERE created <= ? LIMIT 100)
"""
