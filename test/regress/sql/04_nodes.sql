-- The nodes and the functions that change them.
SELECT pgfed.add_node('leo', '127.0.0.2', 1);
SELECT pgfed.add_node('ait', '127.0.0.3', port => 1, site => 'Graz', options => 'keepalives_idle=30');
SELECT pgfed.add_node('pit', 'fe80::1%eth0', 1, upstream => 'ait');
TABLE pgfed.nodes ORDER BY name;
SELECT system_identifier = (SELECT system_identifier FROM pg_control_system()) AS own FROM pgfed.cluster;

-- What is left away, or NULL, is the default.
BEGIN;
SELECT pgfed.add_node('eva', '2001:db8::1');
SELECT pgfed.add_node('kim', 'kim.example.org', NULL, NULL, NULL, NULL);
SELECT * FROM pgfed.nodes WHERE name IN ('eva', 'kim') ORDER BY name;
ROLLBACK;

-- NULL keeps; an empty upstream is the primary.
SELECT pgfed.set_node('pit', host => '127.0.0.4', port => 1);
SELECT pgfed.set_node('pit', site => 'Wien', options => 'hostaddr=127.0.0.4');
SELECT pgfed.set_node('pit');
TABLE pgfed.nodes ORDER BY name;
SELECT pgfed.set_node('pit', upstream => '', options => '');
SELECT * FROM pgfed.nodes WHERE name = 'pit';

-- Names.
SELECT pgfed.add_node(NULL, '127.0.0.5');
\echo :SQLSTATE
SELECT pgfed.add_node('', '127.0.0.5');
\echo :SQLSTATE
SELECT pgfed.add_node('Leo', '127.0.0.5');
\echo :SQLSTATE
SELECT pgfed.add_node('5leo', '127.0.0.5');
\echo :SQLSTATE
SELECT pgfed.add_node('leo;drop', '127.0.0.5');
\echo :SQLSTATE
SELECT pgfed.add_node(repeat('a', 51), '127.0.0.5');
\echo :SQLSTATE

-- Duplicates: the node, and its slot.
SELECT pgfed.add_node('leo', '127.0.0.5');
\echo :SQLSTATE
SELECT pgfed.add_node('o-1', '127.0.0.5', 1);
SELECT pgfed.add_node('o_1', '127.0.0.6', 1);
\echo :SQLSTATE
SELECT pgfed.remove_node('o-1');

-- Ports.
SELECT pgfed.add_node('eva', '127.0.0.5', 0);
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', 65536);
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', -1);
\echo :SQLSTATE

-- Hosts.
SELECT pgfed.add_node('eva', NULL);
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5,127.0.0.6');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '/var/run/postgresql');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '@abstract');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5:5432');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', 'host with blank');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', 'postgresql://eva:secret@127.0.0.5/');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '0.0.0.0');
\echo :SQLSTATE

-- Sites.
SELECT pgfed.add_node('eva', '127.0.0.5', site => '');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', site => repeat('x', 64));
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', site => E'a\nb');
\echo :SQLSTATE

-- Options: those of the endpoint, never credentials. Nothing that may be a secret is repeated.
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'password=secret');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'user=eva');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'sslkey=/etc/key');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'service=main');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'options=-csearch_path=x');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'replication=true');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'host=127.0.0.6');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'colour=red');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'sslsni=secret');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'secret');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'sslsni=''secret');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', options => 'postgresql://eva:secret@127.0.0.5/');
\echo :SQLSTATE

-- Upstreams: known, another one, and no circle.
SELECT pgfed.add_node('eva', '127.0.0.5', upstream => 'nobody');
\echo :SQLSTATE
SELECT pgfed.add_node('eva', '127.0.0.5', upstream => 'eva');
\echo :SQLSTATE
SELECT pgfed.set_node('ait', upstream => 'ait');
\echo :SQLSTATE
SELECT pgfed.set_node('pit', upstream => 'ait');
SELECT pgfed.set_node('ait', upstream => 'pit');
\echo :SQLSTATE
SELECT pgfed.remove_node('ait');
\echo :SQLSTATE

-- Nodes that are not there.
SELECT pgfed.set_node('nobody', port => 5433);
\echo :SQLSTATE
SELECT pgfed.set_node(NULL, port => 5433);
\echo :SQLSTATE
SELECT pgfed.remove_node('nobody');
\echo :SQLSTATE
SELECT pgfed.remove_node(NULL);
\echo :SQLSTATE

-- What set_node() writes is looked at as well.
SELECT pgfed.set_node('ait', port => 0);
\echo :SQLSTATE
SELECT pgfed.set_node('ait', host => '');
\echo :SQLSTATE
SELECT pgfed.set_node('ait', options => 'user=eva');
\echo :SQLSTATE

-- Not more than pgfed.max_nodes, which is 8 here.
SELECT pgfed.add_node('n' || n, '127.0.0.' || n, 1) FROM generate_series(11, 15) n;
SELECT pgfed.add_node('eva', '127.0.0.5', 1);
\echo :SQLSTATE
SELECT pgfed.remove_node('n' || n) FROM generate_series(11, 15) n;

-- Nothing of all that was half done.
TABLE pgfed.nodes ORDER BY name;

-- join(): one's own row, other columns kept.
SELECT pgfed.join('pit', '127.0.0.4', 1, 'Linz');
SELECT pgfed.join('eva', '127.0.0.5', 1, 'Linz');
SELECT pgfed.join('eva', '127.0.0.5', 1, NULL);
\echo :SQLSTATE
SELECT pgfed.join('Eva', '127.0.0.5', 1, 'Linz');
\echo :SQLSTATE
TABLE pgfed.nodes ORDER BY name;
SELECT pgfed.remove_node('eva');

-- join() moves nobody who may be alive: not this server, nor a node that was not looked at yet.
SELECT pgfed.join('leo', '127.0.0.9', 1, 'default');
\echo :SQLSTATE
SELECT pgfed.join('leo', '127.0.0.2', 2, 'default');
\echo :SQLSTATE
BEGIN;
SELECT pgfed.add_node('kim', '127.0.0.6', 1);
SELECT pgfed.join('kim', '127.0.0.7', 1, 'default');
\echo :SQLSTATE
ROLLBACK;
-- One that does not answer may be moved, and leaves the address in its options behind.
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
BEGIN;
SELECT pgfed.set_node('pit', options => 'hostaddr=127.0.0.4 keepalives_idle=30');
SELECT pg_temp.wait_for($$EXISTS (SELECT FROM pgfed.federation JOIN pgfed.peers p USING (node)
  WHERE node = 'pit' AND host = '127.0.0.4' AND port = 1 AND federation.state = 'unreachable')$$);
SELECT pgfed.join('pit', '127.0.0.4', 2, 'Linz');
SELECT host, port, options FROM pgfed.nodes WHERE name = 'pit';
ROLLBACK;
BEGIN;
SELECT pgfed.set_node('pit', options => 'hostaddr=127.0.0.4 keepalives_idle=30');
SELECT pgfed.join('pit', '127.0.0.8', 1, 'Linz');
SELECT host, port, options FROM pgfed.nodes WHERE name = 'pit';
ROLLBACK;

-- A row that no function would have written can be removed all the same.
INSERT INTO pgfed.nodes (name, host) VALUES ('Wild', 'a,b');
SELECT pgfed.set_node('Wild', host => '127.0.0.9');
\echo :SQLSTATE
SELECT pgfed.remove_node('Wild');
SELECT count(*) FROM pgfed.nodes;
