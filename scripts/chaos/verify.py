# The independent reader of the kill harness: DuckDB's Python client over the result file and over the topics as text.
# Every acknowledged message must be there exactly once, a message in doubt at most once, and nothing else.
# usage: verify.py RESULTS.duckdb ACKNOWLEDGED.ndjson DOUBT.ndjson ROWS_TOPIC.ndjson WINDOWS_TOPIC.ndjson LATE_TOPIC.ndjson
import json
import os
import sys

import duckdb

results, acknowledged, doubt, rows_topic, windows_topic, late_topic = sys.argv[1:7]
db = duckdb.connect()
db.execute("SET TimeZone='UTC'")
db.execute(f"ATTACH '{results}' AS results_file (READ_ONLY)")

MESSAGE = "{id: 'VARCHAR', device: 'VARCHAR', atMs: 'BIGINT', v: 'DOUBLE'}"


def messages(name, path):
    if os.path.exists(path) and os.path.getsize(path) > 0:
        db.execute(f"CREATE TABLE {name} AS SELECT * FROM read_json('{path}', format='newline_delimited', columns={MESSAGE})")
    else:
        db.execute(f'CREATE TABLE {name} (id VARCHAR, device VARCHAR, "atMs" BIGINT, v DOUBLE)')


def topic(name, path, value):
    columns = "{'partition': 'INTEGER', 'offset': 'BIGINT', 'key': 'VARCHAR', 'value': '%s', 'eventTimeMs': 'BIGINT'}" % value
    db.execute(f"CREATE TABLE {name}_raw AS SELECT * FROM read_json('{path}', format='newline_delimited', columns={columns})")
    db.execute(f"CREATE TABLE {name} AS SELECT key, eventTimeMs, unnest(value) FROM {name}_raw")


messages("acked", acknowledged)
messages("doubt", doubt)
topic("t_rows", rows_topic, 'STRUCT(id VARCHAR, device VARCHAR, "atMs" BIGINT, v DOUBLE)')
topic("t_windows", windows_topic, 'STRUCT("startMs" BIGINT, "endMs" BIGINT, n DOUBLE, total DOUBLE)')
topic("t_late", late_topic, 'STRUCT(id VARCHAR, device VARCHAR, "atMs" BIGINT, v DOUBLE)')
# A table has no columns of its own before its first row.
has_late = db.execute("SELECT count(*) FROM duckdb_columns() WHERE database_name = 'results_file' AND table_name = 'chaos_late' AND column_name = 'id'").fetchone()[0]
late = f"SELECT id FROM {'results_file.chaos_late' if has_late else 'acked WHERE false'}"

CHECKS = {
    # name: SQL that counts what must not be
    "acknowledged, not in DuckDB": "SELECT count(*) FROM acked WHERE id NOT IN (SELECT id FROM results_file.chaos_rows)",
    "acknowledged, not in the topic": "SELECT count(*) FROM acked WHERE id NOT IN (SELECT id FROM t_rows)",
    "twice in DuckDB": "SELECT count(*) FROM (SELECT id FROM results_file.chaos_rows GROUP BY id HAVING count(*) > 1)",
    "twice in the topic": "SELECT count(*) FROM (SELECT id FROM t_rows GROUP BY id HAVING count(*) > 1)",
    "in DuckDB, never sent": "SELECT count(*) FROM results_file.chaos_rows WHERE id NOT IN (SELECT id FROM acked UNION ALL SELECT id FROM doubt)",
    "altered on the way": "SELECT count(*) FROM results_file.chaos_rows r JOIN (FROM acked UNION ALL FROM doubt) m USING (id) WHERE r.atMs <> m.atMs OR r.v <> m.v OR r.device <> m.device",
    "topic and DuckDB differ in rows": "SELECT count(*) FROM (SELECT id FROM t_rows) t FULL JOIN (SELECT id FROM results_file.chaos_rows) r USING (id) WHERE t.id IS NULL OR r.id IS NULL",
    "late: topic and DuckDB differ": f"SELECT count(*) FROM (SELECT id FROM t_late) t FULL JOIN ({late}) r USING (id) WHERE t.id IS NULL OR r.id IS NULL",
    "a window twice in the topic": 'SELECT count(*) FROM (SELECT key, "startMs" FROM t_windows GROUP BY ALL HAVING count(*) > 1)',
    "a window twice in DuckDB": "SELECT count(*) FROM (SELECT key, window_start FROM results_file.chaos_windows GROUP BY ALL HAVING count(*) > 1)",
}
EXPECTED = f"""
SELECT device AS key, atMs::BIGINT // 1000 * 1000 AS start_ms, count(*) AS n, sum(v) AS total
FROM results_file.chaos_rows WHERE id NOT IN (SELECT id FROM ({late})) GROUP BY ALL
"""
for name, windows in {
    "windows in the topic differ from a recomputation": 'SELECT key, "startMs" AS start_ms, n, total FROM t_windows',
    "windows in DuckDB differ from a recomputation": "SELECT key, epoch_ms(window_start) AS start_ms, n, total FROM results_file.chaos_windows",
}.items():
    CHECKS[name] = f"""
    SELECT count(*) FROM ({EXPECTED}) e FULL JOIN ({windows}) w USING (key, start_ms)
    WHERE e.n IS NULL OR w.n IS NULL OR e.n <> w.n OR abs(e.total - w.total) > 1e-9"""

found = {name: db.execute(sql).fetchone()[0] for name, sql in CHECKS.items()}
count = lambda sql: db.execute(sql).fetchone()[0]
report = {
    "reader": f"duckdb (Python) {duckdb.__version__}",
    "acknowledged": count("SELECT count(*) FROM acked"),
    "inDoubt": count("SELECT count(*) FROM doubt"),
    "rows": count("SELECT count(*) FROM results_file.chaos_rows"),
    "windows": count("SELECT count(*) FROM results_file.chaos_windows"),
    "countedInWindows": count("SELECT coalesce(sum(n), 0)::BIGINT FROM results_file.chaos_windows"),
    "late": count(f"SELECT count(*) FROM ({late})"),
    "faults": found,
}
print(json.dumps(report))
sys.exit(0 if sum(found.values()) == 0 and report["acknowledged"] > 0 and report["windows"] > 0 else 1)
