-- The call between peers, with bytes that no peer of ours would send.
SELECT pgfed.exchange(NULL) IS NULL AS silent;
SELECT pgfed.exchange('');
\echo :SQLSTATE
SELECT pgfed.exchange('\x00');
\echo :SQLSTATE
SELECT pgfed.exchange('pgfd');
\echo :SQLSTATE
SELECT pgfed.exchange('GET / HTTP/1.1');
\echo :SQLSTATE
-- The right beginning, a wrong end.
SELECT pgfed.exchange('\x706766640001'::bytea);
\echo :SQLSTATE
SELECT pgfed.exchange('\x7067666400010001ffffffff'::bytea);
\echo :SQLSTATE
SELECT pgfed.exchange('\x70676664000100010000000361');
\echo :SQLSTATE
-- Too much, however well it compresses.
SELECT pgfed.exchange(decode(repeat('00', 131073), 'hex'));
\echo :SQLSTATE
SELECT pgfed.exchange(decode(repeat('00', 131072), 'hex'));
\echo :SQLSTATE
CREATE TEMP TABLE large AS SELECT decode(repeat('00', 10000000), 'hex') AS report;
SELECT pgfed.exchange(report) FROM large;
\echo :SQLSTATE

-- Random bytes: an error each, and the server lives on.
DO $$
BEGIN
  PERFORM setseed(0.5);
  FOR i IN 1..2000 LOOP
    BEGIN
      PERFORM pgfed.exchange(
        '\x706766640001'::bytea ||
        decode((SELECT string_agg(lpad(to_hex((random() * 255)::int), 2, '0'), '')
                  FROM generate_series(0, (random() * 64)::int)), 'hex'));
    EXCEPTION WHEN protocol_violation THEN NULL;
    END;
  END LOOP;
END $$;

-- A small but whole report: node eva, federation test, some incarnation, a standby.
SELECT '\x706766640001'::bytea
    || '\x000100000003'::bytea || 'eva'
    || '\x000200000004'::bytea || 'test'
    || '\x000300000010'::bytea || decode(repeat('5e', 16), 'hex')
    || '\x00040000000102'::bytea AS report \gset
SELECT substr(reply, 1, 6) AS beginning, position('leo'::bytea IN reply) > 0 AS node,
       position('test'::bytea IN reply) > 0 AS federation, length(reply) > 100 AS more
  FROM pgfed.exchange(:'report') AS reply;
-- It goes in a transaction that may write nothing, and answers its own kind.
BEGIN READ ONLY;
SELECT length(pgfed.exchange(pgfed.exchange(:'report'))) > 100 AS more;
COMMIT;
