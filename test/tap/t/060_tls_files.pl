# The files by which a server does TLS, against what it serves: a renewal on disk is loaded by itself while
# streams and sessions go on, what does not fit together never is, and whatever makes the replication path
# weak is said.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use File::Copy qw(copy);
use IPC::Run ();
use PgFed::Federation;
use PostgreSQL::Test::Utils ();
use Test::More;

my $patience = 30;
my $fed      = PgFed::Federation->new(
	nodes => [qw(leo ait)],
	conf  => "pgfed.tls_interval = 1s\n");
$fed->start;
$fed->wait_steady;
my $certs = $fed->certs;

sub slurp { return PostgreSQL::Test::Utils::slurp_file($_[0]) }

sub spew
{
	my ($path, $text) = @_;
	open(my $fh, '>', $path) or die "$path: $!\n";
	print $fh $text;
	close $fh or die "$path: $!\n";
	return;
}

# A new certificate for a node, in its files.
sub renew
{
	my ($name) = @_;
	$certs->make(
		'--ca', 'ca', '--server', $name, '--ip', $fed->address($name),
		'--dns', "$name.example", '--dns', 'localhost', '--force');
	return $certs->sha256("server-$name");
}

# What openssl is served, as a fingerprint.
sub served
{
	my ($name) = @_;
	my $address = $fed->address($name) . ':' . $fed->port($name);
	my $text = `openssl s_client -starttls postgres -connect $address </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256`;
	return $text =~ /=([0-9A-F:]+)/ ? lc($1 =~ tr/://dr) : "nothing ($text)";
}

sub load_time { return $fed->sql($_[0], 'SELECT pg_conf_load_time()') }

# A check as an observer shows it.
sub check
{
	my ($observer, $node, $name, $expected, $test) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $fed->poll($observer,
		"SELECT status || coalesce(': ' || detail, '') FROM pgfed.checks WHERE node = '$node' AND name = '$name'",
		$expected, $patience, $test);
}

sub shows
{
	my ($observer, $node, $source, $sha256, $test) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $fed->poll($observer,
		"SELECT sha256 FROM pgfed.certificates WHERE node = '$node' AND source = '$source' AND depth = 0",
		$sha256, $patience, $test);
}

# ---------------------------------------------------------------- all is well

foreach my $observer (qw(leo ait))
{
	foreach my $node (qw(leo ait))
	{
		check($observer, $node, $_, 'ok', "$observer: $_ of $node are in order")
		  foreach qw(tls_files security);
		shows($observer, $node, $_, $certs->sha256("server-$node"), "$observer: $_ of $node")
		  foreach qw(served ssl_cert_file);
		shows($observer, $node, $_, $certs->sha256('ca'), "$observer: $_ of $node")
		  foreach qw(ssl_ca_file sslrootcert);
		shows($observer, $node, 'sslcert', $certs->sha256('client-pgfed'),
			"$observer: the client certificate of $node");
	}
	is( $fed->sql($observer,
			q{SELECT DISTINCT anchor FROM pgfed.certificates WHERE source IN ('ssl_cert_file', 'sslcert')}),
		$certs->sha256('ca'),
		"$observer: the anchor in which they end");
	is( $fed->sql($observer,
			q{SELECT path FROM pgfed.certificates WHERE node = 'leo' AND source = 'ssl_cert_file'}),
		$certs->crt('server-leo'), "$observer: and where they lie");
}

# ---------------------------------------------------------------- a renewal, with streams and sessions

my ($in, $out, $err) = ('', '', '');
my $session = do
{
	local %ENV = $fed->node('leo')->_get_env();
	IPC::Run::start(
		[
			$fed->node('leo')->installed_command('psql'), '-XAtq', '-d',
			$fed->peer_connstr('ait', 'leo')
		],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(300));
};

sub in_session
{
	my ($query) = @_;
	($out, $err) = ('', '');
	$in .= "$query\n\\echo done\n";
	$session->pump until $out =~ /^done$/m || $err ne '' || !$session->pumpable;
	$out =~ s/\n?done\n\z//;
	return $out . $err;
}

my $backend = in_session('SELECT pg_backend_pid();');
like($backend, qr/^\d+$/, 'a client is connected over TLS');
my $streams = $fed->sql('leo', 'SELECT pid, backend_start FROM pg_stat_replication');
my $sessions =
  $fed->sql('ait', q{SELECT connected_since FROM pgfed.peers WHERE node = 'leo'});
my $mark = $fed->sql('ait', 'SELECT coalesce(max(id), 0) FROM pgfed.events');

my $loaded = load_time('leo');
my $new    = renew('leo');
shows('leo', 'leo', 'served', $new, 'a renewed certificate is served without anybody doing anything');
shows('ait', 'leo', $_, $new, "the other node sees it ($_)") foreach qw(served ssl_cert_file);
is(served('leo'), $new, 'openssl sees it too');
isnt(load_time('leo'), $loaded, 'the server was reloaded');
check($_, 'leo', 'tls_files', 'ok', "$_: all is well again") foreach qw(leo ait);
$fed->poll('leo', q{SELECT count(*) > 0 FROM pgfed.events WHERE event = 'tls_reload' AND node = 'leo'},
	't', 5, 'there is an event of the reload');
$fed->poll('ait',
	qq{SELECT count(*) FROM pgfed.events WHERE id > $mark AND event = 'certificate_changed' AND detail LIKE '%$new%'},
	'1', 5, 'and one of the new certificate');
is(in_session('SELECT pg_backend_pid();'), $backend, 'the client is still connected');
is($fed->sql('leo', 'SELECT pid, backend_start FROM pg_stat_replication'),
	$streams, 'the stream has not been broken');
is($fed->sql('ait', q{SELECT connected_since FROM pgfed.peers WHERE node = 'leo'}),
	$sessions, 'nor has the session between the nodes');
$session->finish;

# ---------------------------------------------------------------- a secret that is swapped by symlinks

my $secret = $fed->node('ait')->data_dir . '/tls';
mkdir $secret or die "$secret: $!\n";

sub swap
{
	my ($version) = @_;
	mkdir "$secret/$version" or die "$secret/$version: $!\n";
	copy($certs->crt('server-ait'), "$secret/$version/tls.crt") or die;
	copy($certs->key('server-ait'), "$secret/$version/tls.key") or die;
	chmod 0600, "$secret/$version/tls.key";
	symlink $version, "$secret/..data_tmp" or die;
	rename "$secret/..data_tmp", "$secret/..data" or die;
	return;
}
swap('..1');
symlink "..data/tls.$_", "$secret/tls.$_" or die foreach qw(crt key);
$fed->set_conf('ait', "ssl_cert_file = 'tls/tls.crt'\nssl_key_file = 'tls/tls.key'\n");
$fed->poll('leo',
	q{SELECT path FROM pgfed.certificates WHERE node = 'ait' AND source = 'ssl_cert_file'},
	"$secret/tls.crt", $patience, 'files may lie behind symlinks');
my $swapped = renew('ait');
swap('..2');
shows('leo', 'ait', 'served', $swapped, 'a swap of symlinks is a renewal');
check('leo', 'ait', 'tls_files', 'ok', 'and a good one');

# ---------------------------------------------------------------- what does not fit together

my $key  = $certs->key('server-leo');
my $good = slurp($key);
$loaded = load_time('leo');
my $before = served('leo');
spew($key, slurp($certs->key('client-pgfed')));
check($_, 'leo', 'tls_files', qr/^critical: key ".*server-leo\.key" does not belong to the certificate/,
	"$_: a key that does not fit")
  foreach qw(leo ait);
is($fed->sql('leo', q{SELECT hint <> '' FROM pgfed.checks WHERE node = 'leo' AND name = 'tls_files'}),
	't', 'with a hint');
is(load_time('leo'), $loaded, 'it has not been loaded');
is(served('leo'), $before, 'the old certificate is served');
spew($key, $good);
check('ait', 'leo', 'tls_files', 'ok', 'the right key is back');
is(load_time('leo'), $loaded, 'which is what the server has loaded: no reload');

chmod 0644, $key;
check('ait', 'leo', 'tls_files', qr/^critical: key .* has mode 0644/, 'a key that others may read');
chmod 0600, $key;
check('ait', 'leo', 'tls_files', 'ok', 'and may not any more');

my $crt = slurp($certs->crt('server-leo'));
spew($certs->crt('server-leo'), substr($crt, 0, 300));
check('ait', 'leo', 'tls_files', qr/^critical: ".*server-leo\.crt" cannot be loaded: /,
	'half a certificate');
spew($certs->crt('server-leo'), $crt);
check('ait', 'leo', 'tls_files', 'ok', 'the whole one');

PostgreSQL::Test::Utils::system_or_bail('openssl', 'pkey', '-in', $key, '-out', "$key.sealed",
	'-aes128', '-passout', 'pass:sesame');
rename "$key.sealed", $key or die;
chmod 0600, $key;
check('ait', 'leo', 'tls_files', qr/^unknown: key .* has a passphrase/, 'a key with a passphrase');
spew($key, $good);
check('ait', 'leo', 'tls_files', 'ok', 'and one without');
is(load_time('leo'), $loaded, 'nothing of that was loaded');

# ---------------------------------------------------------------- other edits, other modes

$fed->node('leo')->append_conf('postgresql.conf', "work_mem = 5MB\n");
$new = renew('leo');
check($_, 'leo', 'tls_files', qr/^warning: .*not loaded: .*postgresql\.conf was edited as well/,
	"$_: a reload would activate another edit")
  foreach qw(leo ait);
shows('ait', 'leo', 'ssl_cert_file', $new, 'the new file is shown');
is(load_time('leo'), $loaded, 'the server was not reloaded');
is($fed->sql('leo', 'SHOW work_mem'), '4MB', 'and the edit is not active');
$fed->node('leo')->reload;
shows('ait', 'leo', 'served', $new, 'reloaded by hand, it serves the new one');
check('ait', 'leo', 'tls_files', 'ok', 'and all is well');

foreach my $setting ("pgfed.mode = observe", "pgfed.tls_reload = off")
{
	$fed->set_conf('leo', "$setting\n");
	$fed->poll('leo', "SELECT current_setting(split_part('$setting', ' ', 1))",
		(split / /, $setting)[2], 10, "$setting");
	$loaded = load_time('leo');
	$new    = renew('leo');
	check('ait', 'leo', 'tls_files',
		qr/^warning: the TLS files were renewed, and the server still uses the old ones/,
		"$setting: the renewal is told");
	is(load_time('leo'), $loaded, "$setting: and left alone");
	isnt(served('leo'), $new, "$setting: the old certificate is served");
	$fed->set_conf('leo', "pgfed.mode = active\npgfed.tls_reload = on\n");
	check('ait', 'leo', 'tls_files', 'ok', 'a reload by hand loads it');
}

# ---------------------------------------------------------------- how replication is let in

my $hba  = $fed->node('ait')->data_dir . '/pg_hba.conf';
my $text = slurp($hba);

sub with_hba
{
	my ($line, $expected, $test) = @_;
	spew($hba, "$text$line\n");
	$fed->node('ait')->reload;
	return check('leo', 'ait', 'security', $expected, $test);
}
with_hba(
	'host replication all 10.0.0.0/8 scram-sha-256',
	qr/^warning: .*line \d+ of pg_hba\.conf: "host replication all 10\.0\.0\.0\/8 scram-sha-256"$/,
	'a line that lets replication in without TLS');
with_hba(
	"hostnossl all,replication all all reject\nhost replication all 10.0.0.0/8 scram-sha-256",
	'ok', 'unless an earlier line catches it');
with_hba(
	'hostssl all all 10.0.0.0/8 trust',
	qr/^critical: .*"hostssl all all 10\.0\.0\.0\/8 trust"$/,
	'a line that trusts whoever comes');
with_hba('host app app 0.0.0.0/0 md5', 'ok', 'lines for others are not ours to judge');

# ---------------------------------------------------------------- how it is asked for

my $conninfo = $fed->sql('ait', 'SHOW primary_conninfo');

sub with_conninfo
{
	my ($value, $expected, $test) = @_;
	$fed->set_conf('ait', "primary_conninfo = " . PgFed::Federation::guc_quote($value) . "\n");
	return check('leo', 'ait', 'security', $expected, $test);
}
with_conninfo(
	$conninfo =~ s/verify-full/require/r,
	qr/^warning: primary_conninfo has sslmode=require: /,
	'a weaker sslmode');
with_conninfo("$conninfo password=sesame", 'warning: primary_conninfo holds password', 'a password');
is( $fed->sql('leo',
		q{SELECT count(*) FROM pgfed.checks WHERE detail LIKE '%sesame%' OR hint LIKE '%sesame%'}),
	'0', 'which is not repeated');
with_conninfo($conninfo, 'ok', 'as it was');

# The stream itself in the clear, as its sender sees it.
my $leo_hba = $fed->node('leo')->data_dir . '/pg_hba.conf';
spew($leo_hba, slurp($leo_hba) . "hostnossl replication \"pgfed\" 127.0.0.0/8 trust\n");
$fed->node('leo')->reload;
with_conninfo(
	$conninfo =~ s/verify-full/disable/r,
	qr/^warning: .*(?:sslmode=disable|without TLS)/,
	'a stream that is not encrypted, on the standby');
check('ait', 'leo', 'security', qr/^warning: the stream to "ait" at 127\.0\.0\.\d+ is not on TLS$/,
	'and on its upstream');
with_conninfo($conninfo, 'ok', 'as it was');
check('ait', 'leo', 'security', 'ok', 'on both');

# ---------------------------------------------------------------- an old protocol

$fed->set_conf('ait', "ssl_min_protocol_version = 'TLSv1'\n");
check('leo', 'ait', 'security', qr/^warning: ssl_min_protocol_version is TLSv1: /, 'an old protocol');
$fed->set_conf('ait', "ssl_min_protocol_version = 'TLSv1.2'\n");
check('leo', 'ait', 'security', 'ok', 'none');

$fed->wait_steady;
$fed->logs_clean;
done_testing();
