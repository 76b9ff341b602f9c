# What pgfed does around other commands: it disturbs none that is not its business, none that fails anyway,
# and nothing after a commit can fail.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fed = PgFed::Federation->new(
	nodes => ['leo'],
	tls   => 0,
	conf  => "max_prepared_transactions = 2\npgfed.peer_interval = 200ms\npgfed.peer_timeout = 1s\n");
$fed->start;
my $leo = $fed->node('leo');
$fed->sql('leo', 'CREATE ROLE joe LOGIN');

# What psql says on stderr, in any database.
sub errors_of
{
	my ($database, $sql) = @_;
	my $errors;
	$leo->psql($database, $sql, stderr => \$errors, on_error_stop => 0);
	return $errors;
}

subtest 'two-phase commit elsewhere' => sub {
	$fed->sql('leo', 'CREATE DATABASE other');
	is(errors_of('other', q{CREATE SCHEMA s; BEGIN; DROP SCHEMA s; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'}),
		'', 'of a transaction that drops a schema');
};

subtest 'commands that fail anyway' => sub {
	$fed->wait_worker('leo', 'pgfed catalog');
	$fed->sql('leo', 'CREATE ROLE ann LOGIN');
	$fed->sql('leo', 'ALTER DATABASE postgres OWNER TO ann');
	my $pid = $fed->worker_pid('leo', 'pgfed catalog');
	like(errors_of('template1', "BEGIN; $_"), qr/cannot run inside a transaction block/, "in a transaction: $_")
	  foreach 'DROP DATABASE postgres', 'CREATE DATABASE copy TEMPLATE postgres',
	  'ALTER DATABASE postgres SET TABLESPACE pg_default';
	like(errors_of('template1', 'SET ROLE ann; ALTER DATABASE postgres RENAME TO mine'),
		qr/permission denied to rename database/, 'renamed by one without CREATEDB');
	is($fed->worker_pid('leo', 'pgfed catalog'), $pid, 'the catalog worker has not been sent away');
	is(errors_of('template1', 'CREATE DATABASE copy TEMPLATE postgres'), '', 'one that does not fail');
	isnt($fed->worker_pid('leo', 'pgfed catalog') // 0, $pid, 'for which it left');
};

subtest 'a client whose encoding lacks a character of an event' => sub {
	my $mark = $fed->log_mark('leo');
	is( errors_of('postgres', q{SET client_min_messages = log; SET client_encoding = latin1;
			SELECT pgfed.set_node('leo', site => U&'\2603')}),
		'', 'the command is done');
	like($fed->log_since('leo', $mark), qr/event=node_changed .*site \xe2\x98\x83/, 'the event is in the log');
	is($fed->sql('leo', q{SELECT count(*) FROM pgfed.events WHERE event = 'node_changed'}), 1, 'and in the view');
};

subtest 'an update while a node has an older library' => sub {
	is(errors_of('postgres', 'ALTER EXTENSION pgfed UPDATE'),
		qq{psql:<stdin>:1: NOTICE:  version "0.1" of extension "pgfed" is already installed}, 'none has');

	# Not more of a server than leo asks for.
	my $old = PostgreSQL::Test::Cluster->new('ait');
	$old->init;
	$old->append_conf('postgresql.conf', "listen_addresses = '127.0.0.3'\n");
	$old->append_conf('pg_hba.conf',     "host all all 127.0.0.0/8 trust\n");
	$old->start;
	my $field = sub { pack 'nN/a', @_ };
	my $report = unpack 'H*',
	  pack('a4n', 'pgfd', 1) . $field->(1, 'ait') . $field->(2, 'test') . $field->(3, 'x' x 16)
	  . $field->(4, "\x02") . $field->(16, pack 'Q>', $fed->sql('leo', 'SELECT system_identifier FROM pg_control_system()'))
	  . $field->(25, '0.0');
	$old->safe_psql('postgres', qq{CREATE ROLE pgfed LOGIN REPLICATION; CREATE SCHEMA pgfed; GRANT USAGE ON SCHEMA pgfed TO pgfed;
		CREATE FUNCTION pgfed.exchange(bytea) RETURNS bytea LANGUAGE sql AS \$\$SELECT '\\x$report'::bytea\$\$});
	$fed->sql('leo', q{SELECT pgfed.add_node('ait', '127.0.0.3', } . $old->port . ')');
	$fed->poll('leo', q{SELECT library_version FROM pgfed.peers WHERE node = 'ait'}, '0.0');

	like(errors_of('postgres', 'ALTER EXTENSION pgfed UPDATE'),
		qr/cannot update extension "pgfed" while node "ait" has an older library/, 'is refused');
	like(errors_of('postgres', 'SET ROLE joe; ALTER EXTENSION pgfed UPDATE'),
		qr/must be owner of extension pgfed/, 'who may not learns no more');
	like(errors_of('other', 'ALTER EXTENSION pgfed UPDATE'),
		qr/extension "pgfed" does not exist/, 'nor is it the business of other databases');
	$fed->sql('leo', q{SELECT pgfed.remove_node('ait')});
	$fed->poll('leo', q{SELECT count(*) FROM pgfed.peers WHERE node = 'ait'}, 0);
	unlike(errors_of('postgres', 'ALTER EXTENSION pgfed UPDATE'), qr/ERROR/, 'without the node');
	$old->stop('immediate');
};

$fed->logs_clean;
done_testing();
