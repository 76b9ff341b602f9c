-- PUBLIC can do nothing with anything of pgfed, not even look into its schema.
SELECT nspname AS open_to_public FROM pg_namespace,
       aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
 WHERE nspname = 'pgfed' AND grantee = 0;
SELECT c.oid::regclass AS open_to_public, privilege_type FROM pg_class c,
       aclexplode(coalesce(relacl, acldefault('r', relowner)))
 WHERE relnamespace = 'pgfed'::regnamespace AND relkind IN ('r', 'v') AND grantee = 0;
SELECT p.oid::regprocedure AS open_to_public FROM pg_proc p,
       aclexplode(coalesce(proacl, acldefault('f', proowner)))
 WHERE pronamespace = 'pgfed'::regnamespace AND grantee = 0;

-- Who else may do what.
SELECT grantee::regrole, privilege_type, 'schema' AS on FROM pg_namespace, aclexplode(nspacl)
 WHERE nspname = 'pgfed' AND grantee <> nspowner;
SELECT c.oid::regclass AS relation, grantee::regrole, privilege_type
  FROM pg_class c, aclexplode(relacl)
 WHERE relnamespace = 'pgfed'::regnamespace AND relkind IN ('r', 'v') AND grantee <> relowner
 ORDER BY c.relname COLLATE "C";
SELECT p.oid::regprocedure AS function, grantee::regrole
  FROM pg_proc p, aclexplode(proacl)
 WHERE pronamespace = 'pgfed'::regnamespace AND grantee <> proowner
 ORDER BY p.proname COLLATE "C";

CREATE ROLE regress_pgfed_anybody;
CREATE ROLE regress_pgfed_monitor IN ROLE pg_monitor;
CREATE ROLE regress_pgfed_operator;

SET ROLE regress_pgfed_anybody;
SELECT * FROM pgfed.federation;
\echo :SQLSTATE
SELECT pgfed.exchange('');
\echo :SQLSTATE
RESET ROLE;

-- Right into the schema, and still nothing is readable or executable.
GRANT USAGE ON SCHEMA pgfed TO regress_pgfed_anybody;
SET ROLE regress_pgfed_anybody;
SELECT FROM pgfed.nodes;
SELECT FROM pgfed.cluster;
SELECT FROM pgfed.federation;
SELECT FROM pgfed.peers;
SELECT FROM pgfed.links;
SELECT FROM pgfed.checks;
SELECT FROM pgfed.events;
SELECT FROM pgfed.tls;
SELECT FROM pgfed.certificates;
SELECT FROM pgfed._federation();
SELECT FROM pgfed._certificates();
SELECT pgfed.add_node('ait', '127.0.0.3', 1);
SELECT pgfed.set_node('ait');
SELECT pgfed.remove_node('ait');
SELECT pgfed.join('ait', '127.0.0.3', 5432, 'default');
SELECT pgfed.adopt();
SELECT pgfed.allow_peer('regress_pgfed_anybody');
SELECT pgfed.revoke_peer('regress_pgfed_anybody');
SELECT pgfed.exchange('');
SELECT pgfed.connection_string();
SELECT pgfed.standby_settings('ait');
SELECT pgfed.certificate_names();
SELECT pgfed.probe('127.0.0.1', 1);
RESET ROLE;

-- pg_monitor reads, and changes nothing.
SET ROLE regress_pgfed_monitor;
SELECT FROM pgfed.nodes WHERE false;
SELECT FROM pgfed.federation WHERE false;
SELECT FROM pgfed.peers WHERE false;
SELECT FROM pgfed.links WHERE false;
SELECT FROM pgfed.checks WHERE false;
SELECT FROM pgfed.events WHERE false;
SELECT FROM pgfed.tls WHERE false;
SELECT FROM pgfed.certificates WHERE false;
SELECT FROM pgfed._certificates() WHERE false;
-- Nor does it dial.
SELECT pgfed.probe('127.0.0.1', 1);
SELECT pgfed.add_node('ait', '127.0.0.3', 1);
SELECT pgfed.exchange('');
INSERT INTO pgfed.nodes (name, host) VALUES ('ait', '127.0.0.3');
RESET ROLE;

-- Whoever is granted a function can do what it does, and only that.
GRANT USAGE ON SCHEMA pgfed TO regress_pgfed_operator;
GRANT EXECUTE ON FUNCTION pgfed.add_node, pgfed.remove_node, pgfed.probe TO regress_pgfed_operator;
SET ROLE regress_pgfed_operator;
SELECT pgfed.add_node('ait', '127.0.0.3', 1);
SELECT pgfed.set_node('ait', host => '127.0.0.4');
DELETE FROM pgfed.nodes;
SELECT pgfed.remove_node('ait');
SELECT current_user;
SELECT count(*) > 0 AS dialled FROM pgfed.probe('127.0.0.1', 1);
RESET ROLE;

-- Superuser it must be for what hands out rights.
GRANT EXECUTE ON FUNCTION pgfed.allow_peer TO regress_pgfed_operator;
SET ROLE regress_pgfed_operator;
SELECT pgfed.allow_peer('regress_pgfed_operator');
\echo :SQLSTATE
RESET ROLE;

DROP OWNED BY regress_pgfed_anybody, regress_pgfed_operator;
DROP ROLE regress_pgfed_anybody, regress_pgfed_monitor, regress_pgfed_operator;
