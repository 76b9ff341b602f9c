-- Where the extension may be made, and that it can go and come back.

-- A schema that somebody else made beforehand is not trusted.
CREATE SCHEMA pgfed;
CREATE EXTENSION pgfed;
\echo :SQLSTATE
DROP SCHEMA pgfed;

-- One database only.
CREATE DATABASE regress_pgfed_other TEMPLATE template0;
\c regress_pgfed_other
CREATE EXTENSION pgfed;
\echo :SQLSTATE
SELECT count(*) FROM pg_namespace WHERE nspname = 'pgfed';
\c pgfed_regress
DROP DATABASE regress_pgfed_other;

-- No place but its own schema.
CREATE EXTENSION pgfed SCHEMA public;
\echo :SQLSTATE

-- Whatever the session has set, the same objects come out.
SET search_path = '';
CREATE EXTENSION pgfed;
RESET search_path;
SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = 'pgfed';

-- Nothing is left when it goes.
DROP EXTENSION pgfed;
SELECT count(*) FROM pg_namespace WHERE nspname = 'pgfed';
CREATE EXTENSION pgfed;

-- Nobody can take it away through the schema public.
CREATE SCHEMA regress_keep;
DROP SCHEMA public CASCADE;
SELECT count(*) FROM pg_extension WHERE extname = 'pgfed';
CREATE SCHEMA public;
DROP SCHEMA regress_keep;
