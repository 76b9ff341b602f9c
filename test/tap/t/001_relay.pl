# The test equipment itself: the fault relay, the fake peer, the certificates.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Cwd ();
use Errno qw(ECONNREFUSED ECONNRESET EINPROGRESS);
use File::Basename qw(dirname);
use IO::Select;
use IO::Socket::INET;
use IPC::Run ();
use PgFed::Certs;
use PgFed::FakePeer;
use PgFed::Relay;
use POSIX ();
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_ERROR);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC usleep);

$SIG{PIPE} = 'IGNORE';
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

# A target in this process: a listener from which the test accepts by hand.
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.2', Listen => 50, ReuseAddr => 1)
  or die "listen: $!";
my $relay = PgFed::Relay->start(target => '127.0.0.2:' . $listener->sockport);
like($relay->address, qr/^127\.0\.0\.1:\d+$/, 'the relay is ready');

sub dial
{
	return IO::Socket::INET->new(
		PeerAddr => $relay->host,
		PeerPort => $relay->port,
		Timeout  => 30);
}

sub next_server
{
	ready($listener, 'can_read', 30) or die "nobody dialled the target";
	my $server = $listener->accept;
	$server->blocking(1);
	return $server;
}

# (client, server): a pair connected through the relay
sub pair
{
	my $client = dial() or die "dial: $@";
	return ($client, next_server());
}

# What arrives until $want bytes are there, the stream ends ('EOF'), it is reset ('RST'), or time is up.
sub receive
{
	my ($fh, $want, $timeout) = @_;
	my $deadline = now() + ($timeout // 30);
	my $data     = '';
	while (length $data < $want)
	{
		return $data unless ready($fh, 'can_read', $deadline - now());
		my $n = sysread($fh, $data, $want - length $data, length $data);
		return $data . ($! == ECONNRESET ? 'RST' : "error $!") unless defined $n;
		return $data . 'EOF' unless $n;
	}
	return $data;
}

sub nothing { my ($fh, $name) = @_; return is(receive($fh, 1, 0.15), '', $name) }

# Can a connection be made? 'yes', 'refused' or 'no answer'
sub try_connect
{
	my $fh = IO::Socket::INET->new(
		PeerAddr => $relay->host,
		PeerPort => $relay->port,
		Blocking => 0) or return $! == ECONNREFUSED ? 'refused' : "error $!";
	return 'no answer' unless ready($fh, 'can_write', 0.3);
	my $error = unpack 'i', getsockopt($fh, SOL_SOCKET, SO_ERROR);
	return $error == 0 ? 'yes' : $error == ECONNREFUSED ? 'refused' : "error $error";
}

subtest 'pass' => sub {
	my ($client, $server) = pair();
	syswrite $client, 'ping';
	is(receive($server, 4), 'ping', 'up');
	syswrite $server, 'pong';
	is(receive($client, 4), 'pong', 'down');
	shutdown $client, 1;
	is(receive($server, 1), 'EOF', 'a half-close arrives');
	syswrite $server, 'late';
	is(receive($client, 4), 'late', 'and the other half still works');
	close $server;
	is(receive($client, 1), 'EOF', 'the end arrives');

	($client, $server) = pair();
	setsockopt($server, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
	close $server;
	is(receive($client, 1), 'RST', 'a reset arrives as a reset');

	# A megabyte in each direction at once, through bounded buffers.
	($client, $server) = pair();
	my $pid = fork();
	if (!$pid)
	{
		syswrite $server, 'x' x 1_000_000;
		POSIX::_exit(0);
	}
	is(length receive($client, 1_000_000), 1_000_000, 'a megabyte arrives');
	waitpid $pid, 0;
	is($relay->stats->{lost}, 0, 'nothing was lost');
};

subtest 'delay' => sub {
	my ($client, $server) = pair();
	$relay->command('delay 200');
	my $start = now();
	syswrite $client, 'a';
	usleep(20_000);
	syswrite $client, 'b';
	is(receive($server, 2), 'ab', 'in order');
	my $took = now() - $start;
	ok($took >= 0.215 && $took < 3, "two bytes sent 20 ms apart took $took s at a delay of 200 ms");
	$relay->command('pass');
	$start = now();
	syswrite $server, 'c';
	receive($client, 1);
	cmp_ok(now() - $start, '<', 0.19, 'pass ends it');
};

subtest 'throttle' => sub {
	my ($client, $server) = pair();
	$relay->command('throttle 100000');
	my $start = now();
	syswrite $client, 'x' x 50_000;
	is(length receive($server, 50_000), 50_000, 'all arrives');
	my $took = now() - $start;
	ok($took > 0.35 && $took < 3, "50 kB at 100 kB/s took $took s");

	# Backpressure: a sender that does not stop is stopped; the relay holds no more than its limit.
	$client->blocking(0);
	$relay->command('throttle 1000');
	my $sent = 0;
	while (defined(my $n = syswrite $client, 'y' x 65536)) { $sent += $n; last if $sent > 50_000_000 }
	usleep(100_000);
	cmp_ok($sent, '<', 50_000_000, 'the sender is held back');
	cmp_ok($relay->stats->{queued}, '<=', 256 * 1024 + 65536, 'the queue is bounded');
	$relay->command('reset');
	$relay->command('pass');
	is($relay->stats->{queued}, 0, 'and freed');
};

subtest 'cut' => sub {
	my ($client, $server) = pair();
	$relay->command('cut down');
	syswrite $server, 'lost';
	nothing($client, 'cut down: nothing comes down');
	syswrite $client, 'up';
	is(receive($server, 2), 'up', 'cut down: up still works');
	close $server;
	nothing($client, 'the end is swallowed as well');
	$relay->command('pass');
	nothing($client, 'what was cut stays dead');

	($client, $server) = pair();
	$relay->command('cut up');
	syswrite $client, 'lost';
	nothing($server, 'cut up: nothing goes up');
	syswrite $server, 'down';
	is(receive($client, 4), 'down', 'cut up: down still works');
	$relay->command('cut both');
	my ($later, $later_server) = pair();
	syswrite $later, 'x';
	syswrite $later_server, 'x';
	nothing($later,        'cut both: also for later connections, down');
	nothing($later_server, 'and up');
	cmp_ok($relay->stats->{lost}, '>', 0, 'the loss is counted');
	$relay->command('pass');
	my ($fresh, $fresh_server) = pair();
	syswrite $fresh, 'hello';
	is(receive($fresh_server, 5), 'hello', 'after pass new connections work');
	$relay->command('reset');
};

subtest 'hold and silent' => sub {
	my ($client, $server) = pair();
	$relay->command('hold up');
	syswrite $client, 'later';
	nothing($server, 'hold: nothing goes up');
	$relay->command('pass');
	is(receive($server, 5), 'later', 'pass: the held bytes arrive');

	$relay->command('silent');
	syswrite $server, 'mute';
	nothing($client, 'silent: nothing comes on an existing connection');
	my $new = dial();
	ok($new, 'silent: accepts');
	syswrite $new, 'hello';
	ok(!ready($listener, 'can_read', 0.1), 'silent: does not dial the target');
	$relay->command('pass');
	is(receive($client, 4), 'mute', 'pass: the old one goes on');
	is(receive(next_server(), 5), 'hello', 'pass: the new one is connected');
	$relay->command('reset');
};

subtest 'refuse, halfopen, blackhole' => sub {
	my ($client, $server) = pair();
	$relay->command('refuse');
	is(try_connect(), 'refused', 'refuse');
	syswrite $client, 'still';
	is(receive($server, 5), 'still', 'existing connections go on');
	$relay->command('accept');
	is(try_connect(), 'yes', 'accept');
	next_server();

	$relay->command('halfopen');
	is(receive($server, 1), 'RST', 'halfopen: the server side is reset');
	syswrite $client, 'anybody there?';
	nothing($client, 'halfopen: the client side looks alive, and is dead');
	is(try_connect(), 'no answer', 'halfopen: a SYN is not answered');
	$relay->command('pass');
	is(try_connect(), 'yes', 'pass: it is again');
	next_server();
	nothing($client, 'the dead one stays dead');

	($client, $server) = pair();
	$relay->command('halfopen server');
	is(receive($client, 1), 'RST', 'halfopen server: the client side is reset');
	nothing($server, 'halfopen server: the server side is not told');
	$relay->command('pass');

	($client, $server) = pair();
	$relay->command('blackhole');
	syswrite $client, 'x';
	nothing($server, 'blackhole: nothing goes');
	is(try_connect(), 'no answer', 'blackhole: a SYN is not answered');
	$relay->command('pass');
	is(receive($server, 1), 'x', 'blackhole: nothing was lost');
};

subtest 'reset and close' => sub {
	my ($client, $server) = pair();
	$relay->command('reset');
	is(receive($_, 1), 'RST', 'reset') foreach $client, $server;
	($client, $server) = pair();
	$relay->command('close');
	is(receive($_, 1), 'EOF', 'close') foreach $client, $server;

	($client, $server) = pair();
	$relay->command('reset-after 10');
	syswrite $server, 'x' x 100;
	is(receive($client, 100), 'x' x 10 . 'RST', 'reset-after: exactly so many bytes');
	$relay->command('close-after 3');
	for my $round (1, 2)
	{
		($client, $server) = pair();
		syswrite $server, 'abcdef';
		is(receive($client, 6), 'abcEOF', "close-after, connection $round");
	}
	$relay->command('pass');
	($client, $server) = pair();
	syswrite $server, 'abcdef';
	is(receive($client, 6), 'abcdef', 'pass ends it');
};

subtest 'one client only' => sub {

	# Two clients, told apart by their current directory, as two servers are.
	my $here = PostgreSQL::Test::Utils::tempdir();
	my %end;
	foreach my $dir ($here, '/')
	{
		pipe(my $commands, my $say) or die;
		pipe(my $answers, my $tell) or die;
		my $pid = fork();
		if (!$pid)
		{
			close $say;
			close $answers;
			chdir $dir or POSIX::_exit(1);
			my $fh = dial();
			syswrite $tell, 'dialled ';
			while (sysread $commands, my $line, 1)
			{
				syswrite $fh, 'x';
				syswrite $tell, receive($fh, 1, 0.2) eq 'y' ? 'y' : '-';
			}
			POSIX::_exit(0);
		}
		receive($answers, 8);
		$end{$dir} = { say => $say, answers => $answers, server => next_server(), pid => $pid };
	}
	my $ask = sub {
		my ($who) = @_;
		syswrite $end{$who}{say}, '?';
		syswrite $end{$who}{server}, 'y' if receive($end{$who}{server}, 1, 0.2) eq 'x';
		return receive($end{$who}{answers}, 1);
	};
	$relay->command('for', Cwd::abs_path($here), 'cut both');
	is($ask->($here), '-', 'the named one is cut');
	is($ask->('/'),   'y', 'the other is not');
	$relay->command('pass');
	close $_->{say}       foreach values %end;
	waitpid $_->{pid}, 0 foreach values %end;
	eval { $relay->command('for /tmp refuse') };
	like($@, qr/error refuse concerns the listening socket/, 'not for the listening socket');
};

subtest 'the relay itself' => sub {
	eval { $relay->command('frobnicate') };
	like($@, qr/error unknown command/, 'an unknown command is an error');
	my $dead = PgFed::Relay->start(target => '127.0.0.2:1');
	my $fh   = IO::Socket::INET->new(PeerAddr => $dead->host, PeerPort => $dead->port);
	is(receive($fh, 1), 'RST', 'a target that is not there: the client is reset');
	is($dead->stats->{failed}, 1, 'and counted');

	# Idle relays use no processor time, even with connections that one side has left.
	my ($client, $server) = pair();
	$relay->command('cut both');
	close $server;
	my $ticks = sub {
		open(my $fh, '<', '/proc/' . $relay->pid . '/stat') or die;
		my @f = split ' ', <$fh> =~ s/^.*\) //r;
		return $f[11] + $f[12];
	};
	my $before = $ticks->();
	usleep(300_000);
	cmp_ok($ticks->() - $before, '<=', 3, 'no busy loop');

	my $pid = $relay->pid;
	$relay->stop;
	ok(!kill(0, $pid), 'it ends when its input ends');

	# The command socket, for shell scripts.
	my $socket  = PostgreSQL::Test::Utils::tempdir_short() . '/control';
	my $program = dirname(__FILE__) . '/../../net/relay';
	my $shell   = fork();
	if (!$shell)
	{
		open STDIN, '<', '/dev/null';
		exec $program, '--control', $socket, '--follow', getppid(), '127.0.0.1:0', '127.0.0.2:1';
	}
	for (1 .. 100) { last if -S $socket; usleep(20_000) }
	like(`$program --send $socket stats`, qr/^ok open=0 /, 'commands by unix socket');
	is(system("$program --send $socket nonsense >/dev/null"), 256, 'exit status 1 on error');
	system("$program --send $socket quit");
	waitpid $shell, 0;
	is($?, 0, 'quit');
};

# ---------------------------------------------------------------- fake-peer, with the real libpq

my $dir    = PostgreSQL::Test::Utils::tempdir();
my $record = "$dir/request";
my $peer   = PgFed::FakePeer->start(mode => 'bad-reply', record => $record);

# What psql makes of it: (status, standard output, standard error)
sub psql
{
	my ($query, %more) = @_;
	my $conninfo = join ' ', map { "$_='$more{$_}'" } keys %more;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[
			'psql', '-XAt', '-d',
			'host=127.0.0.1 port=' . $peer->port . ' user=joe dbname=joe connect_timeout=30 ' . $conninfo
		],
		'<', \$query, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	$run->finish;
	chomp($out, $err);
	return ($run->result(0), $out, $err);
}

subtest 'fake-peer: no session' => sub {
	foreach my $case (
		[ 'error 53300 sorry, too many clients already', qr/FATAL:  sorry, too many clients already/ ],
		[ 'error 57P03 the database system is starting up', qr/FATAL:  the database system is starting up/ ],
		[ 'close',       qr/server closed the connection unexpectedly|SSL/ ],
		[ 'garbage',     qr/invalid response|expected authentication|received invalid/ ],
		[ 'tls-garbage', qr/SSL error/ ],
		[ 'query-error 42883 no such function', qr/ERROR:  no such function/ ],
		[ 'query-fatal 57P01 shutting down',    qr/FATAL:  shutting down/ ],
		[ 'half-reply die',                     qr/server closed the connection|insufficient|lost sync/ ],)
	{
		my ($mode, $expected) = @$case;
		$peer->command("mode $mode");
		my (undef, undef, $err) = psql('SELECT 1;', sslmode => $mode =~ /^tls/ ? 'require' : 'disable');
		like($err, $expected, $mode);
	}
	$peer->command('mode silent');
	my $start = now();
	my (undef, undef, $err) = psql('SELECT 1;', connect_timeout => 2);
	like($err, qr/timeout expired/, 'silent');
};

subtest 'fake-peer: replies' => sub {
	$peer->command('mode bad-reply 16');
	my ($status, $out, $err) = psql('SELECT 1;');
	like($out, qr/^\\x[0-9a-f]{32}$/, 'bad-reply: random bytes');
	my $file = "$dir/reply.hex";
	append_to_file($file, "48 65 6c\n6c 6f\n");
	$peer->command("mode reply-hex $file");
	(undef, $out) = psql('SELECT 1;');
	is($out, '\x48656c6c6f', 'reply-hex: the bytes of the file');
	(undef, $out, $err) = psql("BEGIN;\nSET x = 1;\nSELECT 1;");
	is($out, "SET\nSET\n\\x48656c6c6f", 'other commands are answered with a tag');
	$peer->command('mode null-row');
	(undef, $out) = psql("\\pset null none\nSELECT 1;");
	like($out, qr/none$/, 'null-row');
	$peer->command('mode two-rows');
	(undef, $out) = psql('SELECT 1;', application_name => 'me');
	is($out, "\\x01020304\n\\x01020304", 'two-rows');
	my $stats = $peer->stats;
	is("$stats->{user} $stats->{database}", 'joe joe', 'it tells who came');
	is($stats->{application}, 'me', 'and with which application_name');

	# The extended protocol with parameters and binary results; psql has \bind from 16 on, so by hand.
	$peer->command("mode reply-hex $file");
	my $fh = IO::Socket::INET->new(PeerAddr => $peer->host, PeerPort => $peer->port) or die;
	my $m = sub { my ($type, $body) = @_; return $type . pack('N', 4 + length $body) . $body };
	syswrite $fh, pack('N', 8 + 9 + 1) . pack('N', 196608) . "user\0joe\0\0";
	syswrite $fh,
	    $m->('P', "\0SELECT pgfed.exchange(\$1)\0" . pack('n', 0))
	  . $m->('B', "\0\0" . pack('nnnNa5nn', 1, 1, 1, 5, 'hello', 1, 1))
	  . $m->('D', "P\0")
	  . $m->('E', "\0" . pack('N', 0))
	  . $m->('S', '');
	my $got = '';
	my $deadline = now() + 30;
	while ($got !~ /Hello.*Z\x00\x00\x00\x05I$/s && now() < $deadline) { $got .= receive($fh, 1, 0.5) }
	like($got, qr/1\x00{3}\x{04}2\x00{3}\x{04}T.*exchange.*D\x00{3}\x{0f}\x00\x01\x00{3}\x05HelloC/s,
		'the extended protocol, binary');
	is(slurp_file($record), 'hello', 'the request is recorded');
};

subtest 'fake-peer: floods' => sub {
	$peer->command('drop');
	foreach my $mode ('huge-row 300', 'endless-rows', 'endless-notice')
	{
		$peer->command("mode $mode");
		my $fh = IO::Socket::INET->new(PeerAddr => $peer->host, PeerPort => $peer->port) or die;
		syswrite $fh, pack('N', 8 + 9 + 1) . pack('N', 196608) . "user\0joe\0\0";
		syswrite $fh, "Q" . pack('N', 4 + 9) . "SELECT 1\0";
		is(length receive($fh, 3_000_000), 3_000_000, "$mode: it keeps coming");
		close $fh;
	}
	my $deadline = now() + 30;
	usleep(20_000) while $peer->stats->{open} > 0 && now() < $deadline;
	is($peer->stats->{open}, 0, 'its processes end with their connections');
};

subtest 'certificates' => sub {
	my $certs = PgFed::Certs->new("$dir/certs");
	my $start = now();
	$certs->make(qw(--ca ca --server leo --ip 127.0.0.1 --dns leo.example --client joe),
		qw(--server old --ip 127.0.0.1 --expired --server nameless --no-san),
		qw(--client soon --not-yet-valid --ca other --client stranger));
	note(sprintf 'eight certificates in %.2f s', now() - $start);
	my $before = $certs->sha256('server-leo');
	$certs->make(qw(--ca ca --server leo --ip 127.0.0.1 --dns leo.example));
	is($certs->sha256('server-leo'), $before, 'made once only');
	$certs->make(qw(--server leo --ip 127.0.0.1 --dns other.example));
	isnt($certs->sha256('server-leo'), $before, 'made anew with other names');
	is((stat $certs->key('server-leo'))[2] & 07777, 0600, 'keys are private');
	my $verify = sub {
		my ($name) = @_;
		return scalar `openssl verify -CAfile '@{[$certs->ca]}' '@{[$certs->crt($name)]}' 2>&1`;
	};
	like($verify->('server-leo'), qr/: OK$/, 'a good one');
	like($verify->('server-old'), qr/certificate has expired/, 'an expired one');
	like($verify->('client-soon'), qr/not yet valid/, 'one of tomorrow');
	like($verify->('client-stranger'), qr/unable to get local issuer/, 'another authority');

  SKIP:
	{
		skip 'IO::Socket::SSL is not installed', 3 unless eval { require IO::Socket::SSL; 1 };
		$peer->stop;
		my $file = "$dir/reply.hex";
		foreach my $case ([ 'leo', '' ], [ 'old', qr/certificate verify failed/ ], [ 'nameless', qr/does not match host name/ ])
		{
			my ($server, $error) = @$case;
			$peer = PgFed::FakePeer->start(
				mode      => "reply-hex $file",
				certs     => $certs,
				server    => $server,
				client_ca => 'ca');
			my (undef, $out, $err) = psql(
				'SELECT 1;',
				sslmode     => 'verify-full',
				sslrootcert => $certs->ca,
				sslcert     => $certs->crt('client-joe'),
				sslkey      => $certs->key('client-joe'));
			if   ($error) { like($err, $error, "fake-peer with TLS: certificate $server") }
			else          { is("$out$err", '\x48656c6c6f', 'fake-peer with TLS, verify-full') }
			$peer->stop;
		}
	}
};

done_testing();
