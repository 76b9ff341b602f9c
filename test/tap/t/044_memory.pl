# 10,000 rounds at a fast beat: the workers' memory stays where it was.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PgFed::Federation;
use Test::More;
use Time::HiRes qw(time usleep);

my $fed = PgFed::Federation->new(
	nodes => [qw(leo ait pit)],
	conf  => "pgfed.peer_interval = 10ms\npgfed.peer_timeout = 2s\ntrack_functions = all\n");
$fed->start;
$fed->wait_steady(30);

# Memory that is the process' own, in kB; what it shares with others counts as pages come to be touched.
sub private
{
	my ($pid) = @_;
	my $sum = 0;
	foreach my $line (split /\n/, PostgreSQL::Test::Utils::slurp_file("/proc/$pid/smaps_rollup"))
	{
		$sum += $1 if $line =~ /^Private_\w+:\s+(\d+) kB/;
	}
	return $sum;
}

# A node's rounds: each peer asks each other, so what leo has answered is what it has asked.
my $node = 'leo';
my %pid  = map { $_ => $fed->worker_pid($node, $_) } ('pgfed', 'pgfed catalog');
my $answered = q{SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE schemaname = 'pgfed' AND funcname = 'exchange'};
my $start     = $fed->sql($node, $answered);

sub wait_rounds
{
	my ($wanted) = @_;
	my $deadline = time + 400;
	my $rounds   = 0;
	until ($rounds >= $wanted || time > $deadline)
	{
		usleep(200_000);
		$rounds = $fed->sql($node, $answered) - $start;
	}
	return $rounds;
}

cmp_ok(wait_rounds(500), q(>=), 500, 'it has warmed up');
my %before = map { $_ => private($pid{$_}) } keys %pid;
cmp_ok(wait_rounds(10500), q(>=), 10500, '10,000 rounds later');
foreach my $worker (sort keys %pid)
{
	is($fed->worker_pid($node, $worker), $pid{$worker}, "$worker: the same process");
	my $grown = private($pid{$worker}) - $before{$worker};
	cmp_ok($grown, '<', 512, "$worker: grew by $grown kB");
}
is($fed->sql($node, q{SELECT string_agg(state, ',' ORDER BY node) FROM pgfed.federation}),
	'streaming,running,streaming', 'and all is well');

$fed->logs_clean;
done_testing();
