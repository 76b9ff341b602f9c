# pgfed.probe() in a backend: it ends at once when it is told to, leaves nothing behind, and is not steered
# by the environment that the server was started in.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use IO::Socket::INET;
use IPC::Run ();
use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fed = PgFed::Federation->new(nodes => ['leo'], conf => "pgfed.tls_interval = 1s\n");
{
	# What libpq would take for sslmode, sslrootcert and so on where nothing else is said.
	local @ENV{qw(PGSSLROOTCERT PGSSLCERT PGSSLKEY PGSSLCRL PGSSLMODE PGSSLSNI PGSSLMINPROTOCOLVERSION
		  PGSSLMAXPROTOCOLVERSION)} =
	  qw(/nowhere/ca /nowhere/crt /nowhere/key /nowhere/crl disable 0 TLSv1 TLSv1);
	$fed->start;
}
my $address = $fed->address('leo');
my $port    = $fed->port('leo');

# Takes connections (the kernel does that by itself) and says nothing.
my $silent = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', Proto => 'tcp')
  or die "cannot listen: $@";
my $nowhere = "pgfed.probe('127.0.0.1', " . $silent->sockport . ')';

subtest 'an endpoint that is well' => sub {
	my $steps = $fed->sql('leo', "SELECT stage, ok, detail FROM pgfed.probe('$address', $port)");
	like($steps, qr/^diagnosis\|t\|ok$/m, 'is found to be so');
	unlike($steps, qr/\|f\|/, 'at every step');
	like($steps, qr/^$_\|t\|/m, "there is a step $_")
	  foreach qw(resolve connect negotiate handshake chain name client);
	my ($once, $sum) = split /\|/, $fed->sql('leo',
		"SELECT count(*) FILTER (WHERE stage = 'diagnosis'), sum(elapsed) FILTER (WHERE stage <> 'diagnosis')
		     <= max(elapsed) FILTER (WHERE stage = 'diagnosis') FROM pgfed.probe('$address', $port)");
	is($once, 1,   'one diagnosis');
	is($sum,  't', 'whose time is that of all steps');
	$fed->poll('leo', 'SELECT diagnosis FROM pgfed.tls', 'ok', 30, 'the worker comes to the same verdict');
	is( $fed->sql('leo',
			"SELECT certificate, expires_in > '1 h' AND expires_in = date_trunc('milliseconds', expires_in)
			   FROM pgfed.federation"), 'ok|t', 'and so does pgfed.federation');
};

subtest 'certificates' => sub {
	$fed->poll('leo', "SELECT count(*) > 0 FROM pgfed.certificates WHERE source = 'ssl_cert_file'", 't');
	my $crt = $fed->sql('leo', 'SHOW ssl_cert_file');
	my ($sha256) = `openssl x509 -in '$crt' -noout -fingerprint -sha256` =~ /=(\S+)/;
	$sha256 = lc $sha256 =~ tr/://dr;
	is( $fed->sql('leo', "SELECT DISTINCT sha256 FROM pgfed.certificates
			WHERE source IN ('served', 'ssl_cert_file') AND depth = 0"), $sha256,
		'what is served is what lies on the disk, by its fingerprint');
	is( $fed->sql('leo', "SELECT source, path IS NULL FROM pgfed.certificates WHERE source = 'served' AND depth = 0"),
		'served|t', 'what is served has no path');
	my ($serial) = `openssl x509 -in '$crt' -noout -serial` =~ /=(\S+)/;
	my ($end)    = `openssl x509 -in '$crt' -noout -enddate` =~ /=(.*)/;
	is( $fed->sql('leo', "SELECT serial, not_after = '$end'::timestamptz,
			abs(extract(epoch FROM not_after - now() - expires_in)) < 1, '$address' = ANY (ip_addresses), path = '$crt'
			FROM pgfed.certificates WHERE source = 'ssl_cert_file' AND depth = 0"),
		"$serial|t|t|t|t", 'serial, end, names and path');
	my @anchors = split /\n/, $fed->sql('leo', "SELECT DISTINCT anchor FROM pgfed.certificates WHERE depth = 0
			AND source IN ('served', 'ssl_cert_file')");
	is(scalar(@anchors), 1, 'both end in the same anchor');
	like($anchors[0], qr/^[0-9a-f]{64}$/, 'which is a fingerprint');
};

subtest 'it ends when it is told to' => sub {
	my $fds = "SELECT count(*) FROM pg_ls_dir('/proc/self/fd');";
	# The first time also opens files of catalogs, which Postgres keeps open.
	my $catch = 'DO $$ BEGIN PERFORM * FROM ' . $nowhere . '; EXCEPTION WHEN query_canceled THEN NULL; END $$;';
	my @all = ("SELECT count(*) FROM pgfed.probe('127.0.0.1', 1);", ("SELECT $nowhere;") x 10, $catch, $fds);
	my ($out, $err) = $fed->query('leo', join("\n", "SET statement_timeout = '100ms';", @all, @all), timeout => 60);
	my @timeouts = $err =~ /canceling statement due to statement timeout/g;
	is(scalar(@timeouts), 20, 'by statement_timeout, which a block may catch') or diag($err);
	my @counts = split /\n/, $out;
	is($counts[3], $counts[1], 'no descriptor is left open') or diag($out);

	foreach my $how (qw(cancel terminate))
	{
		my ($stdout, $stderr) = ('', '');
		my $psql = IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $fed->node('leo')->connstr('postgres'), '-c', "SELECT $nowhere" ],
			'<', \undef, '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(60));
		my $waiting = "FROM pg_stat_activity WHERE query LIKE 'SELECT pgfed.probe%' AND wait_event_type = 'Extension'";
		$fed->poll('leo', "SELECT count(*) $waiting", '1');
		my $begin = PgFed::Federation::now();
		$fed->sql('leo', "SELECT pg_${how}_backend(pid) $waiting");
		$psql->finish;
		cmp_ok(PgFed::Federation::now() - $begin, '<', 5, "it ends on $how");
		like($stderr, $how eq 'cancel' ? qr/due to user request/ : qr/due to administrator command/, 'with an error');
	}
};

subtest 'it ends by itself' => sub {
	my ($out) = $fed->query('leo',
		"SELECT ok, detail LIKE 'no_answer: %', elapsed < '12 s' FROM $nowhere WHERE stage = 'diagnosis'",
		timeout => 30);
	is($out, 'f|t|t', 'after ten seconds at the latest');
};

subtest 'while the server stops' => sub {
	my ($stdout, $stderr) = ('', '');
	my $psql = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $fed->node('leo')->connstr('postgres'), '-c', "SELECT $nowhere" ],
		'<', \undef, '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(60));
	$fed->poll('leo', "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pgfed.probe%'
		AND wait_event_type = 'Extension'", '1');
	my $begin = PgFed::Federation::now();
	$fed->stop_node('leo', 'fast');
	cmp_ok(PgFed::Federation::now() - $begin, '<', 8, 'a fast shutdown does not wait for it');
	$psql->finish;
};

$fed->logs_clean;
done_testing();
