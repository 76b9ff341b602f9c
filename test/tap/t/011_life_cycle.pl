# The workers' life: what is missing, goes away and comes back around them; and what they must never
# hold up.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PgFed::Federation;
use Test::More;
use Time::HiRes qw(time);

my $fed = PgFed::Federation->new(
	nodes     => [qw(leo ait)],
	database  => 'fed',
	extension => 0,
	table     => 0,
	conf      => "pgfed.peer_interval = 300ms\npgfed.peer_timeout = 1s\nrestart_after_crash = on\n");
$fed->start;

# In the database `fed`, and in another one.
sub fed { my ($node, $sql) = @_; return $fed->query($node, $sql) }

sub admin
{
	my ($node, $sql, %p) = @_;
	return $fed->query($node, $sql, connstr => $fed->node($node)->connstr('postgres'), %p);
}

# ---------------------------------------------------------------- database and extension missing

ok($fed->wait_worker('leo', 'pgfed catalog'), 'the catalog worker waits for a database that is missing');
my $worker = $fed->worker_pid('leo', 'pgfed');
ok(!$fed->log_contains('leo', qr/pgfed.*database "fed" does not exist/), 'without filling the log');

my ($out, $err) = admin('leo', 'CREATE DATABASE fed');
is($err, '', 'the database is created');
($out, $err) = fed('leo', 'CREATE EXTENSION pgfed');
is($err, '', 'created in its database');
($out, $err) = admin('leo', 'CREATE EXTENSION pgfed');
like($err, qr/ERROR:.*pgfed/, 'and in no other');
fed('leo', "SELECT pgfed.allow_peer('pgfed')");

sub poll_fed
{
	my ($node, $sql, $expected, $test, $timeout) = @_;
	my $deadline = time + ($timeout // 20);
	my ($last, $error) = ('', '');
	while (time < $deadline)
	{
		($last, $error) = fed($node, $sql);
		return ok(1, $test) if $last eq $expected;
		Time::HiRes::usleep(50_000);
	}
	is($last, $expected, $test);
	diag $error if $error;
	return;
}
sub status_of { return "SELECT status FROM pgfed.checks WHERE name = '$_[0]' ORDER BY status LIMIT 1" }
my $steady = q{SELECT string_agg(node || ' ' || state, ', ' ORDER BY node) FROM pgfed.federation};

poll_fed('leo', status_of('settings'), 'critical', 'its own name is not in the table yet');
foreach my $name (qw(leo ait))
{
	fed('leo', "SELECT pgfed.add_node('$name', '" . $fed->address($name) . "', " . $fed->port($name) . ')');
}
poll_fed($_, $steady, 'ait streaming, leo running', "$_: the federation stands") foreach qw(leo ait);

# ---------------------------------------------------------------- dropped and created again

fed('leo', 'DROP EXTENSION pgfed');
($out, $err) = fed('leo', 'CREATE EXTENSION pgfed');
is($err, '', 'dropped and created again at once');
poll_fed('leo', 'SELECT count(*) FROM pgfed.federation', '0', 'with an empty table');
fed('leo', "SELECT pgfed.allow_peer('pgfed')");
foreach my $name (qw(leo ait))
{
	fed('leo', "SELECT pgfed.add_node('$name', '" . $fed->address($name) . "', " . $fed->port($name) . ')');
}
poll_fed($_, $steady, 'ait streaming, leo running', "$_: the federation stands again") foreach qw(leo ait);

# ---------------------------------------------------------------- commands that need the database alone

sub quickly
{
	my ($sql, $test) = @_;
	my $start = time;
	my ($stdout, $stderr) = admin('leo', $sql, timeout => 30);
	my $took = time - $start;
	is($stderr, '', "$test: no error");
	# Postgres itself would wait 5 s for those who do not leave, and then fail.
	cmp_ok($took, '<', 4.5, sprintf('%s: at once, not after a wait (%.2f s)', $test, $took));
	return;
}
quickly('CREATE DATABASE copy TEMPLATE fed', 'CREATE DATABASE … TEMPLATE');
poll_fed($_, $steady, 'ait streaming, leo running', "$_: and goes on after it") foreach qw(leo ait);
($out, $err) = fed('leo', 'CREATE DATABASE second TEMPLATE fed');
is($err, '', 'also from a session in that database');
quickly('ALTER DATABASE fed RENAME TO other', 'ALTER DATABASE … RENAME');
quickly('ALTER DATABASE other RENAME TO fed', '… and back');
poll_fed($_, $steady, 'ait streaming, leo running', "$_: and goes on after it") foreach qw(leo ait);
quickly('DROP DATABASE fed', 'DROP DATABASE');
quickly('ALTER DATABASE copy RENAME TO fed', 'its copy takes the name');
poll_fed($_, $steady, 'ait streaming, leo running', "$_: and goes on with the copy") foreach qw(leo ait);
is($fed->worker_pid('leo', 'pgfed'), $worker, 'the federation worker has lived through all of this');

# ---------------------------------------------------------------- LOCK TABLE

{
	my ($in, $log) = ('', '');
	my $handle = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $fed->node('leo')->connstr('fed') ],
		'<', \$in, '>', \$log, '2>&1', IPC::Run::timeout(120));
	$in .= "BEGIN; LOCK TABLE pgfed.nodes IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n";
	$handle->pump until $log =~ /locked/;
	my $late = 0;
	my $end  = time + 5;
	while (time < $end)
	{
		my ($seen) = fed('leo', q{SELECT coalesce(max(seen) < '2s', false) FROM pgfed.federation});
		++$late if $seen ne 't';
		Time::HiRes::usleep(100_000);
	}
	is($late, 0, 'peers stay on time while pgfed.nodes is locked');
	$in .= "COMMIT;\n\\q\n";
	$handle->finish;
}

# ---------------------------------------------------------------- mode, SIGHUP

$fed->set_conf('ait', "pgfed.mode = off\n");
poll_fed('ait', q{SELECT string_agg(state, ',') FROM pgfed.peers}, 'idle,idle', 'off: sessions are closed');
poll_fed('ait', q{SELECT status FROM pgfed.federation WHERE node = 'leo'}, 'unknown', 'off: and the views say so');
poll_fed('leo', $steady, 'ait streaming, leo running', 'off: it still answers the others');
$fed->set_conf('ait', "pgfed.mode = observe\n");
poll_fed('ait', $steady, 'ait streaming, leo running', 'observe: it sees everything');
$fed->set_conf('ait', "pgfed.mode = active\n");
poll_fed('ait', $steady, 'ait streaming, leo running', 'active again');
poll_fed('ait', q{SELECT count(*) FROM pgfed.events WHERE event = 'mode_changed'}, '3', 'each with an event');

# ---------------------------------------------------------------- a worker that does not run

$fed->signal_worker('leo', 'pgfed', 'STOP');
poll_fed('leo', q{SELECT string_agg(DISTINCT status, ',') FROM pgfed.federation}, 'unknown', 'a stopped worker never shows green');
poll_fed('leo', q{SELECT status || ' ' || (hint IS NOT NULL) FROM pgfed.checks WHERE name = 'worker'}, 'critical true',
	'and the reader says why');
$fed->signal_worker('leo', 'pgfed', 'CONT');
poll_fed('leo', $steady, 'ait streaming, leo running', 'it goes on');
poll_fed('leo', q{SELECT count(*) FROM pgfed.checks WHERE name = 'worker' AND status <> 'ok'}, '0', 'and the check is over');

$fed->signal_worker('leo', 'pgfed', 'TERM');
$fed->poll('leo', 'SELECT 1', '1', 5, 'the server lives');
my $deadline = time + 20;
Time::HiRes::usleep(50_000) until ($fed->worker_pid('leo', 'pgfed') // $worker) != $worker || time > $deadline;
isnt($fed->worker_pid('leo', 'pgfed') // $worker, $worker, 'a terminated worker is started again');
poll_fed('leo', $steady, 'ait streaming, leo running', 'and takes up its work');

# ---------------------------------------------------------------- crash and clean restart

my $last = (fed('leo', 'SELECT max(id) FROM pgfed.events'))[0];
cmp_ok($last, '>', 3, 'there are events');
$fed->restart_node('leo');
poll_fed('leo', $steady, 'ait streaming, leo running', 'a clean restart');
is((fed('leo', "SELECT count(*) FROM pgfed.events WHERE id <= $last"))[0], $last, 'events are kept across it');

my $backend = (fed('leo', 'SELECT pid FROM pg_stat_activity WHERE backend_type = \'checkpointer\''))[0];
kill 'KILL', $backend;
$fed->wait_log('leo', qr/all server processes terminated; reinitializing/, 20);
poll_fed('leo', $steady, 'ait streaming, leo running', 'a crash restart', 40);
poll_fed('leo', q{SELECT string_agg(status, ',') FROM pgfed.checks WHERE name IN ('identity', 'duplicate')},
	'ok,ok,ok', 'after which nobody is taken for a copy');

# ---------------------------------------------------------------- fast shutdown with a hung peer

$fed->stop_signal('ait');
poll_fed('leo', q{SELECT state FROM pgfed.federation WHERE node = 'ait'}, 'unreachable', 'a stopped peer');
my $pid   = $fed->worker_pid('leo', 'pgfed');
my $start = time;
kill 'TERM', $pid;
Time::HiRes::usleep(10_000) while kill(0, $pid) && time < $start + 10;
cmp_ok(time - $start, '<', 1.0, 'the worker leaves within a second whatever its peers do');
$fed->cont('ait');
poll_fed('leo', $steady, 'ait streaming, leo running', 'the peer is back');

# The same by a shutdown. Postgres itself waits for a standby to take the last WAL, until this timeout.
$fed->set_conf('leo', "wal_sender_timeout = 2s\n");
$fed->poll('leo', 'SHOW wal_sender_timeout', '2s', 10);
$fed->stop_signal('ait');
poll_fed('leo', q{SELECT state FROM pgfed.federation WHERE node = 'ait'}, 'unreachable', 'a stopped peer again');
{
	my %left = map { $fed->wait_worker('leo', $_) => $_ } ('pgfed', 'pgfed catalog');
	is(scalar keys %left, 2, 'both workers run');
	my $leo  = $fed->node('leo');
	my $log  = '';
	my $stop = IPC::Run::start(
		[ 'pg_ctl', 'stop', '-m', 'fast', '-w', '-t', '60', '-D', $leo->data_dir ],
		'>', \$log, '2>&1', IPC::Run::timeout(90));
	my $begin = time;
	my %took;
	while (%left && time < $begin + 30)
	{
		foreach my $gone (grep { !PgFed::Faults::alive($_) } keys %left)
		{
			$took{ delete $left{$gone} } = time - $begin;
		}
		Time::HiRes::usleep(5_000);
	}
	ok($stop->finish, 'a fast shutdown with a hung peer') or diag $log;
	my $whole = time - $begin;
	$leo->{_pid} = undef;
	# Within a second on a machine of its own.
	cmp_ok($took{$_} // 30, '<', 3, sprintf('%s leaves at once (%.2f s)', $_, $took{$_} // 30))
	  foreach 'pgfed', 'pgfed catalog';
	cmp_ok($whole, '<', 8, sprintf('and holds up nothing (%.2f s)', $whole));
}
$fed->cont('ait');
$fed->start_node('leo');
poll_fed('leo', $steady, 'ait streaming, leo running', 'both are back', 40);

# ---------------------------------------------------------------- hot_standby = off

$fed->set_conf('ait', "hot_standby = off\n");
$fed->restart_node('ait');
poll_fed('leo', q{SELECT state || ' ' || status FROM pgfed.federation WHERE node = 'ait'}, 'starting warning',
	'a standby that takes no connections is alive, and starting');

ok(!$fed->log_contains($_, qr/PANIC|TRAP:|terminated by signal (?!9:)/), "$_ has met no error of its own") foreach qw(leo ait);
done_testing();
