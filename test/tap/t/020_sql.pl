# What the SQL functions and views say where it takes more than one server to see it: on a standby, under
# another node's certificate, with two primaries, without preload, with a stopped worker, after a dump.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fed = PgFed::Federation->new(
	nodes      => [qw(leo ait)],
	node_certs => 1,
	site       => { ait => 'Graz' },
	conf       => "pgfed.peer_interval = 200ms\npgfed.peer_timeout = 1s\n");
$fed->start;
$fed->wait_steady;

# Whether a statement fails with these words in what psql prints; at VERBOSITY verbose, so that
# the SQLSTATE is among them.
sub refused
{
	my ($name, $sql, $patterns, $test, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = $fed->query($name, "\\set VERBOSITY verbose\n$sql;", %options);
	my @missing = grep { $err !~ $_ } @$patterns;
	ok(!@missing, $test // $sql) or diag("output: $out\nerror: $err\nmissing: @missing");
	return;
}

my $leo_at = 'node "leo", host "127\.0\.0\.2", port ' . $fed->port('leo');

subtest 'on a standby' => sub {
	my @changes = (
		"add_node('pit', '127.0.0.4')", "set_node('ait', port => 1)",
		"remove_node('ait')",           "join('pit', '127.0.0.4', 5432, 'default')",
		'adopt()',                      "allow_peer('pgfed')",
		"revoke_peer('pgfed')");
	refused('ait', "SELECT pgfed.$_", [ qr/25006:/, qr/on a standby/, qr/HINT: .*$leo_at/ ])
	  foreach @changes;

	is($fed->sql('ait', 'SELECT count(*) FROM pgfed.nodes'), 2, 'the table is read');
	my $ports = join ',', map { $fed->port($_) } qw(leo ait);
	is( $fed->sql('ait', 'SELECT pgfed.connection_string()'),
		"host=127.0.0.2,127.0.0.3 port=$ports target_session_attrs=read-write",
		'connection_string: the primary first');
	my $conninfo = $fed->sql('ait', 'SELECT pgfed.connection_string()') . ' user=pgfed dbname=postgres '
	  . $fed->conninfo('leo') =~ s/\buser=\S+|\bdbname=\S+//gr;
	my $query = 'SELECT pg_is_in_recovery()';
	is(($fed->query('leo', $query, connstr => $conninfo))[0], 'f', 'libpq takes it to the primary');
	is( ($fed->query('leo', $query, connstr => $conninfo =~ s/read-write/prefer-standby/r))[0],
		't', 'or to the standby');

	is( $fed->sql('ait', 'SELECT state, stage, error FROM pgfed.peers ORDER BY node'),
		"connected||\nconnected||", 'peers: both are connected');
	is( $fed->sql(
			'ait',
			'SELECT server_version = split_part(current_setting($$server_version$$), $$ $$, 1),
			        library_version, extension_version,
			        system_identifier = (SELECT system_identifier FROM pg_control_system()), tls_protocol,
			        client_dn, rtt > $$0$$, failures
			   FROM pgfed.peers WHERE node = $$leo$$'),
		't|0.1|0.1|t|TLSv1.3|CN=ait|t|0', 'peers: what is known of the primary');
	is( $fed->sql('leo', 'SELECT upstream, timeline, lag_bytes >= 0, seen < $$2 s$$, status
	                        FROM pgfed.federation WHERE node = $$ait$$'),
		'leo|1|t|t|ok', 'federation: the standby as the primary sees it');
	$fed->poll('ait', 'SELECT count(*) FROM pgfed.links WHERE connected', 4);
};

subtest 'standby_settings' => sub {
	my ($out, $err) = $fed->query('leo', "SELECT * FROM pgfed.standby_settings('ait')");
	my $expected = join ' ', 'host=127.0.0.2', 'port=' . $fed->port('leo'), 'user=pgfed',
	  'sslmode=verify-full', 'sslrootcert=' . $fed->certs->ca,
	  'sslcert=' . $fed->certs->crt('client-ait'), 'sslkey=' . $fed->certs->key('client-ait'),
	  'application_name=ait';
	is($out, "primary_conninfo|$expected\nprimary_slot_name|pgfed_ait\n"
		  . "recovery_target_timeline|latest\nhot_standby|on\npgfed.node_name|ait",
		'the files are those that the standby reported');
	is($err, '', 'without a notice');
	is(($fed->query('ait', "SELECT * FROM pgfed.standby_settings('ait')"))[0],
		$out, 'the standby itself says the same');
};

subtest 'who calls' => sub {
	# The bytes of a small report by the given node.
	my $report = sub {
		my ($name) = @_;
		my $field = sub { pack 'nN/a', @_ };
		return unpack 'H*', pack('a4n', 'pgfd', 1) . $field->(1, $name) . $field->(2, 'test')
		  . $field->(3, 'x' x 16) . $field->(4, "\x02");
	};
	my @as_ait = (connstr => $fed->peer_connstr('ait', 'leo'));
	my $port   = $fed->port('ait');

	is(($fed->query('leo', "SELECT length(pgfed.exchange('\\x" . $report->('ait') . "')) > 100", @as_ait))[0],
		't', 'a node reports as itself');
	refused('leo', "SELECT pgfed.exchange('\\x" . $report->('leo') . "')",
		[ qr/42501:/, qr/certificate names node "ait"/, qr/by node "leo"/ ],
		'but not as another one', @as_ait);
	is(($fed->query('leo', "SELECT pgfed.join('ait', '127.0.0.3', $port, 'Wien')", @as_ait))[1],
		'', 'a node changes its own row');
	is($fed->sql('leo', "SELECT site FROM pgfed.nodes WHERE name = 'ait'"), 'Wien', 'which it did');
	refused('leo', "SELECT pgfed.join('leo', '127.0.0.3', $port, 'Wien')",
		[ qr/42501:/, qr/certificate names node "ait"/ ], 'but not that of another one', @as_ait);
	refused('leo', "SELECT pgfed.join('ait', '127.0.0.9', $port, 'Wien')",
		[ qr/55000:/, qr/alive at another address/, qr/127\.0\.0\.3/ ],
		'nor to another address while it lives', @as_ait);
	$fed->sql('leo', "SELECT pgfed.remove_node('ait')");
	refused('leo', "SELECT pgfed.join('pit', '127.0.0.4', $port, 'Wien')",
		[ qr/42501:/, qr/certificate names node "ait"/ ], 'nor one for another while it has none', @as_ait);
	is(($fed->query('leo', "SELECT pgfed.join('ait', '127.0.0.3', $port, 'Graz')", @as_ait))[1],
		'', 'a node adds its own row');
	$fed->wait_steady;
};

subtest 'who may be moved' => sub {
	my $port = $fed->port('ait');
	my $move = "SELECT pgfed.join('ait', '127.0.0.9', $port, 'Graz')";
	$fed->set_conf('leo', "pgfed.mode = off\n");
	$fed->poll('leo', 'SHOW pgfed.mode', 'off');
	refused('leo', $move, [ qr/55000:/, qr/not known whether node "ait" is alive/, qr/pgfed\.mode is off/ ],
		'nobody by a server that does not look');
	$fed->set_conf('leo', "pgfed.mode = active\n");
	$fed->wait_steady;

	$fed->set_conf('ait', "listen_addresses = ''\n");
	$fed->restart_node('ait');
	$fed->wait_state('leo', 'ait', 'unreachable');
	$fed->poll('leo', "SELECT last_seen < now() - interval '1 s' FROM pgfed.peers WHERE node = 'ait'");
	$fed->poll('leo', "SELECT connected FROM pgfed.links WHERE observer = 'ait' AND target = 'leo'");
	refused('leo', $move, [ qr/55000:/, qr/"ait" is alive/, qr/it reaches this server/ ],
		'nor a node that calls, though it cannot be called');
	$fed->set_conf('ait', "listen_addresses = '127.0.0.3'\n");
	$fed->restart_node('ait');
	$fed->wait_steady;

	my $hba = $fed->node('ait')->data_dir . '/pg_hba.conf';
	my $old = slurp_file($hba);
	$fed->set_conf('ait', "pgfed.mode = off\n");
	PgFed::Federation::write_file($hba, "local all all trust\nhost all all 127.0.0.0/8 reject\n");
	$fed->restart_node('ait');
	$fed->wait_state('leo', 'ait', 'unreachable');
	$fed->poll('leo', "SELECT last_seen < now() - interval '4 s' AND stage = 'authenticate' FROM pgfed.peers
		WHERE node = 'ait'");
	refused('leo', $move, [ qr/55000:/, qr/"ait" is alive/, qr/A server answers/ ],
		'nor one that refuses the login');
	PgFed::Federation::write_file($hba, $old);
	$fed->set_conf('ait', "pgfed.mode = active\n");
	$fed->restart_node('ait');
	$fed->wait_steady;
};

subtest 'a stopped worker' => sub {
	$fed->signal_worker('leo', 'pgfed', 'STOP');
	$fed->poll('leo', "SELECT status FROM pgfed.checks WHERE name = 'worker'", 'critical');
	is($fed->sql('leo', 'SELECT DISTINCT state, status FROM pgfed.federation'),
		'unknown|unknown', 'every node is unknown');
	is($fed->sql('leo', 'SELECT DISTINCT state FROM pgfed.peers'), 'unknown', 'every session');
	is($fed->sql('leo', 'SELECT count(connected) FROM pgfed.links'), 0, 'every link');
	is($fed->sql('leo', "SELECT DISTINCT status FROM pgfed.checks WHERE name <> 'worker'"),
		'unknown', 'every other check');
	refused('leo', "SELECT pgfed.join('ait', '127.0.0.9', 1, 'Graz')",
		[ qr/55000:/, qr/not known whether node "ait" is alive/ ], 'and no node is moved');

	my $pid  = $fed->worker_pid('leo', 'pgfed');
	my $hint = $fed->sql('leo', "SELECT hint FROM pgfed.checks WHERE name = 'worker'");
	like($hint, qr/pg_ctl kill TERM $pid .* kill -CONT $pid\b/, 'and there is a way out');
	my @command = split ' ', ($hint =~ /(pg_ctl kill \w+ \d+)/)[0] // 'false';
	$fed->node('leo')->command_ok(\@command, 'which works');
	$fed->signal_worker('leo', 'pgfed', 'CONT');
	$fed->poll('leo', "SELECT status FROM pgfed.checks WHERE name = 'worker'", 'ok');
	isnt($fed->wait_worker('leo', 'pgfed'), $pid, 'it is another process');
	$fed->wait_steady;
};

subtest 'a short interval' => sub {
	$fed->set_conf('leo', "pgfed.peer_interval = 10ms\n");
	$fed->poll('leo', 'SHOW pgfed.peer_interval', '10ms');
	my $pid = $fed->worker_pid('leo', 'pgfed');
	# Signalled by the statement itself, so that nothing lies between that and the first look.
	my $silence = $fed->sql('leo', <<"SQL");
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.until_critical() RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  silence interval;
BEGIN
  COPY (SELECT) TO PROGRAM 'cat; kill -STOP $pid';
  FOR i IN 1 .. 2000 LOOP
    SELECT clock_timestamp() - since INTO silence
      FROM pgfed.checks WHERE name = 'worker' AND status = 'critical';
    IF FOUND THEN RETURN round(extract(epoch FROM silence) * 1000); END IF;
    PERFORM pg_sleep(0.005);
  END LOOP;
END \$\$;
SELECT pg_temp.until_critical();
SQL
	kill 'CONT', $pid;
	# `since` is rounded on its way through the clocks.
	cmp_ok($silence // 0, '>=', 245, "a worker is not silent after 30 ms (after $silence)");
	$fed->set_conf('leo', "pgfed.peer_interval = 200ms\n");
	$fed->wait_steady;
};

subtest 'a dump in another cluster' => sub {
	my $leo  = $fed->node('leo');
	my $dump = $leo->basedir . '/pgfed.sql';
	$leo->command_ok([ 'pg_dump', '-f', $dump, '-d', $leo->connstr('postgres') ], 'pg_dump');

	my $copy = PostgreSQL::Test::Cluster->new('copy');
	$copy->init;
	$copy->append_conf('postgresql.conf', $fed->pgfed_conf('leo') . "pgfed.peer_interval = 200ms\n");
	$copy->start;
	$copy->safe_psql('postgres', 'CREATE ROLE pgfed LOGIN REPLICATION');
	$copy->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $copy->connstr('postgres') ],
		'restored');
	my $nodes = 'SELECT * FROM pgfed.nodes ORDER BY name';
	is($copy->safe_psql('postgres', $nodes), $fed->sql('leo', $nodes), 'the same nodes');
	is($copy->safe_psql('postgres', "SELECT has_function_privilege('pgfed', 'pgfed.exchange(bytea)', 'EXECUTE')"),
		't', 'the peer role keeps what allow_peer granted');
	ok($copy->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM pgfed.checks WHERE name = 'catalog' AND status = 'critical')"),
		'a critical check says that the table is foreign');
	my ($out, $err);
	$copy->psql('postgres', 'SELECT pgfed.connection_string()', stderr => \$err);
	like($err, qr/belongs to another cluster.*HINT: .*pgfed\.adopt/s, 'no application is sent to its nodes');
	$copy->psql('postgres', "SELECT pgfed.set_node('ait', port => 1)", stderr => \$err);
	like($err, qr/belongs to another cluster.*HINT: .*pgfed\.adopt/s, 'changes are refused');
	is($copy->safe_psql('postgres', "SELECT count(*) FROM pgfed.peers WHERE state = 'connected'"),
		0, 'nobody is dialled');
	$copy->safe_psql('postgres', 'SELECT pgfed.adopt()');
	$copy->safe_psql('postgres', "SELECT pgfed.set_node('ait', host => '127.0.0.99', port => 1)");
	ok($copy->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM pgfed.checks WHERE name = 'catalog' AND status = 'ok')"), 'adopted');
	$copy->stop('immediate');
};

subtest 'two primaries' => sub {
	$fed->node('ait')->promote;
	foreach my $name (qw(leo ait))
	{
		$fed->poll($name, "SELECT count(*) FROM pgfed.federation WHERE role = 'primary' AND state = 'running'",
			2, 30, "$name sees two primaries");
		refused($name, "SELECT pgfed.$_",
			[ qr/55000:/, qr/while two primaries are seen/, qr/"ait" and "leo"/ ], "$name: $_")
		  foreach "add_node('pit', '127.0.0.4')", "set_node('ait', port => 1)", "remove_node('ait')",
		  "join('pit', '127.0.0.4', 5432, 'default')", 'adopt()';
	}
	$fed->stop_node('ait', 'fast');
};

subtest 'without preload' => sub {
	my @hint = (qr/55000:/, qr/HINT: .*shared_preload_libraries = 'pgfed'/);
	$fed->node('leo')->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$fed->restart_node('leo');
	refused('leo', $_, \@hint)
	  foreach (
		map({ "SELECT * FROM pgfed.$_" } qw(federation peers links checks events)),
		map({ "SELECT pgfed.$_" } (
				"add_node('pit', '127.0.0.4')", "set_node('ait', port => 1)",
				"remove_node('ait')",           "join('pit', '127.0.0.4', 5432, 'default')",
				'adopt()',                      "allow_peer('pgfed')",
				"revoke_peer('pgfed')",         "exchange('')",
				'connection_string()',          "standby_settings('ait')")));
	is($fed->sql('leo', 'SELECT count(*) FROM pgfed.nodes'), 2, 'the table can still be read');
	is(($fed->query('leo', 'DROP EXTENSION pgfed'))[1], '', 'the extension can be dropped');
	refused('leo', 'CREATE EXTENSION pgfed', \@hint);
	is(($fed->query('leo', "LOAD 'pgfed'"))[1], '', 'the library can be loaded');
};

$fed->logs_clean;
done_testing();
