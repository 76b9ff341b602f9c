-- Changes are part of the transaction that makes them; their events come with its commit.
SELECT coalesce(max(id), 0) AS before FROM pgfed.events \gset

BEGIN;
SELECT pgfed.add_node('eva', '127.0.0.5', 1);
SELECT count(*) AS events FROM pgfed.events WHERE id > :before AND node = 'eva';
ROLLBACK;
SELECT count(*) AS nodes FROM pgfed.nodes WHERE name = 'eva';
SELECT count(*) AS events FROM pgfed.events WHERE id > :before AND node = 'eva';

BEGIN;
SELECT pgfed.add_node('eva', '127.0.0.5', 1);
SAVEPOINT one;
SELECT pgfed.set_node('eva', port => 2);
ROLLBACK TO one;
SAVEPOINT two;
SELECT pgfed.set_node('eva', port => 3);
RELEASE two;
SELECT pgfed.set_node('eva', port => 3);
COMMIT;
SELECT pgfed.remove_node('eva');
SELECT observer, node, severity, event, detail, actor = session_user AS by_me
  FROM pgfed.events WHERE id > :before AND node = 'eva' AND event LIKE 'node\_%' AND event <> 'node_state'
 ORDER BY id;

-- A transaction that only reads.
BEGIN READ ONLY;
SELECT pgfed.add_node('eva', '127.0.0.5');
\echo :SQLSTATE
ROLLBACK;

-- Two-phase commit would leave the events to nobody.
BEGIN;
SELECT pgfed.add_node('eva', '127.0.0.5');
PREPARE TRANSACTION 'regress_pgfed';
\echo :SQLSTATE
SELECT count(*) AS nodes FROM pgfed.nodes WHERE name = 'eva';

-- Where nothing but the catalog worker's attention hangs on it, it works.
CREATE SCHEMA regress_two_phase;
BEGIN;
DROP SCHEMA regress_two_phase;
PREPARE TRANSACTION 'regress_pgfed';
COMMIT PREPARED 'regress_pgfed';

-- A snapshot from before another session's change.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM pgfed.nodes;
SELECT pgfed.add_node('eva', '127.0.0.5', 1);
SELECT pgfed.set_node('eva', port => 2);
COMMIT;
SELECT pgfed.remove_node('eva');

-- What a session, or the owner of a database, has set does not matter.
CREATE SCHEMA regress_trap;
CREATE FUNCTION regress_trap.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR regress_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_trap.equal);
CREATE VIEW regress_trap.nodes AS SELECT 'trapped' AS name;
SET search_path = regress_trap, pg_catalog;
SELECT pgfed.add_node('eva', '127.0.0.5', 1);
SELECT pgfed.remove_node('eva');
RESET search_path;
SELECT count(*) FROM pgfed.nodes;
SET client_min_messages = warning;
DROP SCHEMA regress_trap CASCADE;
