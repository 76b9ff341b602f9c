-- What the views say of a federation of which one node lives: this one.
CREATE FUNCTION pg_temp.wait_for(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  deadline timestamptz := clock_timestamp() + interval '20 s';
  met boolean;
BEGIN
  LOOP
    BEGIN
      EXECUTE 'SELECT ' || condition INTO met;
    EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_object THEN met := false;
    END;
    IF met THEN RETURN 'yes'; END IF;
    IF clock_timestamp() > deadline THEN RETURN 'no: ' || condition; END IF;
    PERFORM pg_sleep(0.02);
  END LOOP;
END $$;

SELECT pg_temp.wait_for($$(SELECT array_agg(node ORDER BY node) FROM pgfed.federation) = '{ait,leo,pit}'$$);
SELECT pg_temp.wait_for($$(SELECT state FROM pgfed.federation WHERE node = 'leo') = 'running'$$);

SELECT node, site, role, state, upstream, timeline, lsn IS NOT NULL AS lsn, lag_bytes, lag, slot,
       certificate, expires_in, seen < '10 s' AS seen, since <= now() AS since
  FROM pgfed.federation WHERE node = 'leo';
SELECT node, site, role, upstream, timeline, lsn, lag_bytes, lag, slot, certificate, expires_in, seen
  FROM pgfed.federation WHERE node <> 'leo';
SELECT node, host, port FROM pgfed.peers;
SELECT observer, node, status, detail, hint FROM pgfed.checks WHERE name = 'worker';
SELECT DISTINCT observer FROM pgfed.checks;
SELECT count(*) FROM pgfed.checks WHERE status NOT IN ('ok', 'warning', 'critical', 'unknown');

-- All nodes for applications, the likeliest first.
SELECT pgfed.connection_string();
SELECT pgfed.connection_string('primary');
SELECT pgfed.connection_string('standby');
SELECT pgfed.connection_string('read-only');
SELECT pgfed.connection_string(target_session_attrs => 'prefer-standby');
SELECT pgfed.connection_string('any');
SELECT pgfed.connection_string('anything');
\echo :SQLSTATE
SELECT pgfed.connection_string('');
\echo :SQLSTATE
SELECT pgfed.set_node('pit', options => 'hostaddr=127.0.0.4');
SELECT pg_temp.wait_for($$pgfed.connection_string() LIKE '%hostaddr%'$$);
SELECT pgfed.connection_string();
-- Without the rows that are left out.
BEGIN;
INSERT INTO pgfed.nodes (name, host) VALUES ('Wild', '127.0.0.66');
SELECT pgfed.set_node('pit', options => 'hostaddr=127.0.0.7');
COMMIT;
SELECT pg_temp.wait_for($$pgfed.connection_string() LIKE '%127.0.0.7%'$$);
SELECT pgfed.connection_string();
SELECT pgfed.remove_node('Wild');

-- What makes a node a standby.
SELECT * FROM pgfed.standby_settings('ait');
SELECT slot_name FROM pg_create_physical_replication_slot('pgfed_ait');
SELECT * FROM pgfed.standby_settings('ait') WHERE name = 'primary_slot_name';
SELECT pg_drop_replication_slot('pgfed_ait');
-- With an upstream of its own, whose endpoint has options.
SELECT pgfed.set_node('pit', upstream => '', options => 'hostaddr=127.0.0.4 keepalives_idle=30');
SELECT pgfed.add_node('eva', '127.0.0.5', 1, upstream => 'pit');
SET client_min_messages = warning;
SELECT pg_temp.wait_for($$(SELECT setting FROM pgfed.standby_settings('eva') LIMIT 1) LIKE '%=30%'$$);
RESET client_min_messages;
SELECT * FROM pgfed.standby_settings('eva');
SELECT * FROM pgfed.standby_settings('leo');
\echo :SQLSTATE
SELECT * FROM pgfed.standby_settings('nobody');
\echo :SQLSTATE
SELECT pgfed.remove_node('eva');

-- A node that goes is gone from the views.
SELECT pgfed.remove_node('pit');
SELECT pgfed.remove_node('ait');
SELECT pg_temp.wait_for($$(SELECT array_agg(node ORDER BY node) FROM pgfed.federation) = '{leo}'$$);
SELECT pgfed.remove_node('leo');
SELECT pg_temp.wait_for($$NOT EXISTS (SELECT FROM pgfed.federation)$$);
SELECT pgfed.connection_string();
\echo :SQLSTATE

DROP EXTENSION pgfed;
