# Every way in which an endpoint's TLS can be wrong, against the real thing: what pgfed.tls says of each,
# and that libpq and openssl come to the same verdict wherever they have one.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PgFed::Net -enter;

use IO::Socket::INET;
use IPC::Run ();
use PgFed::FakePeer;
use PgFed::Federation;
use PgFed::OddCerts;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use constant DIRECT_SINCE => 17;

my $address = '127.0.0.70';    # of all but the router
my $router  = '127.0.0.71';
PgFed::Net->hosts("127.0.0.1 localhost\n");
PgFed::Net->resolv_conf("nameserver 127.0.0.99\n");    # where nobody listens

my $fed = PgFed::Federation->new(
	nodes => ['leo'],
	conf  => "pgfed.max_nodes = 64\npgfed.peer_interval = 2s\npgfed.tls_interval = 5s\nmax_connections = 60\n");
$fed->start;
my $leo   = $fed->node('leo');
my $major = $leo->pg_version->major;
my $certs = $fed->certs;
my $odd   = PgFed::OddCerts->new($certs->dir . '/odd', $certs);
my $here  = "IP:$address";
$odd->authority('intermediate');
$odd->authority('old-ca', from => -30, to => -1);
$odd->authority('stranger', self => 1);
$odd->server('good', san => "$here,DNS:good.example,DNS:*.db.example");
$odd->server('intermediate-full', issuer => 'intermediate', san => $here, chain => ['intermediate']);
$odd->server('intermediate-cut', issuer => 'intermediate', san => $here);
$odd->server('other-name', san => 'IP:10.9.8.7,DNS:other.example');
$odd->server('cn-only', cn => 'cn.example');
$odd->server('cn-shadowed', cn => 'cn.example', san => 'DNS:other.example');
$odd->server('cn-address', cn => $address);
$odd->server('self-signed', san => $here, self => 1);
$odd->server('stranger-signed', san => $here, issuer => 'stranger');
$odd->server('expired', san => $here, from => -20, to => -2);
$odd->server('early', san => $here, from => 2, to => 20);
$odd->server('old-ca-signed', san => $here, issuer => 'old-ca', chain => ['old-ca']);
$odd->server('revoked', san => $here);
$odd->server('weak', san => $here, key => 'rsa:1024');
$odd->server('purpose', san => $here, usage => 'clientAuth');
$odd->server('soon', san => $here, from => -100, to => 2);

# ---------------------------------------------------------------- real servers, one for each certificate

$ENV{PATH} .= ':/usr/sbin';    # where haproxy is
my $bindir = $leo->config_data('--bindir');
my $plain  = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
my @running;
my $lax = $plain->basedir . '/openssl.cnf';
PgFed::Federation::write_file($lax, <<'CONF');
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
CipherString = DEFAULT@SECLEVEL=0
CONF

sub start_postgres
{
	my ($name, %conf) = @_;
	my $dir = $plain->basedir . "/$name";
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	system('cp', '-a', $plain->data_dir, $dir) == 0 or die;
	my %settings = (
		listen_addresses        => $address,
		port                    => $port,
		unix_socket_directories => '',
		shared_buffers          => '1MB',
		max_connections         => 20,
		max_wal_senders         => 0,
		%conf);
	open my $out, '>>', "$dir/postgresql.conf" or die;
	print $out "$_ = '$settings{$_}'\n" foreach sort keys %settings;
	close $out or die;
	PgFed::Federation::write_file("$dir/pg_hba.conf", "host all all 127.0.0.0/8 trust\n");
	# Debian's default would refuse to load a weak key.
	local $ENV{OPENSSL_CONF} = $lax if $name =~ /weak/;
	system("$bindir/pg_ctl", '-D', $dir, '-l', "$dir/log", '-w', '-s', 'start') == 0 or die "$name does not start";
	push @running, $dir;
	return $port;
}

sub with_cert
{
	my ($name) = @_;
	return start_postgres("pg-$name", ssl => 'on', ssl_cert_file => $odd->crt($name), ssl_key_file => $odd->key($name));
}

# A TLS server that is not Postgres; stays until the test ends.
my @servers;

sub start_program
{
	my ($port, @command) = @_;
	push @servers, IPC::Run::start(\@command, '<', \undef, '>', '/dev/null', '2>', '/dev/null');
	for (1 .. 100)
	{
		my $socket = IO::Socket::INET->new(PeerAddr => $command[0] eq 'haproxy' ? $router : $address, PeerPort => $port);
		return $port if $socket;
		usleep(100_000);
	}
	die "@command does not listen";
}

sub s_server
{
	my ($cert, @options) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	return start_program($port, 'openssl', 's_server', '-quiet', '-accept', "$address:$port",
		'-cert', $odd->crt($cert), '-key', $odd->key($cert), @options);
}

my @fakes;

sub fake
{
	my (@mode) = @_;
	push @fakes, PgFed::FakePeer->start(listen => "$address:0", mode => "@mode");
	return $fakes[-1]->port;
}

my %port = map { $_ => with_cert($_) } qw(good intermediate-full intermediate-cut other-name cn-only
  cn-shadowed cn-address self-signed stranger-signed expired early old-ca-signed revoked weak purpose soon);
$port{off} = start_postgres('off', ssl => 'off');

# A server that can do direct negotiation; where this Postgres cannot, openssl does what a probe sees of it.
$port{direct} = $major >= DIRECT_SINCE ? $port{good} : s_server('good', '-alpn', 'postgresql');

# HAProxy as the routers of OpenShift are set up for passthrough, and as a plain TCP load balancer.
my ($sni, $balanced, $empty) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;

# What a router in front of an old server meets: any server that cannot do direct negotiation.
my $old_bindir = $ENV{PGFED_OLD_BINDIR};
if ($major < DIRECT_SINCE) { $port{old} = $port{good} }
elsif ($old_bindir)
{
	my $dir = $plain->basedir . '/old';
	$port{old} = PostgreSQL::Test::Cluster::get_free_port();
	system("$old_bindir/initdb", '-A', 'trust', '-N', '-D', $dir) == 0 or die;
	system("$old_bindir/pg_ctl", '-D', $dir, '-l', "$dir/log", '-w', '-s', '-o',
		"-c listen_addresses=$address -c port=$port{old} -c unix_socket_directories= -c ssl=on"
		  . " -c ssl_cert_file=@{[$odd->crt('good')]} -c ssl_key_file=@{[$odd->key('good')]}", 'start') == 0 or die;
	push @running, $dir;
}
my $route_old = $port{old} ? "use_backend old if { req_ssl_sni -i old.db.example }" : '';
my $old       = $port{old} ? "backend old\n  server old $address:$port{old}\n"    : '';
my $haproxy   = $leo->basedir . '/haproxy.cfg';
PgFed::Federation::write_file($haproxy, <<"CONF");
defaults
  mode tcp
  retries 0
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend router
  bind $router:$sni
  tcp-request inspect-delay 5s
  tcp-request content accept if { req_ssl_hello_type 1 }
  use_backend direct if { req_ssl_sni -i good.example }
  $route_old
backend direct
  server direct $address:$port{direct}
$old
frontend balancer
  bind $router:$balanced
  default_backend good
backend good
  server good $address:$port{good}
frontend empty
  bind $router:$empty
  default_backend nobody
backend nobody
  server gone $address:1
CONF
start_program($sni, 'haproxy', '-db', '-f', $haproxy);

END
{
	local $?;
	$_->kill_kill(grace => 0) foreach @servers;
	foreach my $dir (@running)
	{
		my $bin = $dir =~ m{/old$} ? $old_bindir : $bindir;
		system("$bin/pg_ctl", '-D', $dir, '-s', '-m', 'immediate', 'stop');
	}
}

# ---------------------------------------------------------------- the table

my $direct = 'sslnegotiation=direct';
my $names  = qr/IP 10\.9\.8\.7/;

# [node, host, port, options, diagnosis, status, words of the detail]; hosts other than addresses get a hostaddr.
my @table = (
	[ 'ok-address',   $address,         $port{good}, '', 'ok', 'ok', qr/^$/ ],
	[ 'ok-name',      'good.example',   $port{good}, '', 'ok', 'ok', qr/^$/ ],
	[ 'ok-wildcard',  'a.db.example',   $port{good}, '', 'ok', 'ok', qr/^$/ ],
	[ 'ok-case',      'GOOD.Example',   $port{good}, '', 'ok', 'ok', qr/^$/ ],
	[ 'deep',         'a.b.db.example', $port{good}, '', 'name_mismatch', 'critical', qr/DNS \*\.db\.example.*"a\.b\.db\.example"/ ],
	[ 'apex',         'db.example',     $port{good}, '', 'name_mismatch', 'critical', qr/"db\.example"/ ],
	[ 'ok-chain',     $address, $port{'intermediate-full'}, '', 'ok', 'ok', qr/^$/ ],
	[ 'cut-chain',    $address, $port{'intermediate-cut'},  '', '(?:chain_incomplete|unknown_ca)', 'critical', qr/intermediate/ ],
	[ 'other-name',   $address, $port{'other-name'}, '', 'name_mismatch', 'critical', qr/$names.*"\Q$address\E"/ ],
	[ 'cn-only',      'cn.example', $port{'cn-only'}, '', 'ok', 'ok', qr/^$/ ],
	[ 'cn-shadowed',  'cn.example', $port{'cn-shadowed'}, '', 'name_mismatch', 'critical', qr/DNS other\.example/ ],
	[ 'cn-address',   $address, $port{'cn-address'}, '', 'ok', 'ok', qr/^$/ ],
	[ 'self-signed',  $address, $port{'self-signed'}, '', 'self_signed', 'critical', qr/self-signed/ ],
	[ 'stranger',     $address, $port{'stranger-signed'}, '', 'unknown_ca', 'critical', qr/CN=stranger/ ],
	[ 'expired',      $address, $port{expired}, '', 'expired', 'critical', qr/expired on \d{4}-\d\d-\d\d/ ],
	[ 'early',        $address, $port{early}, '', 'not_yet_valid', 'critical', qr/not.*valid.*\d{4}-\d\d-\d\d/ ],
	[ 'old-ca',       $address, $port{'old-ca-signed'}, '', 'ca_expired', 'critical', qr/CN=old-ca/ ],
	[ 'weak',         $address, $port{weak}, '', 'weak_key', 'critical', qr/RSA 1024/ ],
	[ 'purpose',      $address, $port{purpose}, '', 'wrong_purpose', 'critical', qr/./ ],
	[ 'ok-soon',      $address, $port{soon}, '', 'ok', 'ok', qr/^$/ ],
	[ 'off',          $address, $port{off}, '', 'plaintext_only', 'critical', qr/./ ],
	[ 'refused',      $address, PostgreSQL::Test::Cluster::get_free_port(), '', 'tcp_refused', 'critical', qr/refused/ ],
	[ 'dropped',      '127.0.0.72', 5432, '', 'tcp_timeout', 'critical', qr/./ ],
	[ 'unresolved',   'nowhere.invalid', 5432, '-', 'unresolved', 'critical', qr/./ ],
	[ 'silent',       $address, fake('silent'), '', 'no_answer', 'critical', qr/./ ],
	[ 'closer',       $address, fake('close'), '', 'closed', 'critical', qr/closes/ ],
	[ 'garbage',      $address, fake('garbage'), '', '(?:not_postgres|handshake_failed|plaintext_only|server_error|closed)', '(?:critical|warning)', qr/./ ],
	[ 'http',         $address, fake('answer', 'HTTP/1.1 400 Bad Request\r\n\r\n'), '', 'not_postgres', 'critical', qr/HTTP\/1\.1 400/ ],
	[ 'tls-garbage',  $address, fake('tls-garbage'), '', 'handshake_failed', 'critical', qr/./ ],
	[ 'oversized',    $address, fake('tls-oversized'), '', 'handshake_failed', 'critical', qr/./ ],
	[ 'trickle',      $address, fake('tls-trickle'), '', 'handshake_failed', 'critical', qr/./ ],
	[ 'injected',     $address, fake('tls-injected'), '', 'handshake_failed', 'critical', qr/./ ],
	[ 'tls-server',   $address, s_server('good'), '', 'not_postgres', 'critical', qr/./ ],
	[ 'no-alpn',      'good.example', s_server('good'), $direct, 'alpn_missing', 'critical', qr/ALPN/ ],
	[ 'tls-old',      'good.example', s_server('good', '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0', '-alpn', 'postgresql'), $direct, 'handshake_failed', 'critical', qr/./ ],
	[ 'ca-wanted',    'good.example', s_server('good', '-alpn', 'postgresql', '-Verify', '1', '-verify_return_error', '-CAfile', $odd->crt('stranger')), $direct, 'client_certificate_rejected', 'critical', qr/./ ],
	[ 'balanced',     'good.example', $balanced, '', 'ok', 'ok', qr/^$/ ],
	[ 'empty',        'good.example', $empty, '', 'closed', 'critical', qr/closes/ ],
	[ 'router',       'good.example', $sni, '', 'router_needs_clienthello', 'critical', qr/./ ],
	[ 'router-direct', 'good.example', $sni, $direct, 'ok', 'ok', qr/^$/ ],
	[ 'route-missing', 'lost.example', $sni, $direct, 'route_missing', 'critical', qr/"lost\.example"/ ],
	$port{old}
	? ([ 'old-direct', $address, $port{old}, $direct, 'backend_too_old_for_direct', 'critical', qr/./ ],
		[ 'router-plain', 'old.db.example', $sni, '', 'router_needs_clienthello', 'critical', qr/17/ ],
		[ 'router-old', 'old.db.example', $sni, $direct, 'backend_too_old_for_direct', 'critical', qr/17/ ])
	: ());

PgFed::Net->drop('127.0.0.72');
foreach my $row (@table)
{
	my ($node, $host, $port, $options) = @$row;
	my $at = $port == $sni || $port == $balanced || $port == $empty ? $router : $address;
	$options = $options eq '-' ? '' : $host =~ /^[\d.]+$/ ? $options : "hostaddr=$at $options";
	$fed->sql('leo', "SELECT pgfed.add_node('$node', '$host', port => $port, options => '$options')");
}

# Verdicts change on the way (a name server that does not answer takes its time), hence the polling.
my %open = map { $_->[0] => $_ } @table;
my %said;
my $deadline = time() + 60;
while (%open && time() < $deadline)
{
	foreach my $line (split /\n/, $fed->sql('leo', 'SELECT node, diagnosis, status, detail FROM pgfed.tls'))
	{
		my ($node, $diagnosis, $status, $detail) = split /\|/, $line, 4;
		my $row = $open{$node} // next;
		$said{$node} = $line;
		delete $open{$node}
		  if $diagnosis =~ /^$row->[4]$/ && $status =~ /^$row->[5]$/ && $detail =~ $row->[6];
	}
	usleep(200_000) if %open;
}
foreach my $row (@table)
{
	my ($node, undef, undef, undef, $diagnosis, $status) = @$row;
	ok(!$open{$node}, "$node: $diagnosis, $status") or diag("said: " . ($said{$node} // 'nothing'));
	note($said{$node} // '');
}
is($fed->sql('leo', q{SELECT count(*) FROM pgfed.checks WHERE name = 'tls' AND status = 'critical' AND coalesce(hint, '') = ''}),
	'0', 'each diagnosis comes with a hint');
is($fed->sql('leo', q{SELECT certificate FROM pgfed.federation WHERE node = 'ok-soon'}), 'expiring', 'a certificate that ends in two days');
is($fed->sql('leo', q{SELECT dns_names[1], ip_addresses[1], key, depth FROM pgfed.certificates
	WHERE node = 'ok-address' AND source = 'served' AND depth = 0}), "good.example|$address|EC P-256|0", 'a certificate as it is served');

# ---------------------------------------------------------------- libpq and openssl agree

my $ca = $certs->ca;
foreach my $row (grep { $_->[3] ne $direct } @table)
{
	my ($node, $host, $port) = @$row;
	next if $node =~ /^(?:trickle|unresolved|dropped|silent|garbage)$/;
	my $at = $port == $sni || $port == $balanced || $port == $empty ? $router : $address;
	my (undef, $err) = $fed->query('leo', 'SELECT 1', timeout => 15,
		connstr => "host=$host hostaddr=$at port=$port user=nobody dbname=postgres sslmode=verify-full sslrootcert=$ca connect_timeout=8");
	my $libpq = $err eq '' || $err =~ /FATAL:/ ? 'fine' : 'bad';
	my $ours = $fed->sql('leo', "SELECT CASE WHEN diagnosis = 'ok' THEN 'fine' ELSE 'bad' END FROM pgfed.tls WHERE node = '$node'");
	is($ours, $libpq, "$node: libpq agrees") or diag($err);
}
my @by_openssl = (
	[ 'ok-address', 'good' ], [ 'other-name', 'other-name' ], [ 'self-signed', 'self-signed' ],
	[ 'stranger', 'stranger-signed' ], [ 'expired', 'expired' ], [ 'early', 'early' ], [ 'old-ca', 'old-ca-signed' ],
	[ 'weak', 'weak' ], [ 'purpose', 'purpose' ], [ 'ok-chain', 'intermediate-full' ], [ 'cut-chain', 'intermediate-cut' ]);
foreach my $case (@by_openssl)
{
	my ($node, $cert) = @$case;
	my $crt     = $odd->crt($cert);
	my $verdict = system("openssl verify -CAfile $ca -untrusted $crt -auth_level 2 -purpose sslserver -verify_ip $address $crt >/dev/null 2>&1")
	  ? 'bad' : 'fine';
	is($fed->sql('leo', "SELECT CASE WHEN chain_ok AND host_match THEN 'fine' ELSE 'bad' END FROM pgfed.tls WHERE node = '$node'"),
		$verdict, "$node: openssl verify agrees");
}

# ---------------------------------------------------------------- pgfed.probe() says the same, step by step

my $steps = $fed->sql('leo', "SELECT string_agg(stage || '=' || ok, ' ') FROM pgfed.probe('$address', port => $port{good})");
like($steps, qr/^resolve=true connect=true negotiate=true handshake=true chain=true name=true/, 'probe: every step');
like($fed->sql('leo', "SELECT detail FROM pgfed.probe('$address', port => $port{expired}) WHERE NOT ok LIMIT 1"),
	qr/expired/, 'probe: what is wrong');
my ($out, $err) = $fed->query('leo',
	"SET statement_timeout = '700ms'; SELECT * FROM pgfed.probe('127.0.0.72')", timeout => 10);
like($err, qr/canceling statement due to statement timeout/, 'probe: obeys statement_timeout');
is($fed->sql('leo', q{SELECT count(*) FROM pgfed.nodes WHERE host = '127.0.0.99'}), '0', 'probe: the table is not touched');

# ---------------------------------------------------------------- revocation

$odd->revoke('revoked');
my $crl = $odd->crl('ca', 'intermediate');
$fed->set_conf('leo', "pgfed.conninfo = '" . ($fed->conninfo('leo') =~ s/'/''/gr) . " sslcrl=$crl'\n");
$fed->sql('leo', "SELECT pgfed.add_node('revoked', '$address', port => $port{revoked})");
$fed->poll('leo', q{SELECT diagnosis || ' ' || status FROM pgfed.tls WHERE node = 'revoked'}, 'revoked critical', 30, 'revoked');
$fed->poll('leo', q{SELECT diagnosis FROM pgfed.tls WHERE node = 'ok-address'}, 'ok', 30, 'and the others are not');
$fed->poll('leo', q{SELECT diagnosis FROM pgfed.tls WHERE node = 'ok-chain'}, 'ok', 30, 'nor with an intermediate authority');

# ---------------------------------------------------------------- what only pg_hba.conf asks for

my $wanting = start_postgres('wanting', ssl => 'on', ssl_cert_file => $odd->crt('good'), ssl_key_file => $odd->key('good'),
	ssl_ca_file => $ca);
PgFed::Federation::write_file($plain->basedir . '/wanting/pg_hba.conf', "hostssl all all 127.0.0.0/8 cert\n");
system("$bindir/pg_ctl", '-D', $plain->basedir . '/wanting', '-s', 'reload');
$fed->sql('leo', "SELECT pgfed.add_node('wanting', '$address', port => $wanting)");
$fed->poll('leo', q{SELECT diagnosis, client_certificate FROM pgfed.tls WHERE node = 'wanting'}, 'ok|sent', 30, 'a certificate is sent');
$fed->set_conf('leo', "pgfed.conninfo = 'user=pgfed sslrootcert=$ca sslmode=verify-full'\n");
$fed->poll('leo', q{SELECT diagnosis, status FROM pgfed.tls WHERE node = 'wanting'}, 'client_certificate_required|critical', 40,
	'without one, pg_hba.conf refuses what comes after the handshake');
$fed->poll('leo', q{SELECT diagnosis FROM pgfed.tls WHERE node = 'ca-wanted'}, 'client_certificate_required', 40,
	'and another server refuses it in the handshake');

# What does not work any more is an event.
cmp_ok($fed->sql('leo', q{SELECT count(*) FROM pgfed.events WHERE event = 'tls_diagnosis'}), '>=', 20, 'diagnoses are events');
$fed->logs_clean;
done_testing();
