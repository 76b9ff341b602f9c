-- A table that came from another cluster, by pg_dump or pg_upgrade.
UPDATE pgfed.cluster SET system_identifier = 4711;
DO $$
DECLARE
  error_code text; error_detail text; error_hint text;
BEGIN
  PERFORM pgfed.add_node('eva', '127.0.0.5');
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS error_code = RETURNED_SQLSTATE, error_detail = PG_EXCEPTION_DETAIL,
                          error_hint = PG_EXCEPTION_HINT;
  RAISE NOTICE '% %', error_code, SQLERRM;
  RAISE NOTICE '%', replace(error_detail,
                            (SELECT system_identifier::text FROM pg_control_system()), '(own)');
  RAISE NOTICE '%', error_hint;
END $$;
\set VERBOSITY terse
SELECT pgfed.set_node('ait', port => 5433);
SELECT pgfed.remove_node('ait');
SELECT pgfed.join('ait', '127.0.0.3', 1, 'Graz');
\set VERBOSITY default
TABLE pgfed.nodes ORDER BY name;

-- pgfed idles, and says why.
CREATE FUNCTION pg_temp.wait_for(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  deadline timestamptz := clock_timestamp() + interval '20 s';
  met boolean;
BEGIN
  LOOP
    EXECUTE 'SELECT ' || condition INTO met;
    IF met THEN RETURN 'yes'; END IF;
    IF clock_timestamp() > deadline THEN RETURN 'no: ' || condition; END IF;
    PERFORM pg_sleep(0.02);
  END LOOP;
END $$;
SELECT pg_temp.wait_for(
  $$EXISTS (SELECT FROM pgfed.checks WHERE name = 'catalog' AND status = 'critical')$$);

-- Nobody is sent to the other cluster's nodes.
SELECT pgfed.connection_string();
\echo :SQLSTATE
SELECT * FROM pgfed.standby_settings('ait');
\echo :SQLSTATE

SELECT pgfed.adopt();
SELECT system_identifier = (SELECT system_identifier FROM pg_control_system()) AS own FROM pgfed.cluster;
SELECT pgfed.adopt();
SELECT count(*) FROM pgfed.cluster;
SELECT pg_temp.wait_for(
  $$NOT EXISTS (SELECT FROM pgfed.checks WHERE name = 'catalog' AND status <> 'ok')$$);
SELECT severity, detail = 'system identifier ' || (SELECT system_identifier FROM pg_control_system()) AS own
  FROM pgfed.events WHERE event = 'cluster_adopted';

-- A table that says nothing yet is claimed by the first change.
DELETE FROM pgfed.cluster;
SELECT pgfed.set_node('ait', site => 'Graz');
SELECT count(*) FROM pgfed.cluster;
-- It holds one row at most.
INSERT INTO pgfed.cluster VALUES (4711);
\echo :SQLSTATE
