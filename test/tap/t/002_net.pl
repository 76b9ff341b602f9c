# A network of the test's own: packet loss, name servers, and a PostgreSQL server in it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PgFed::Net -enter;

use IO::Select;
use IO::Socket::INET;
use PgFed::Dns;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_ERROR);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# Wait until a handle can be read or written; a signal (a child's end) does not end the wait.
sub ready
{
	my ($fh, $how, $timeout) = @_;
	my $deadline = now() + $timeout;
	for (;;)
	{
		my $left = $deadline - now();
		return 0 if $left <= 0;
		return 1 if IO::Select->new($fh)->$how($left);
	}
}

ok(PgFed::Net->entered, 'in a network of our own');
my @devices = map { /^\s*(\w+):/ ? $1 : () } split /\n/, slurp_file('/proc/net/dev');
ok(!(grep { /^(?:eth|en|wl)/ } @devices), "no way out (devices: @devices)");

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.3', Listen => 10) or die "listen: $@";
my $port     = $listener->sockport;

sub try_connect
{
	my ($address) = @_;
	my $fh = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port, Blocking => 0);
	return 'refused'   unless $fh;
	return 'no answer' unless ready($fh, 'can_write', 0.3);
	return unpack('i', getsockopt($fh, SOL_SOCKET, SO_ERROR)) ? 'refused' : 'yes';
}

sub receive
{
	my ($fh, $timeout) = @_;
	return '' unless ready($fh, 'can_read', $timeout);
	my $n = sysread($fh, my $data, 100);
	return defined $n ? $data : "error $!";
}

subtest 'packet loss' => sub {
	my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.3', PeerPort => $port) or die;
	my $server = $listener->accept;
	syswrite $client, 'one';
	is(receive($server, 2), 'one', 'before');
	PgFed::Net->drop('127.0.0.3');
	syswrite $client, 'two';
	is(receive($server, 0.3), '', 'dropped: nothing arrives');
	is(receive($client, 0.1), '', 'and the sender is told nothing');
	is(try_connect('127.0.0.3'), 'no answer', 'a SYN is not answered');
	is(try_connect('127.0.0.4'), 'refused',   'other addresses are not affected');
	PgFed::Net->restore('127.0.0.3');
	is(receive($server, 5), 'two', 'restored: it is retransmitted');
	is(try_connect('127.0.0.3'), 'yes', 'and connections can be made');

	PgFed::Net->drop('127.0.0.3', direction => 'from');
	syswrite $client, 'three';
	is(receive($server, 2), 'three', 'replies dropped: the request arrives');
	syswrite $server, 'reply';
	is(receive($client, 0.3), '', 'the reply does not');
	PgFed::Net->restore;
	is(receive($client, 5), 'reply', 'until restored');

	PgFed::Net->drop('127.0.0.3', port => $port + 1);
	is(try_connect('127.0.0.3'), 'yes', 'another port');
	PgFed::Net->restore;
	PgFed::Net->drop('127.0.0.3', port => $port);
	is(try_connect('127.0.0.3'), 'no answer', 'this port');
	PgFed::Net->restore;
	PgFed::Net->drop('127.0.0.3', loss => 50);
	PgFed::Net->restore;
};

subtest 'names' => sub {

	# What the C library makes of it, in a new process each time.
	my $lookup = sub { my ($name) = @_; my $line = `getent ahostsv4 $name`; return (split ' ', $line)[0] };
	PgFed::Net->hosts("127.0.0.1 localhost\n127.0.0.7 leo.example\n");
	PgFed::Net->resolv_conf("nameserver 127.0.0.99\noptions timeout:1 attempts:1\n");
	is($lookup->('leo.example'), '127.0.0.7', '/etc/hosts');
	PgFed::Net->hosts("127.0.0.8 leo.example\n");
	is($lookup->('leo.example'), '127.0.0.8', '/etc/hosts, changed');

	my $dns = PgFed::Dns->start(names => { 'ait.example' => '127.0.0.3' });
	is($lookup->('ait.example'), '127.0.0.3', 'the name server answers');
	is($lookup->('pit.example'), undef, 'a name that does not exist');
	$dns->command('set pit.example 127.0.0.4');
	is($lookup->('pit.example'), '127.0.0.4', 'and then does');
	$dns->command('servfail');
	is($lookup->('pit.example'), undef, 'a failing name server');
	$dns->command('silent');
	my $start = now();
	is($lookup->('pit.example'), undef, 'a silent name server');
	cmp_ok(now() - $start, '>', 0.9, 'takes its time');
	cmp_ok($dns->stats->{queries}, '>=', 4, 'the questions came');
	$dns->stop;
	PgFed::Net->silent_dns;
	like(slurp_file('/etc/resolv.conf'), qr/127\.0\.0\.99/, 'silent_dns');
};

subtest 'a server in it' => sub {
	my $node = PostgreSQL::Test::Cluster->new('leo');
	$node->init;
	$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.2'");
	$node->start;
	my $psql = sub {
		my ($out, $err) = ('', '');
		IPC::Run::run(
			[
				'psql', '-XAt', '-c', 'SELECT 1', '-d',
				'host=127.0.0.2 connect_timeout=2 dbname=postgres port=' . $node->port
			],
			'>', \$out, '2>', \$err);
		return "$out$err";
	};
	is($psql->(), "1\n", 'reached by TCP');
	PgFed::Net->drop('127.0.0.2');
	like($psql->(), qr/timeout expired/, 'not when packets are dropped');
	is($node->safe_psql('postgres', 'SELECT 2'), '2', 'but by its unix socket');
	PgFed::Net->restore;
	is($psql->(), "1\n", 'reached again');
	$node->stop;
};

done_testing();
