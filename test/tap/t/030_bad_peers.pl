# Peers that are broken, hostile or badly set up, all of them at once: each is named for what it is, and
# none disturbs the worker or the three healthy servers.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use IO::Socket::UNIX;
use IPC::Run ();
use PgFed::FakePeer;
use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use constant MAX_GROWTH => 20 * 1024;    # kB that a worker may grow by

my @healthy = qw(leo ait pit);
my @members = (@healthy, qw(crowd frozen guard));    # of one cluster, all but leo standbys

# The bad ones look at nobody themselves: it is the healthy ones' work that is tested.
my $bad_conf = "pgfed.mode = off\nlog_min_messages = error\n";
my $fed      = PgFed::Federation->new(
	nodes     => \@members,
	node_conf => {

		# One observer that hurries is enough to keep the machine busy.
		(map { $_ => "pgfed.peer_interval = 3s\n" } qw(ait pit)),
		(map { $_ => $bad_conf } qw(crowd frozen guard))
	},
	conf      => "max_connections = 16\npgfed.max_nodes = 40\npgfed.peer_interval = 1s\npgfed.peer_timeout = 2s\n");

# One certificate for all the fake servers, and one for copies of leo.
my $fake_address  = '127.0.0.60';
my $alone_address = '127.0.0.40';
my $other_address = '127.0.0.41';
$fed->{addresses}{stranger} = $other_address;
$fed->{address}{alone}      = $alone_address;
$fed->start;
my $certs = $fed->certs;
$certs->make('--ca', 'ca', '--server', 'fake', '--ip', $fake_address,
	'--server', 'bad', '--ip', $alone_address, '--ip', $other_address, '--server', 'nameless',
	'--no-san', '--ca', 'other', '--server', 'untrusted', '--ip', $fed->address('guard'));
foreach my $observer (@healthy)
{
	$fed->poll($observer, q{SELECT count(*) FROM pgfed.federation WHERE state IN ('running', 'streaming')},
		scalar @members, 60, "$observer sees all running or streaming");
}

sub tls_conf
{
	my ($name) = @_;
	return "ssl_cert_file = '@{[$certs->crt(\"server-$name\")]}'\n"
	  . "ssl_key_file = '@{[$certs->key(\"server-$name\")]}'\n";
}

# What an observer says of bad nodes, each [NODE, STATE, STAGE, ERROR, STATUS, TEST]: these, and there is a hint.
# One test a node. (Errors may differ from one attempt to the next, and need time, hence the polling.)
sub are_bad
{
	my ($observer, @expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $list  = join ', ', map { "'$_->[0]'" } @expected;
	my $query = <<"SQL";
SELECT f.node, f.state, p.stage, f.status, c.status, coalesce(c.hint, '') <> '', f.detail IS NOT NULL, p.error
  FROM pgfed.federation f JOIN pgfed.peers p USING (node)
  LEFT JOIN pgfed.checks c ON c.node = f.node AND c.name = 'peer' WHERE f.node IN ($list)
SQL
	my %open = map { $_->[0] => $_ } @expected;
	my %said;
	my $deadline = time() + 25;
	while (%open && time() < $deadline)
	{
		my ($out, $err) = $fed->query($observer, $query);
		foreach my $line (split /\n/, "$out$err")
		{
			my ($node) = split /\|/, $line;
			my $one = $open{$node} // next;
			my (undef, $state, $stage, $error, $status) = @$one;
			$said{$node} = $line;
			delete $open{$node} if $line =~ /^$node\|$state\|$stage\|$status\|$status\|t\|t\|.*(?:$error)/;
		}
		usleep(100_000) if %open;
	}
	foreach my $one (@expected)
	{
		my ($node, @rest) = @$one;
		ok(!$open{$node}, "$observer: " . ($one->[5] // "$node is $rest[0], at stage $rest[1]"))
		  or diag("expected: @rest[0 .. 3]\nsaid: " . ($said{$node} // 'nothing'));
		note($said{$node} // '');
	}
	return;
}

sub memory
{
	my ($name, $key) = @_;
	my $pid = $fed->worker_pid($name, 'pgfed') // return 0;
	return slurp_file("/proc/$pid/status") =~ /^$key:\s+(\d+) kB/m ? $1 : 0;
}

# ---------------------------------------------------------------- real servers that are no good

# A copy of the primary that went its own way.
$fed->clone(
	'leo',
	as   => 'alone',
	conf => "pgfed.node_name = 'alone'\npgfed.federation_name = 'elsewhere'\n$bad_conf" . tls_conf('bad'));

# Another cluster that uses the name and the certificates of this federation.
my $stranger = $fed->{cluster}{stranger} = PostgreSQL::Test::Cluster->new('stranger');
$stranger->init;
$fed->write_hba('stranger');
$stranger->append_conf('postgresql.conf', $fed->server_conf('stranger') . $bad_conf . tls_conf('bad'));
$stranger->start;
$stranger->safe_psql('postgres',
	"CREATE ROLE pgfed LOGIN REPLICATION; CREATE EXTENSION pgfed; SELECT pgfed.allow_peer('pgfed')");

# ---------------------------------------------------------------- fake servers

# What ait says to any caller, for the one that repeats it.
my $field  = sub { pack 'nN/a', @_ };
my $report = unpack 'H*', pack('a4n', 'pgfd', 1) . $field->(1, 'pit') . $field->(2, 'test')
  . $field->(3, 'x' x 16) . $field->(4, "\x02");
my ($recorded, $trouble) = $fed->query(
	'ait',
	"SELECT encode(pgfed.exchange('\\x$report'), 'hex')",
	connstr => $fed->peer_connstr('leo', 'ait'));
is($trouble, '', 'what ait says');
my $recording = $fed->node('leo')->basedir . '/ait.hex';
PgFed::Federation::write_file($recording, $recorded);

my $TLS        = 1;
my $unexpected = 'unexpected answer to pgfed\.exchange\(\)';
my $too_large  = 'reply is larger than \d+ kB';
my $crowded    = 'too many clients|connection slots are reserved';
my @refused    = qw(unreachable authenticate);
my @asked      = qw(unreachable query);

# name => [mode, TLS, state, stage, error, status]
my %fake = (
	'silent'      => [ 'silent',      0, 'unreachable', 'tls', 'no connection within 2000 ms' ],
	'closer'      => [ 'close',       0, 'unreachable', 'tls', 'closed the connection|reset|EOF' ],
	'garbage'     => [ 'garbage',     0, 'unreachable', 'tls', 'SSL' ],
	'plain'       => [ 'query-silent', 0, 'unreachable', 'tls', 'server does not support SSL' ],
	'tls-silent'  => [ 'tls-silent',  0, 'unreachable', 'tls', 'no connection within 2000 ms' ],
	'tls-garbage' => [ 'tls-garbage', 0, 'unreachable', 'tls', 'SSL' ],
	'password'    => [ 'error 28P01 password authentication failed', $TLS, @refused, 'password authentication failed' ],
	'asks'        => [ 'ask-password', $TLS, @refused, 'no password supplied' ],
	'role'        => [ 'error 28000 role "pgfed" does not exist', $TLS, @refused, 'role "pgfed" does not exist' ],
	'starts'      => [ 'error 57P03 the database system is starting up', $TLS, 'starting', 'authenticate',
		'the database system is starting up', 'warning' ],
	'full'        => [ 'error 53300 sorry, too many clients already', $TLS, 'unknown', 'authenticate',
		'sorry, too many clients already', 'warning' ],
	'huge'        => [ 'huge-row 600', $TLS, @asked, $too_large ],
	'rows'        => [ 'endless-rows', $TLS, @asked, $too_large ],
	'notices'     => [ 'endless-notice', $TLS, @asked, $too_large ],
	'dies'        => [ 'half-reply die', $TLS, @asked, 'connection|EOF detected' ],
	'hangs'       => [ 'half-reply hang', $TLS, @asked, 'no reply within 2000 ms' ],
	'mute'        => [ 'query-silent', $TLS, @asked, 'no reply within 2000 ms' ],
	'random'      => [ 'bad-reply 64', $TLS, @asked, 'not a pgfed report' ],
	'null'        => [ 'null-row', $TLS, @asked, $unexpected ],
	'rowless'     => [ 'no-row', $TLS, @asked, $unexpected ],
	'typed'       => [ 'wrong-type', $TLS, @asked, 'not a pgfed report' ],
	'errs'        => [ 'query-error XX000 out of luck', $TLS, @asked, 'out of luck' ],
	'leaves'      => [ 'query-fatal 57P01 terminating connection due to administrator command', $TLS, @asked,
		'terminating connection' ],
	'parrot'      => [ "reply-hex $recording", $TLS, @asked, 'another node answers: "ait" instead of "parrot"' ],
);
my %server = map {
	$_ => PgFed::FakePeer->start(
		name   => $_,
		listen => "$fake_address:0",
		mode   => $fake{$_}[0],
		$fake{$_}[1] ? (certs => $certs, server => 'fake') : ())
} sort keys %fake;

# ---------------------------------------------------------------- all of them at once

my %pid    = map { $_ => $fed->worker_pid($_, 'pgfed') } @healthy;
my %before = map { $_ => memory($_, 'VmHWM') } @healthy;

my @rows = map { [ $_, $fake_address, $server{$_}->port ] } sort keys %fake;
push @rows, [ 'nothing', $fake_address, PostgreSQL::Test::Cluster::get_free_port() ],
  [ 'liar',     $fed->address('ait'), $fed->port('ait') ],
  [ 'alone',    $alone_address,       $fed->port('alone') ],
  [ 'stranger', $other_address,       $stranger->port ];
$fed->sql('leo', join '', map { "SELECT pgfed.add_node('$_->[0]', '$_->[1]', port => $_->[2]);\n" } @rows);

# Connections that nobody uses, until the server has no more: those of the peers go as well.
sub raw_connection
{
	my ($node) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port)
	  or die "cannot connect: $!";
	my $user = getpwuid($>);
	my $text = pack('N', 3 << 16) . "user\0$user\0database\0postgres\0\0";
	syswrite $socket, pack('N', 4 + length $text) . $text;
	my $said = '';
	until ($said =~ /Z\x00\x00\x00\x05I$/)
	{
		sysread($socket, $said, 65536, length $said) or return undef;
	}
	return $socket;
}

# Runs it until it is complete, without using a connection more.
sub raw_query
{
	my ($socket, $sql) = @_;
	syswrite $socket, 'Q' . pack('N', 5 + length $sql) . "$sql\0";
	my $said = '';
	until ($said =~ /Z\x00\x00\x00\x05[IE]$/)
	{
		sysread($socket, $said, 65536, length $said) or die 'connection lost';
	}
	return $said;
}

my @hogs;
for (1 .. 20)
{
	while (my $socket = raw_connection($fed->node('crowd'))) { push @hogs, $socket }
	my $said = raw_query($hogs[0],
		q{SELECT 'ended ' || count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'pgfed'});
	last if $said =~ /ended 0/;
	usleep(100_000);
}
cmp_ok(scalar @hogs, '>=', 10, 'the server "crowd" has no connection left');
$fed->stop_signal('frozen');

# Each healthy server's look at the healthy ones, several times a second, beside all that follows.
my %sampler;
foreach my $name (@healthy)
{
	my $file   = $fed->node($name)->basedir . '/samples';
	PgFed::Federation::write_file("$file.sql",
		<<'SQL' x 1000);
SELECT node, round(extract(epoch FROM seen), 3), state FROM pgfed.federation WHERE node IN ('leo', 'ait', 'pit');
SELECT pg_sleep(0.25) \g /dev/null
SQL
	local %ENV = $fed->node($name)->_get_env();
	$sampler{$name} = {
		file => $file,
		run  => IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $fed->node($name)->connstr('postgres'), '-f', "$file.sql" ],
			'<', \undef, '>', $file, '2>', "$file.err")
	};
}

are_bad(
	'leo',
	[ 'nothing', 'unreachable', 'connect', 'Connection refused', 'critical' ],
	(map { [ $_, @{ $fake{$_} }[ 2 .. 4 ], $fake{$_}[5] // 'critical', "$_: $fake{$_}[0]" ] } sort keys %fake),
	[ 'liar', @asked, 'another node answers: "ait" instead of "liar"', 'critical', 'the address of ait under another name' ],
	[ 'frozen', 'unreachable', '(?:tls|query)', 'within 2000 ms', 'critical', 'frozen: SIGSTOP' ],
	[ 'stranger', 'wrong_system', 'query', 'another cluster answers: its system identifier is \d+, ours is \d+', 'critical' ],
	[ 'alone', 'wrong_system', 'query', 'another federation answers: "elsewhere" instead of "test"', 'critical' ],
	[ 'crowd', 'streaming', 'authenticate', $crowded, 'warning', 'crowd: alive, keeps its state' ]);
like( $fed->sql('leo', q{SELECT detail FROM pgfed.federation WHERE node = 'crowd'}),
	qr/$crowded/, 'crowd: detail');
are_bad('pit', [ 'parrot', @{ $fake{parrot} }[ 2 .. 4 ], 'critical' ]);
is($fed->sql('leo', q{SELECT status FROM pgfed.checks WHERE name = 'identity'}), 'ok', 'leo is sure of itself');
is($fed->sql('leo', q{SELECT count(*) FROM pgfed.checks WHERE name = 'duplicate' AND status <> 'ok'}),
	'0', 'nobody is taken for two');
is($fed->sql('leo', q{SELECT count(*) FROM pgfed.checks WHERE name = 'primary' AND status <> 'ok'}),
	'0', 'nor for a second primary');

# Ten seconds at least of all that. Later on a few of them will do, for they keep the machine busy.
my $deadline = time() + 60;
usleep(200_000) while -s $sampler{leo}{file} < 40 * length("ait|0.000|streaming\n") * 3 && time() < $deadline;
my %stays = map { $_ => 1 } qw(garbage huge mute tls-silent);
$fed->sql('leo', join '', map { "SELECT pgfed.remove_node('$_');\n" } grep { !$stays{$_} } sort keys %fake);

# ---------------------------------------------------------------- a server that refuses, one way after the other

my $guard     = $fed->node('guard');
my $guard_hba = $guard->data_dir . '/pg_hba.conf';
my $hba       = slurp_file($guard_hba);
my $ident     = slurp_file($guard->data_dir . '/pg_ident.conf');

# Changes how guard receives its peers, throws out those that are in, and looks at what leo says.
sub guard_is
{
	my ($how, $state, $stage, $error, %p) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	PgFed::Federation::write_file($guard_hba, $p{hba} // $hba);
	PgFed::Federation::write_file($guard->data_dir . '/pg_ident.conf', $p{ident} // $ident);
	$guard->append_conf('postgresql.conf',
		tls_conf($p{cert} // 'guard') . "ssl_ca_file = '" . $certs->ca($p{ca}) . "'\n");
	$guard->reload;
	my $empty = 0;
	for (1 .. 30)
	{
		my $ended = $fed->sql('guard',
			q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'pgfed'});
		last if !$ended && ++$empty == 2;
		usleep(100_000);
	}
	return are_bad('leo', [ 'guard', $state, $stage, $error, 'critical', "guard: $how" ]);
}

my $rest = $hba =~ s/^hostssl.*\n//gmr;
guard_is('no line in pg_hba.conf', @refused, 'no pg_hba\.conf entry for host', hba => $rest);
guard_is('rejected by pg_hba.conf', @refused, 'pg_hba\.conf rejects connection',
	hba => "${rest}hostssl all pgfed 127.0.0.0/8 reject\n");
guard_is('a password is wanted', @refused, 'no password supplied',
	hba => "${rest}hostssl all pgfed 127.0.0.0/8 scram-sha-256\n");
guard_is('a role that the certificate does not stand for', @refused,
	'certificate authentication failed for user "pgfed"', ident => "peers leo pgfed\n");
guard_is('client certificate of another authority', 'unreachable', 'tls', 'alert unknown ca', ca => 'other');
guard_is('server certificate of another authority', 'unreachable', 'tls', 'certificate verify failed',
	cert => 'untrusted');
guard_is('server certificate for other names', 'unreachable', 'tls', 'does not match host name',
	cert => 'bad');
guard_is('server certificate without names', 'unreachable', 'tls', 'host name', cert => 'nameless');

# ---------------------------------------------------------------- pgfed missing, or not for this role

$fed->sql('alone', q{SELECT pgfed.revoke_peer('pgfed')});
$fed->set_conf('alone', "pgfed.federation_name = 'test'\n");
$fed->restart_node('alone');
are_bad('leo', [ 'alone', @asked, 'permission denied for', 'critical', 'alone: the role may not call exchange()' ]);
like($fed->sql('leo', q{SELECT hint FROM pgfed.checks WHERE node = 'alone' AND name = 'peer'}),
	qr/pgfed\.allow_peer/, 'alone: and the hint says what gives it that');

$fed->set_conf('alone', "shared_preload_libraries = ''\n");
$fed->restart_node('alone');
$fed->sql('alone', 'GRANT USAGE ON SCHEMA pgfed TO pgfed; GRANT EXECUTE ON FUNCTION pgfed.exchange(bytea) TO pgfed');
are_bad('leo', [ 'alone', 'no_pgfed', 'query', 'shared_preload_libraries|preload|loaded', 'warning', 'alone: not preloaded' ]);
$fed->sql('alone', 'DROP EXTENSION pgfed');
are_bad('leo', [ 'alone', 'no_pgfed', 'query', 'schema "pgfed" does not exist', 'warning', 'alone: no extension' ]);

$fed->set_conf('alone', "hot_standby = off\n");
$fed->node('alone')->set_standby_mode;
$fed->restart_node('alone');
are_bad('leo', [ 'alone', 'starting', 'authenticate', 'the database system is not (?:yet )?accepting connections', 'warning',
	'alone: a standby with hot_standby = off' ]);

# ---------------------------------------------------------------- and the healthy ones?

foreach my $name (@healthy)
{
	my $sampler  = $sampler{$name};
	my $interval = $fed->sql($name, q{SELECT extract(epoch FROM current_setting('pgfed.peer_interval')::interval)});
	$sampler->{run}->kill_kill(grace => 0);
	my (%samples, %late, %worst, %states);
	foreach my $line (split /\n/, slurp_file($sampler->{file}))
	{
		my ($node, $seen, $state) = $line =~ /^(\w+)\|([\d.]+)\|(\w+)$/ or next;
		$samples{$node}++;
		$late{$node}++ if $seen >= 2 * $interval;
		$worst{$node} = $seen if $seen > ($worst{$node} // 0);
		$states{"$node $state"} = 1;
	}
	is(join(', ', sort keys %states), 'ait streaming, leo running, pit streaming', "$name: the states never changed");
	foreach my $node (@healthy)
	{
		my ($samples, $late) = ($samples{$node} // 0, $late{$node} // 0);
		cmp_ok($samples, '>=', 30, "$name: samples of $node");

		# A machine that does too much at a time may stop for a moment, and two samples see that.
		cmp_ok($late, '<=', 2 + $samples / 50, "$name: $node was seen within twice the interval")
		  or diag("$late of $samples samples later, at worst " . ($worst{$node} // 'never') . ' s');
		note("$name: $samples samples of $node, at worst $worst{$node} s");
	}
	is($fed->worker_pid($name, 'pgfed'), $pid{$name}, "$name: the worker has not been started again");
	my $growth = memory($name, 'VmHWM') - $before{$name};
	cmp_ok($growth, '<', MAX_GROWTH, "$name: the worker never took much memory (kB)");
	note("$name: grown by $growth kB");
}
is($fed->sql('leo', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'pgfed' AND state <> 'idle'
	AND backend_type = 'client backend' AND state_change < now() - interval '10s'}), '0', 'no session is stuck');

# What was wrong with real servers is put right, and they come back.
@hogs = ();
$fed->cont('frozen');
PgFed::Federation::write_file($guard_hba, $hba);
$guard->append_conf('postgresql.conf', tls_conf('guard'));
$guard->reload;
$fed->wait_state('leo', $_, 'streaming', 30) foreach qw(crowd frozen guard);
# (The state may be known by a session that breaks once more, as the server reloads its certificate.)
$fed->poll('leo', q{SELECT count(*) FROM pgfed.peers WHERE node IN ('crowd', 'frozen', 'guard')
	AND state = 'connected' AND error IS NULL AND failures = 0}, '3', 20, 'without a trace of an error');

$fed->logs_clean;
done_testing();
