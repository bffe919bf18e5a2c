#!/usr/bin/env python3
"""Writes the fixtures beside it: `pip install duckdb==1.4.4`, then run it. See README.md."""

from pathlib import Path

import duckdb

FOLDER = Path(__file__).resolve().parent

# Row i of every table; the test computes the same values by hand (fixture_test.cpp).
ROWS = """
SELECT i AS id,
       i % 2 = 0 AS flag,
       (i % 200 - 100)::SMALLINT AS small,
       CASE WHEN i % 10 = 3 THEN NULL ELSE (i * 3 - 1000)::INTEGER END AS number,
       ((i % 256) / 4.0)::FLOAT AS ratio,
       ((i % 256) / 8.0)::DOUBLE AS precise,
       CASE WHEN i % 7 = 0 THEN NULL ELSE 'name ' || i END AS name,
       'word' || (i % 5) AS word,
       encode('b' || i) AS bytes,
       (i / 100.0)::DECIMAL(4, 2) AS tiny_money,
       (i / 100.0)::DECIMAL(18, 2) AS money,
       (i % 256 - 100)::DECIMAL(38, 4) AS huge_money,
       make_timestamp(1700000000000000 + i) AS moment,
       (DATE '2024-01-01' + i::INTEGER)::DATE AS day,
       (TIME '00:00:00' + INTERVAL (i) SECOND)::TIME AS hour,
       ('00000000-0000-4000-8000-' || printf('%012x', i))::UUID AS uuid,
       '{"n":' || i || '}' AS json,
       CASE WHEN i % 4 = 1 THEN NULL ELSE [i::FLOAT, 0.5::FLOAT, (-i)::FLOAT] END AS vector,
       (i + 5000)::BIGINT AS _seq,
       i % 50 = 49 AS _deleted
FROM range(ROW_COUNT) r(i)
"""

FIELD_IDS = {name: position for position, name in enumerate(
    ["id", "flag", "small", "number", "ratio", "precise", "name", "word", "bytes", "tiny_money", "money", "huge_money",
     "moment", "day", "hour", "uuid", "json", "vector"], 1)}
FIELD_IDS.update({"_seq": 0x7FFF0001, "_deleted": 0x7FFF0002})


def write(name, rows, version):
    ids = ", ".join(f"{column}: {number}" for column, number in FIELD_IDS.items())
    duckdb.execute(f"""
        COPY ({ROWS.replace("ROW_COUNT", str(rows))}) TO '{FOLDER / name}' (
            FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19, ROW_GROUP_SIZE 2048, PARQUET_VERSION {version},
            FIELD_IDS {{{ids}}},
            KV_METADATA {{'kalam.table_id': '7', 'kalam.schema_version': '1',
                          'kalam.column_ids': '{",".join(str(i) for i in range(1, 19))}'}})""")


duckdb.execute("SET threads = 1")
write("all_types.parquet", 2100, "V1")
