# The owner of pgfed.database, who is no superuser, plants what an owner can. The workers run as the
# superuser: none of it may be executed by them, nor stop them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PgFed::Federation;
use Test::More;

my $fed = PgFed::Federation->new(
	nodes     => [qw(leo ait)],
	extension => 0,
	table     => 0,
	database  => 'fed',
	conf      => "pgfed.peer_interval = 300ms\n");
$fed->start;

sub admin
{
	my ($sql, $database) = @_;
	my ($out, $err) = $fed->query('leo', $sql, connstr => $fed->node('leo')->connstr($database // 'fed'));
	return $err;
}
sub mallory
{
	my ($sql) = @_;
	my ($out, $err) = $fed->query('leo', $sql, connstr => $fed->node('leo')->connstr('fed') . ' user=mallory');
	return $err;
}

# The test's own sessions must not meet what is planted below. (The servers are running: theirs do.)
$ENV{PGOPTIONS} = join ' ', map { "-c $_" } (
	'search_path=pg_catalog', 'default_transaction_isolation=read\\ committed',
	'default_transaction_read_only=off', 'statement_timeout=0', 'lock_timeout=0',
	'idle_in_transaction_session_timeout=0', 'idle_session_timeout=0', 'role=none');
is(admin('CREATE ROLE mallory LOGIN', 'postgres'), '', 'a role');
is(admin('CREATE DATABASE fed OWNER mallory', 'postgres'), '', 'that owns the database');

# ---------------------------------------------------------------- before the extension is there

# Whatever the superuser's code calls by mistake leaves a mark in a table that only mallory could fill.
my $trap = q{
	CREATE TABLE public.caught (by name, what text);
	GRANT ALL ON public.caught TO PUBLIC;
	CREATE FUNCTION public.mark(what text) RETURNS boolean LANGUAGE plpgsql AS
	  $$BEGIN INSERT INTO public.caught VALUES (current_user, what); RETURN true; END$$;
};
is(mallory($trap), '', 'mallory sets traps');
is( mallory(q{
	CREATE FUNCTION public.evil_eq(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT public.mark('=')$$;
	CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.evil_eq);
	CREATE FUNCTION public.evil_eq(name, text) RETURNS boolean LANGUAGE sql AS $$SELECT public.mark('=')$$;
	CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.evil_eq);
	CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql AS $$SELECT public.mark('format')::text$$;
	CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS $$SELECT public.mark('count')::int::bigint$$;
	CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS $$SELECT public.mark('recovery')$$;
	CREATE VIEW public.nodes AS SELECT public.mark('nodes') AS name;
	ALTER DATABASE fed SET search_path = public, pg_catalog;
	ALTER DATABASE fed SET default_transaction_isolation = 'serializable';
	ALTER DATABASE fed SET default_transaction_read_only = on;
	ALTER DATABASE fed SET statement_timeout = '1ms';
	ALTER DATABASE fed SET lock_timeout = '1ms';
	ALTER DATABASE fed SET idle_in_transaction_session_timeout = '1ms';
	ALTER DATABASE fed SET idle_session_timeout = '1ms';
	ALTER DATABASE fed SET bytea_output = 'escape';
	ALTER DATABASE fed SET row_security = off;
	ALTER DATABASE fed SET role = 'mallory';
	}),
	'', 'operators, functions, views and settings of the database');

# A schema of that name, made beforehand, is not trusted.
is(mallory('CREATE SCHEMA pgfed'), '', 'mallory makes schema pgfed');
my $err = admin('CREATE EXTENSION pgfed');
like($err, qr/schema "pgfed" already exists/, 'CREATE EXTENSION refuses it');
is(mallory('DROP SCHEMA pgfed'), '', 'it is removed');
is(admin("SET search_path = public, pg_catalog; SET default_transaction_isolation = 'serializable'; CREATE EXTENSION pgfed"),
	'', 'CREATE EXTENSION in spite of all that');
is(admin(q{SELECT pgfed.allow_peer('pgfed')}), '', 'allow_peer');
foreach my $name (qw(leo ait))
{
	is( admin(sprintf q{SET search_path = public, pg_catalog; SELECT pgfed.add_node('%s', '%s', %d)},
			$name, $fed->address($name), $fed->port($name)),
		'', "add_node $name");
}

# ---------------------------------------------------------------- what runs in spite of it

sub steady
{
	my ($test) = @_;
	foreach my $node (qw(leo ait))
	{
		$fed->poll($node, q{SELECT string_agg(node || ' ' || state, ', ' ORDER BY node) FROM pgfed.federation},
			'ait streaming, leo running', 25, "$node: $test");
	}
	return;
}
steady('the federation stands');

is(admin(q{SELECT pgfed.set_node('ait', site => 'paris')}), '', 'a change');
$fed->poll('ait', q{SELECT site FROM pgfed.federation WHERE node = 'ait'}, 'paris', 20, 'reaches the standby');

# ---------------------------------------------------------------- what the owner may not do

like(mallory($_), qr/permission denied|must be owner/, "refused: $_") foreach (
	q{SELECT pgfed.add_node('evil', '127.0.0.66')},
	q{SELECT pgfed.exchange('\x00')},
	q{SELECT * FROM pgfed.federation},
	q{SELECT * FROM pgfed.nodes},
	q{INSERT INTO pgfed.nodes VALUES ('evil', '127.0.0.66')},
	q{CREATE TABLE pgfed.mine ()},
	q{CREATE TRIGGER t BEFORE INSERT ON pgfed.nodes FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()},
	q{CREATE RULE r AS ON INSERT TO pgfed.nodes DO INSTEAD NOTHING},
	q{ALTER TABLE pgfed.nodes ADD COLUMN x int},
	q{DROP EXTENSION pgfed},
	q{DROP SCHEMA pgfed CASCADE},
	q{ALTER SCHEMA pgfed OWNER TO mallory});

is($fed->sql('leo', q{SELECT count(*) FROM public.caught WHERE by <> 'mallory'}), '0', 'no trap was sprung by anybody else');

# Locking out is what an owner can do: it is said clearly, and is over when undone.
is(mallory('ALTER DATABASE fed CONNECTION LIMIT 0'), '', 'no more connections to the database');
admin(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgfed' AND datname = 'fed'}, 'postgres');
$fed->poll('ait', q{SELECT status || ' ' || (detail ~ 'connections') FROM pgfed.federation WHERE node = 'leo'},
	'warning true', 20, 'a peer that takes no connections is alive');
is(admin('ALTER DATABASE fed CONNECTION LIMIT -1'), '', 'connections again');
steady('the federation stands again');

$fed->logs_clean;
done_testing();
