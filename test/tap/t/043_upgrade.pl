# pg_upgrade with pgfed installed, from the version that PGFED_OLD_BINDIR names, else from this one: nothing
# of pgfed runs meanwhile, the table comes along, and the new cluster waits for adopt().
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_bindir = $ENV{PGFED_OLD_BINDIR};
my $new_bindir = $ENV{PATH} =~ s/:.*//r;
my $settings   = q{
shared_preload_libraries = 'pgfed'
pgfed.node_name = 'leo'
pgfed.federation_name = 'test'
pgfed.peer_interval = 300ms
};

sub run_old
{
	my ($program, @arguments) = @_;
	local $ENV{PATH} = ($old_bindir ? "$old_bindir:" : '') . $ENV{PATH};
	return command_ok([ $program, @arguments ], "old: $program");
}

my $dir  = PostgreSQL::Test::Utils::tempdir('old');
my $data = "$dir/data";
my $host = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid $<;
run_old('initdb', '-D', $data, '-A', 'trust', '--no-sync', '--locale=C', '-E', 'UTF8', '-U', $user, '--no-instructions');
append_to_file("$data/postgresql.conf",
	"port = $port\nlisten_addresses = ''\nunix_socket_directories = '$host'\n$settings");
run_old('pg_ctl', 'start', '-w', '-D', $data, '-l', "$dir/log");
END { system_log("$old_bindir/pg_ctl", 'stop', '-D', $data, '-m', 'immediate') if $old_bindir && $data && -e "$data/postmaster.pid" }
my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $host, '-p', $port, '-d', 'postgres');
command_ok([ @psql, '-c', 'CREATE EXTENSION pgfed', '-c', 'CREATE ROLE pgfed LOGIN REPLICATION',
		'-c', q{SELECT pgfed.allow_peer('pgfed')},
		'-c', q{SELECT pgfed.add_node('leo', '127.0.0.2', 5001, site => 'linz')},
		'-c', q{SELECT pgfed.add_node('ait', '127.0.0.3', 5002, upstream => 'leo')} ],
	'an old cluster with pgfed in use');
run_old('pg_ctl', 'stop', '-w', '-D', $data, '-m', 'fast');

my $new = PostgreSQL::Test::Cluster->new('new');
my @options = ('--locale=C', '-E', 'UTF8', '-U', $user);
# 18 turned them on; both clusters must agree.
push @options, '--no-data-checksums' if $new->pg_version >= 18;
$new->init(extra => [@options]);
$new->append_conf('postgresql.conf', $settings);
my $scratch = PostgreSQL::Test::Utils::tempdir('upgrade');
chdir $scratch or die "chdir: $!";
command_ok(
	[ 'pg_upgrade', '--no-sync', '-b', $old_bindir // $new_bindir, '-B', $new_bindir, '-d', $data,
		'-D', $new->data_dir, '-p', $port, '-P', $new->port, '-s', $host, '-U', $user ],
	'pg_upgrade')
  or do
{
	diag slurp_file($_) foreach glob $new->data_dir . '/pg_upgrade_output.d/*/log/*.log';
};
$new->start;
is($new->safe_psql('postgres', q{SELECT name, host, port, site, upstream FROM pgfed.nodes ORDER BY name}),
	"ait|127.0.0.3|5002|default|leo\nleo|127.0.0.2|5001|linz|", 'the table came along');
is($new->safe_psql('postgres', q{SELECT has_function_privilege('pgfed', 'pgfed.exchange(bytea)', 'EXECUTE')}), 't', 'and the grants');
ok($new->poll_query_until('postgres', q{SELECT status = 'critical' AND hint ~ 'adopt' FROM pgfed.checks WHERE name = 'catalog'}),
	'another system identifier: it idles until it is adopted');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pgfed.peers WHERE state <> 'idle'}), '0', 'and dials nobody');
$new->safe_psql('postgres', 'SELECT pgfed.adopt()');
ok($new->poll_query_until('postgres', q{SELECT status = 'ok' FROM pgfed.checks WHERE name = 'catalog'}), 'adopted');
$new->stop;

done_testing();
