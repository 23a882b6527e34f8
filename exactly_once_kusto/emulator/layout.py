"""What the DuckDB file holds: the tables of the journal, and the macros that convert values.

One file, because one DuckDB transaction can't write two. A Kusto database is a schema that holds
only views; rows live in ``$data`` under numbers, each with the number ``n`` of its extent.
"""

from __future__ import annotations

FORMAT = 1
STRING_BYTES_MAX = 1024 * 1024
DECIMAL_DIGITS_MAX = 34

TABLES = """
CREATE SCHEMA IF NOT EXISTS "$data";
CREATE SCHEMA IF NOT EXISTS "$emulator";
CREATE TABLE IF NOT EXISTS "$emulator".format (version INTEGER);
CREATE TABLE IF NOT EXISTS "$emulator".database (name VARCHAR);
CREATE TABLE IF NOT EXISTS "$emulator".tbl (
    id INTEGER, db VARCHAR, name VARCHAR, folder VARCHAR, docstring VARCHAR);
CREATE TABLE IF NOT EXISTS "$emulator".col (
    tbl INTEGER, ordinal INTEGER, name VARCHAR, type VARCHAR,
    digits INTEGER DEFAULT 0, scale INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS "$emulator".policy (
    entity VARCHAR, db VARCHAR, name VARCHAR, policy VARCHAR, value VARCHAR);
CREATE TABLE IF NOT EXISTS "$emulator".ext (
    n BIGINT, id UUID, tbl INTEGER, row_count BIGINT, original_size DOUBLE,
    max_created TIMESTAMP, min_created TIMESTAMP, ingested TIMESTAMP, tags JSON);
CREATE TABLE IF NOT EXISTS "$emulator".exttag (tbl INTEGER, tag VARCHAR, n BIGINT);
CREATE TABLE IF NOT EXISTS "$emulator".operation (
    seq BIGINT, id UUID, operation VARCHAR, db VARCHAR, tbl VARCHAR, started TIMESTAMP,
    updated TIMESTAMP, state VARCHAR, status VARCHAR, activity VARCHAR);
CREATE TABLE IF NOT EXISTS "$emulator".result (id UUID, "columns" JSON, "rows" JSON);
CREATE TABLE IF NOT EXISTS "$emulator".failure (
    id UUID, db VARCHAR, tbl VARCHAR, failed TIMESTAMP, source VARCHAR, details VARCHAR,
    permanent BOOLEAN, activity VARCHAR, operation VARCHAR, code VARCHAR, properties VARCHAR,
    sources INTEGER);
CREATE TABLE IF NOT EXISTS "$emulator".command (
    client_request VARCHAR, operation VARCHAR, text VARCHAR, db VARCHAR, started TIMESTAMP,
    updated TIMESTAMP, state VARCHAR, activity VARCHAR, failure VARCHAR, application VARCHAR);
CREATE TABLE IF NOT EXISTS "$emulator".late (seq BIGINT, shows TIMESTAMP);
CREATE TABLE IF NOT EXISTS "$emulator".turned (microseconds BIGINT);
CREATE TABLE IF NOT EXISTS "$emulator".mapping (
    db VARCHAR, tbl INTEGER, kind VARCHAR, name VARCHAR, text VARCHAR);
CREATE TABLE IF NOT EXISTS "$emulator".principal (
    db VARCHAR, tbl INTEGER, role VARCHAR, fqn VARCHAR, notes VARCHAR);
CREATE INDEX IF NOT EXISTS exttag_by_tag ON "$emulator".exttag (tag);
CREATE INDEX IF NOT EXISTS operation_by_id ON "$emulator".operation (id);
"""

# Values that don't fit their column become null and never fail an ingestion
# (https://learn.microsoft.com/azure/data-explorer/ingest-invalid-data).
MACROS = rf"""
CREATE OR REPLACE MACRO "$emulator".cut(x) AS CASE WHEN strlen(x) <= {STRING_BYTES_MAX} THEN x
    ELSE coalesce(try(decode(encode(x)[1:{STRING_BYTES_MAX}])),
        try(decode(encode(x)[1:{STRING_BYTES_MAX} - 1])),
        try(decode(encode(x)[1:{STRING_BYTES_MAX} - 2])),
        decode(encode(x)[1:{STRING_BYTES_MAX} - 3])) END;
CREATE OR REPLACE MACRO "$emulator".to_string(x) AS coalesce("$emulator".cut(x), '');
CREATE OR REPLACE MACRO "$emulator".to_bool(x) AS CASE WHEN x IN ('1', '0') THEN x = '1'
    WHEN regexp_full_match(x, '[+-]?\d+') THEN try_cast(x AS DOUBLE) <> 0
    WHEN lower(x) IN ('true', 'false') THEN lower(x) = 'true' END;
CREATE OR REPLACE MACRO "$emulator".to_int(x) AS
    CASE WHEN regexp_full_match(x, '\s*[+-]?\d+\s*') THEN try_cast(x AS INTEGER) END;
CREATE OR REPLACE MACRO "$emulator".to_long(x) AS
    CASE WHEN regexp_full_match(x, '\s*[+-]?\d+\s*') THEN try_cast(x AS BIGINT) END;
CREATE OR REPLACE MACRO "$emulator".whole(x) AS CASE WHEN x = trunc(x) THEN x END;
-- A bare TRY_CAST of a field would be done by DuckDB's CSV reader, which fails instead.
CREATE OR REPLACE MACRO "$emulator".to_real(x) AS
    CASE WHEN NOT contains(x, '_') THEN try_cast(x AS DOUBLE) END;
CREATE OR REPLACE MACRO "$emulator".plain(x) AS
    CASE WHEN NOT regexp_full_match(x, '[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+') THEN NULL
    WHEN x::DOUBLE = 0 THEN '0'
    WHEN abs(try_cast(x AS DOUBLE)) < 1 THEN
        rtrim(rtrim(try_cast(x AS DECIMAL(38, 37))::VARCHAR, '0'), '.')
    WHEN abs(try_cast(x AS DOUBLE)) < 1e18 THEN
        rtrim(rtrim(try_cast(x AS DECIMAL(38, 19))::VARCHAR, '0'), '.')
    ELSE try_cast(x AS DECIMAL(38, 0))::VARCHAR END;
CREATE OR REPLACE MACRO "$emulator".digits(x) AS
    length(ltrim(replace(replace(replace(x, '.', ''), '-', ''), '+', ''), '0'));
CREATE OR REPLACE MACRO "$emulator".within(x) AS
    CASE WHEN "$emulator".digits(x) <= {DECIMAL_DIGITS_MAX} THEN ltrim(x, '+') END;
CREATE OR REPLACE MACRO "$emulator".to_decimal(x) AS "$emulator".within(
    CASE WHEN regexp_full_match(x, '[+-]?\d+(\.\d+)?') THEN x
    WHEN regexp_full_match(x, '\s*[+-]?(\d+\.?\d*|\.\d+)\s*')
    THEN regexp_replace(rtrim(trim(x), '.'), '^([+-]?)\.', '\10.')
    ELSE "$emulator".plain(trim(x)) END);
CREATE OR REPLACE MACRO "$emulator".bare(x) AS
    replace(regexp_replace(regexp_replace(x, '^[A-Za-z]+, *', ''), ' *(GMT|UTC)$', ''), '-', ' ');
CREATE OR REPLACE MACRO "$emulator".micros(x) AS
    make_timestamp((epoch_ns(x) - ((epoch_ns(x) % 1000) + 1000) % 1000) // 1000);
CREATE OR REPLACE MACRO "$emulator".of_time(x) AS
    CASE WHEN x >= TIMESTAMP '0001-01-01' AND x < TIMESTAMP '10000-01-01' THEN x END;
CREATE OR REPLACE MACRO "$emulator".to_datetime(x) AS "$emulator".of_time(CASE
    WHEN regexp_matches(x, '^\s*\d{{4}}-') THEN try_cast(x AS TIMESTAMPTZ)::TIMESTAMP
    -- RFC 822 and 850: 'Sat, 8 Nov 14 15:05:02 GMT', 'Saturday, 08-Nov-14 15:05'
    WHEN regexp_matches(x, '^([A-Za-z]+, *)?\d{{1,2}}[ -][A-Za-z]{{3}}[ -]\d{{2}} ') THEN
        try_strptime("$emulator".bare(x), ['%d %b %y %H:%M:%S', '%d %b %y %H:%M'])
    WHEN regexp_matches(x, '\d') THEN try_cast(x AS TIMESTAMPTZ)::TIMESTAMP END);
CREATE OR REPLACE MACRO "$emulator".to_timespan(x) AS
    CASE WHEN regexp_full_match(x,
        '-?(\d+\.)?\d{{1,2}}:[0-5]\d(:[0-5]\d(\.\d{{1,7}})?)?')
    THEN to_microseconds((CASE WHEN x[1] = '-' THEN -1 ELSE 1 END) * (
        coalesce(try_cast(nullif(regexp_extract(x, '^-?(\d+)\.\d+:', 1), '') AS BIGINT), 0)
            * 86400000000
        + regexp_extract(x, '(\d{{1,2}}):\d{{2}}', 1)::BIGINT * 3600000000
        + regexp_extract(x, '\d{{1,2}}:(\d{{2}})', 1)::BIGINT * 60000000
        + coalesce(try_cast(nullif(regexp_extract(x, ':\d{{2}}:(\d{{2}})', 1), '') AS BIGINT), 0)
            * 1000000
        + coalesce(try_cast(nullif(
            rpad(regexp_extract(x, ':\d{{2}}\.(\d{{1,6}})', 1), 6, '0'), '') AS BIGINT), 0)))
    END;
CREATE OR REPLACE MACRO "$emulator".to_guid(x) AS
    CASE WHEN regexp_full_match(trim(x), '(?i)[0-9a-f]{{32}}|'
        '[({{]?[0-9a-f]{{8}}-([0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}[)}}]?')
    THEN try_cast(trim(x, ' (){{}}') AS UUID) END;
CREATE OR REPLACE MACRO "$emulator".unescaped(x) AS replace(replace(replace(replace(
    replace(x, '\\', chr(1)), '\t', chr(9)), '\n', chr(10)), '\r', chr(13)), chr(1), '\');
CREATE OR REPLACE MACRO "$emulator".dictionary(x) AS
    CASE WHEN json_type(x) <> 'ARRAY' THEN x WHEN json_array_length(x) = 0 THEN '{{}}'::JSON
    ELSE list_reduce(CAST(x AS JSON[]), lambda a, b: json_merge_patch(a, b)) END;
-- DuckDB takes NaN and infinity for JSON, in any case. In true, false and null neither occurs.
CREATE OR REPLACE MACRO "$emulator".finite(x) AS CASE WHEN regexp_matches(x, '(?i)nan|inf')
    THEN NOT regexp_matches(regexp_replace(x, '"(\\.|[^"\\])*"', '', 'g'), '(?i)nan|inf')
    ELSE true END;
CREATE OR REPLACE MACRO "$emulator".to_dynamic(x) AS CASE
    WHEN x IS NULL OR x IN ('', 'null') OR strlen(x) > {STRING_BYTES_MAX} THEN NULL
    WHEN json_valid(x) AND "$emulator".finite(x) THEN x::JSON ELSE to_json(x) END;
"""
