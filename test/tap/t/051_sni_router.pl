# The path that a router of OpenShift leaves: it looks at the name in the ClientHello and passes the rest
# through. PostgreSQL 17 can begin with that; a standby streams through it, and peers poll through it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PgFed::Net -enter;

use IO::Socket::INET;
use IPC::Run ();
use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

PgFed::Net->hosts("127.0.0.1 localhost\n127.0.0.71 leo.example ait.example lost.example\n");
PgFed::Net->resolv_conf("nameserver 127.0.0.99\n");

my $fed = PgFed::Federation->new(
	nodes => [qw(leo ait)],
	host  => { leo => 'leo.example', ait => 'ait.example' },
	table => 0,
	conf  => "pgfed.peer_interval = 500ms\npgfed.tls_interval = 2s\n");
my $major = $fed->node('leo')->pg_version->major;
plan skip_all => "PostgreSQL $major has no direct negotiation: it came with 17" if $major < 17;
$fed->start;

my $router = PostgreSQL::Test::Cluster::get_free_port();
my $conf   = $fed->node('leo')->basedir . '/haproxy.cfg';
PgFed::Federation::write_file($conf, <<"CONF");
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend router
  bind 127.0.0.71:$router
  tcp-request inspect-delay 5s
  tcp-request content accept if { req_ssl_hello_type 1 }
  use_backend leo if { req_ssl_sni -i leo.example }
  use_backend ait if { req_ssl_sni -i ait.example }
backend leo
  server leo @{[$fed->address('leo')]}:@{[$fed->port('leo')]}
backend ait
  server ait @{[$fed->address('ait')]}:@{[$fed->port('ait')]}
CONF
$ENV{PATH} .= ':/usr/sbin';
my $haproxy = IPC::Run::start([ 'haproxy', '-db', '-f', $conf ], '<', \undef, '>', '/dev/null', '2>', '/dev/null');
END { local $?; $haproxy->kill_kill(grace => 0) if $haproxy }
for (1 .. 100)
{
	last if IO::Socket::INET->new(PeerAddr => '127.0.0.71', PeerPort => $router);
	usleep(100_000);
}

# As everybody would begin: without a word about negotiation, and it does not work.
$fed->sql('leo', "SELECT pgfed.add_node('$_', '$_.example', port => $router)") foreach qw(leo ait);
$fed->poll('leo', q{SELECT diagnosis FROM pgfed.tls WHERE node = 'leo'}, 'router_needs_clienthello', 30,
	'the router closes what does not begin with TLS');
$fed->poll('leo', q{SELECT hint FROM pgfed.checks WHERE node = 'leo' AND name = 'tls'}, qr/sslnegotiation=direct/, 30,
	'and the hint says what to do');
$fed->sql('leo', "SELECT pgfed.set_node('$_', options => 'sslnegotiation=direct')") foreach qw(leo ait);
$fed->poll('leo', q{SELECT string_agg(node || ' ' || diagnosis, ', ' ORDER BY node) FROM pgfed.tls}, 'ait ok, leo ok', 30,
	'with TLS at once it works');

# The standby, by what pgfed says itself.
my $conninfo = $fed->sql('leo', q{SELECT setting FROM pgfed.standby_settings('ait') WHERE name = 'primary_conninfo'});
like($conninfo, qr/sslnegotiation=direct/, 'standby_settings() knows the way');
like($conninfo, qr/sslmode=verify-full/,   'and how to be sure who answers');
$fed->set_conf('ait', "primary_conninfo = '" . ($conninfo =~ s/'/''/gr) . "'\n");
$fed->poll('ait', q{SELECT status, conninfo ~ 'leo\.example' FROM pg_stat_wal_receiver}, 'streaming|t', 30,
	'the standby streams through the router');
$fed->sql('leo', 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS i');
$fed->poll('ait', 'SELECT count(*) FROM t', '1000', 30, 'and data come through');
$fed->poll('leo', q{SELECT state, upstream, certificate, status FROM pgfed.federation WHERE node = 'ait'},
	'streaming|leo|ok|ok', 30, 'leo sees it as ok');
$fed->poll('ait', q{SELECT state, certificate, status FROM pgfed.federation WHERE node = 'leo'},
	'running|ok|ok', 30, 'and it sees leo as ok');

$fed->sql('leo', "SELECT pgfed.add_node('lost', 'lost.example', port => $router, options => 'sslnegotiation=direct')");
$fed->poll('leo', q{SELECT diagnosis FROM pgfed.tls WHERE node = 'lost'}, 'route_missing', 30, 'a route that is missing');
$fed->logs_clean;
done_testing();
