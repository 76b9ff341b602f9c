-- What a peer's role gets, and that it can be taken back.
CREATE ROLE regress_pgfed_peer LOGIN REPLICATION;
CREATE ROLE "regress_pgfed Odd""peer" LOGIN REPLICATION;
CREATE ROLE regress_pgfed_nologin REPLICATION;
CREATE ROLE regress_pgfed_plain LOGIN;
CREATE ROLE regress_pgfed_group;
CREATE ROLE regress_pgfed_super LOGIN REPLICATION SUPERUSER;

SELECT pgfed.allow_peer(NULL);
\echo :SQLSTATE
SELECT pgfed.allow_peer('regress_pgfed_missing');
\echo :SQLSTATE
SELECT pgfed.allow_peer('public');
\echo :SQLSTATE
SELECT pgfed.allow_peer('pg_monitor');
\echo :SQLSTATE
SELECT pgfed.revoke_peer('public');
\echo :SQLSTATE
SELECT pgfed.allow_peer('regress_pgfed_nologin');
\echo :SQLSTATE
SELECT pgfed.allow_peer('regress_pgfed_plain');
\echo :SQLSTATE
SELECT pgfed.allow_peer('regress_pgfed_group');
\echo :SQLSTATE
SELECT pgfed.allow_peer('regress_pgfed_super');
\echo :SQLSTATE
SELECT pgfed.revoke_peer('regress_pgfed_missing');
\echo :SQLSTATE
SELECT pgfed.revoke_peer(NULL);
\echo :SQLSTATE

CREATE VIEW rights AS
  SELECT 'database ' || datname AS object, privilege_type AS privilege, grantee
    FROM pg_database, aclexplode(datacl)
  UNION ALL
  SELECT 'schema ' || nspname, privilege_type, grantee
    FROM pg_namespace, aclexplode(nspacl)
  UNION ALL
  SELECT 'relation ' || c.oid::regclass, privilege_type, grantee
    FROM pg_class c, aclexplode(relacl)
  UNION ALL
  SELECT 'function ' || p.oid::regprocedure, privilege_type, grantee
    FROM pg_proc p, aclexplode(proacl);

SELECT pgfed.allow_peer('regress_pgfed_peer');
SELECT pgfed.allow_peer('regress_pgfed_peer');
SELECT object, privilege FROM rights
 WHERE grantee = 'regress_pgfed_peer'::regrole ORDER BY object COLLATE "C";

SELECT pgfed.allow_peer('regress_pgfed Odd"peer', rewind => true);
SELECT object, privilege FROM rights
 WHERE grantee = '"regress_pgfed Odd""peer"'::regrole ORDER BY object COLLATE "C";

-- The role can talk and join, and nothing else.
SET SESSION AUTHORIZATION regress_pgfed_peer;
SELECT pgfed.join('eva', '127.0.0.5', 1, 'Linz');
SELECT pgfed.join('eva', '127.0.0.5', 1, 'Graz');
SELECT pgfed.exchange('');
SELECT * FROM pgfed.nodes;
SELECT * FROM pgfed.federation;
SELECT pgfed.set_node('eva', port => 2);
SELECT pgfed.remove_node('eva');
INSERT INTO pgfed.nodes (name, host) VALUES ('kim', '127.0.0.6');
CREATE TABLE pgfed.trap (a int);
RESET SESSION AUTHORIZATION;
SELECT * FROM pgfed.nodes WHERE name = 'eva';
SELECT pgfed.remove_node('eva');

SELECT pgfed.revoke_peer('regress_pgfed_peer');
SELECT pgfed.revoke_peer('regress_pgfed_peer');
SELECT pgfed.revoke_peer('regress_pgfed Odd"peer');
SELECT count(*) FROM rights
 WHERE grantee IN ('regress_pgfed_peer'::regrole, '"regress_pgfed Odd""peer"'::regrole);
SELECT event, detail, count(*) FROM pgfed.events WHERE event LIKE 'peer\_%' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT event, actor FROM pgfed.events WHERE node = 'eva' AND actor = 'regress_pgfed_peer' ORDER BY id;

DROP VIEW rights;
DROP ROLE regress_pgfed_peer, "regress_pgfed Odd""peer", regress_pgfed_nologin, regress_pgfed_plain,
  regress_pgfed_group, regress_pgfed_super;
