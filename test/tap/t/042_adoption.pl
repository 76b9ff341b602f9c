# Three servers that replicate already take pgfed, and leave it again, as the README says: one restart a
# node, nothing disturbed that was there before.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PgFed::Federation;
use Test::More;

my @nodes = qw(leo ait pit);
my $fed   = PgFed::Federation->new(nodes => [@nodes], preload => 0);
$fed->start;
$fed->sql('leo', 'CREATE TABLE t AS SELECT 1 AS x');
$fed->sql('leo', q{SELECT pg_create_physical_replication_slot('somebody_elses', true)});
my $slots = q{SELECT string_agg(slot_name || ' ' || slot_type || ' ' || active, ', ' ORDER BY slot_name)
	FROM pg_replication_slots};
my $slots_before = $fed->sql('leo', $slots);
like($slots_before, qr/pgfed_ait physical true/, 'slots in use');

sub streaming
{
	my ($test) = @_;
	$fed->poll('leo', q{SELECT string_agg(application_name || ' ' || state, ', ' ORDER BY application_name) FROM pg_stat_replication},
		'ait streaming, pit streaming', 20, $test);
	$fed->sql('leo', 'UPDATE t SET x = x + 1');
	my $x = $fed->sql('leo', 'SELECT x FROM t');
	$fed->poll($_, 'SELECT x FROM t', $x, 20, "$test: $_ has what was written") foreach qw(ait pit);
	is($fed->sql('leo', $slots), $slots_before, "$test: the slots are as they were");
	return;
}
streaming('before');

# 1. Preload, one restart a node, standbys first. No extension yet: the workers wait for it.
foreach my $node (qw(ait pit leo))
{
	$fed->enable_pgfed($node);
	$fed->restart_node($node);
}
streaming('preloaded');
my %started = map { $_ => $fed->sql($_, 'SELECT pg_postmaster_start_time()') } @nodes;
# 2. to 4. on the primary
$fed->sql('leo', 'CREATE EXTENSION pgfed');
$fed->sql('leo', q{SELECT pgfed.allow_peer('pgfed')});
$fed->sql('leo', sprintf q{SELECT pgfed.add_node('%s', '%s', %d)}, $_, $fed->address($_), $fed->port($_))
  foreach @nodes;
$fed->poll($_, q{SELECT string_agg(node || ' ' || state || ' ' || status, ', ' ORDER BY node) FROM pgfed.federation},
	'ait streaming ok, leo running ok, pit streaming ok', 25, "$_ knows the federation") foreach @nodes;
streaming('adopted');
is($fed->sql($_, 'SELECT pg_postmaster_start_time()'), $started{$_}, "$_: one restart was all") foreach @nodes;

# Leaving: mode = off, DROP EXTENSION, preload removed.
$fed->set_conf($_, "pgfed.mode = off\n") foreach @nodes;
$fed->poll($_, q{SELECT DISTINCT state FROM pgfed.peers}, 'idle', 20, "$_ has hung up") foreach @nodes;
$fed->poll($_, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'pgfed' AND backend_type = 'client backend'},
	'0', 20, "$_ has no sessions of its peers") foreach @nodes;
streaming('off');
$fed->sql('leo', q{SELECT pgfed.revoke_peer('pgfed')});
$fed->sql('leo', 'DROP EXTENSION pgfed');
is($fed->sql('leo', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'pgfed'}), '0', 'nothing of it stays in the catalog');
foreach my $node (qw(ait pit leo))
{
	my $conf = $fed->node($node)->data_dir . '/postgresql.conf';
	my $text = PostgreSQL::Test::Utils::slurp_file($conf);
	$text =~ s/^(shared_preload_libraries|pgfed\.\w+)\s*=.*\n//mg;
	open my $file, '>', $conf or die "$conf: $!";
	print $file $text;
	close $file;
	$fed->restart_node($node);
	is($fed->worker_pid($node, 'pgfed'), undef, "$node runs without pgfed");
}
streaming('left');

$fed->logs_clean;
done_testing();
