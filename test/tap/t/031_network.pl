# A network that fails: names, name servers, lost packets, one-way paths, slow and half-open connections.
# What one node cannot reach is said to be so, the others stay on time, and all recovers by itself.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PgFed::Net -enter;

use PgFed::Dns;
use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

PgFed::Net->hosts("127.0.0.1 localhost\n");
PgFed::Net->resolv_conf("nameserver 127.0.0.99\n");
my $dns = PgFed::Dns->start(names => { 'pit.example' => '127.0.0.4' });

# leo and ait are known by their addresses, pit by a name; a relay stands before pit.
my @nodes = qw(leo ait pit);
my $fed   = PgFed::Federation->new(
	nodes => \@nodes,
	host  => { pit => 'pit.example' },
	relay => { pit => 1 },
	conf  => "pgfed.peer_interval = 400ms\npgfed.peer_timeout = 2s\n");
$fed->start;
$fed->wait_steady(60);
my %pid = map { $_ => $fed->worker_pid($_, 'pgfed') } @nodes;

# Session and verdict about a node, as one line: state of the node, stage, status, error.
sub says
{
	my ($observer, $node, $expected, $test, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $fed->poll(
		$observer,
		"SELECT f.state, p.stage, f.status, p.error FROM pgfed.federation f JOIN pgfed.peers p USING (node)
		  WHERE f.node = '$node'",
		$expected, $timeout // 20, $test // "$observer about $node: $expected");
}

# For some seconds the named ones are seen in time by leo. The interval is 0.4 s; on a machine that does
# other things as well a moment's pause is no fault, hence the limit of 2 s and the count.
sub on_time
{
	my ($test, @names) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $list = join ',', map { "'$_'" } @names;
	my ($late, $all) = (0, 0);
	for (1 .. 15)
	{
		my $n = $fed->sql('leo',
			"SELECT count(*) FROM pgfed.federation WHERE node IN ($list) AND seen < '2 s'
			    AND state IN ('running', 'streaming')");
		$all++;
		$late++ if $n != @names;
		usleep(150_000);
	}
	return cmp_ok($late, '<=', 1, "$test: @names on time ($all samples)");
}

my $ok   = qr/^streaming\|\|ok\|$/;
my $lost = qr/^unreachable\|(?:connect|tls|query)\|critical\|no (?:reply|connection) within/;

subtest 'names' => sub {
	$fed->sql('leo', q{SELECT pgfed.add_node('nowhere', 'nowhere.example')});
	says('leo', 'nowhere', qr/^unreachable\|resolve\|critical\|.*"nowhere\.example"/, 'a name that does not exist');
	like($fed->sql('leo', q{SELECT hint FROM pgfed.checks WHERE node = 'nowhere' AND name = 'peer'}),
		qr/nowhere\.example/, 'a hint names the name');
	says('pit', 'nowhere', qr/^unreachable\|resolve\|critical\|.*"nowhere\.example"/, 'a standby says so too');

	$dns->command('silent');
	$fed->sql('leo', q{SELECT pgfed.add_node('later', 'later.example', port => 9)});
	says('leo', 'later', qr/^unreachable\|resolve\|critical\|.*(?:resolve|translate)/, 'a name server that never answers');
	on_time('a silent name server', qw(leo ait pit));
	my $port = $fed->port('ait');
	$fed->sql('leo', qq{SELECT pgfed.set_node('later', host => '127.0.0.3', port => $port)});
	says('leo', 'later', qr/^unreachable\|query\|critical\|another node answers/,
		'a node with an address is dialled all the same');

	# A session that breaks now cannot be made again, until the name server is back.
	$fed->relay('pit')->command('reset');
	says('leo', 'pit', qr/^unreachable\|resolve\|critical\|/, 'a known name whose session broke');
	on_time('meanwhile', qw(leo ait));
	$dns->command('pass');
	says('leo', 'pit', $ok, 'the name server answers again');

	$dns->command('servfail');
	$fed->relay('pit')->command('reset');
	says('leo', 'pit', qr/^unreachable\|resolve\|critical\|/, 'a name server that fails');
	$dns->command('pass');
	says('leo', 'pit', $ok, 'and recovers');

	$fed->sql('leo', q{SELECT pgfed.remove_node('nowhere'), pgfed.remove_node('later')});
	$fed->poll('leo', q{SELECT count(*) FROM pgfed.federation}, 3);
};

subtest 'lost packets' => sub {
	PgFed::Net->drop('127.0.0.3');
	says($_, 'ait', $lost, "$_ has lost ait") foreach qw(leo pit);
	on_time('packets to and from ait are dropped', qw(leo pit));

	# What ait itself dials still gets through, so it is heard of.
	$fed->poll('leo', q{SELECT detail FROM pgfed.federation WHERE node = 'ait'},
		qr/it reached this server [\d.]+ s ago/, 20, 'leo has heard from ait');
	$fed->poll('leo', q{SELECT count(*) FROM pgfed.links WHERE observer = 'ait' AND target = 'leo' AND connected},
		1, 20, 'leo knows that ait reaches it');
	is($fed->sql('leo', q{SELECT connected FROM pgfed.links WHERE observer = 'leo' AND target = 'ait'}),
		'f', 'while leo does not reach ait');
	says('ait', $_, $_ eq 'leo' ? qr/^running\|\|ok/ : $ok, "ait sees $_ as ever") foreach qw(leo pit);
	PgFed::Net->restore('127.0.0.3');
	says($_, 'ait', $ok, "$_: recovered") foreach qw(leo pit);

	PgFed::Net->drop('127.0.0.3', direction => 'to');
	says('leo', 'ait', $lost,
		'one way: requests are lost');
	PgFed::Net->restore('127.0.0.3');
	says('leo', 'ait', $ok, 'recovered');
	PgFed::Net->drop('127.0.0.3', direction => 'from');
	says('leo', 'ait', $lost,
		'one way: replies are lost');
	PgFed::Net->restore('127.0.0.3');
	says('leo', 'ait', $ok, 'recovered');

	PgFed::Net->drop('127.0.0.3', loss => 15);
	on_time('a lossy path to ait', qw(leo pit));
	PgFed::Net->restore('127.0.0.3');
	says('leo', 'ait', $ok, 'recovered');
};

subtest 'slow paths' => sub {
	my $relay = $fed->relay('pit');
	my $rtt   = q{SELECT rtt > '0.3 s' FROM pgfed.peers WHERE node = 'pit'};
	is($fed->sql('leo', $rtt), 'f', 'quick before');
	$relay->command('delay 150');
	$fed->poll('leo', $rtt, 't', 20, 'the round trip shows the delay');
	says('leo', 'pit', $ok, 'a slow path is no fault');
	on_time('a slow path to pit', qw(leo ait pit));
	$relay->command('pass');
	$fed->poll('leo', $rtt, 'f', 20, 'quick again');

	$relay->command('throttle 3000');
	$fed->poll('leo', q{SELECT rtt > '0.1 s' FROM pgfed.peers WHERE node = 'pit'}, 't', 20,
		'the round trip shows a narrow path');
	says('leo', 'pit', $ok, 'a narrow path is no fault');
	$relay->command('pass');
	says('leo', 'pit', $ok, 'wide again');
};

subtest 'dead connections' => sub {
	my $relay = $fed->relay('pit');
	foreach my $fault ('cut up', 'cut down', 'silent', 'halfopen client', 'blackhole')
	{
		$relay->command($fault);
		says('leo', 'pit', $lost, "pit: $fault");
		$relay->command('pass');
		says('leo', 'pit', $ok, "pit: recovered from $fault");
	}
	$relay->command('refuse');
	$relay->command('reset');
	says('leo', 'pit', qr/^unreachable\|connect\|critical\|Connection refused/, 'pit: refuse');
	$relay->command('pass');
	says('leo', 'pit', $ok, 'pit: recovered from refuse');
	$relay->command('reset-after 300');
	says('leo', 'pit', qr/^unreachable\|(?:tls|authenticate|query)\|critical\|/, 'pit: dies in the middle');
	$relay->command('pass');
	says('leo', 'pit', $ok, 'pit: recovered');
};

subtest 'one observer' => sub {
	my $relay = $fed->relay('pit');
	$relay->command('for', $fed->node('leo')->data_dir, 'cut both');
	says('leo', 'pit', $lost, 'leo has lost pit');
	says('ait', 'pit', $ok, 'ait reaches pit');
	foreach my $observer (@nodes)
	{
		$fed->poll(
			$observer,
			q{SELECT string_agg(observer || '>' || target, ' ' ORDER BY observer, target)
			    FROM pgfed.links WHERE NOT connected},
			'leo>pit',
			20,
			"$observer: leo does not reach pit, and that is all");
	}
	like($fed->sql('ait', q{SELECT error FROM pgfed.links WHERE observer = 'leo' AND target = 'pit'}),
		qr/no (?:reply|connection) within/, 'ait knows why');
	$fed->poll('leo', q{SELECT detail FROM pgfed.federation WHERE node = 'pit'},
		qr/it reached this server [\d.]+ s ago/, 20, 'leo has heard from pit');
	is($fed->sql('leo', q{SELECT count(*) FROM pgfed.checks WHERE name IN ('duplicate', 'identity', 'primary')
		AND status <> 'ok'}), '0', 'nobody doubts who is who');
	$relay->command('pass');
	says('leo', 'pit', $ok, 'recovered');
};

is($fed->worker_pid($_, 'pgfed'), $pid{$_}, "$_: the worker has not been started again") foreach @nodes;
$fed->logs_clean;
done_testing();
