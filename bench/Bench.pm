package Bench;

=pod

=head1 NAME

Bench - what the benchmark programs share: results, progress, processes, a psql session, pgbench

=head1 FUNCTIONS

=over

=item Bench::progress(TEXT)

One line to whoever watches. (Load this module before PostgreSQL::Test::Utils, which takes standard error.)

=item Bench::result(figure => TEXT, unit => TEXT, values => [...], limit => NUMBER, digits => 3, compare => TEXT)

One row of the table. B<limit>: what the values should not exceed; none: for information.

=item Bench::note(TEXT)

A line below the table.

=item Bench::cpu(PID...), Bench::memory(PID), Bench::switches(PID)

CPU seconds used so far (user and system); { Pss, Private } in MB; voluntary context switches so far.

=item Bench::start_psql(CONNINFO), $session->ask(SQL)

One session that stays; the answer unaligned, lines separated by newlines. Dies on an error.

=item Bench::pgbench(CONNINFO, SQL, seconds => 10, mode => 'simple', rate => NUMBER)

One client. Returns { latency => ms, tps => calls per second, cpu => seconds that pgbench used }.

=back

=cut

use strict;
use warnings;

use File::Temp ();
use IO::Handle;
use IPC::Open2;
use List::Util qw(sum0);
use POSIX ();
use Time::HiRes qw(time);

# The descriptor belongs to bench/run; servers started from here must not hold it.
my $watcher;
if (open(my $dup, '>>&', 3)) { POSIX::close(3); $dup->autoflush(1); $watcher = $dup; }
my $begun = time;

# Shorter, to see whether it works; the figures are not to be believed.
use constant QUICK => $ENV{PGFED_BENCH_QUICK} ? 1 : 0;

sub progress
{
	my ($text) = @_;
	my $line = sprintf "%5.0f s  %s\n", time - $begun, $text;
	print { $watcher // *STDOUT } $line;
	print $line if $watcher;
	return;
}

sub write_line
{
	open(my $fh, '>>', $ENV{PGFED_BENCH_RESULTS} // '/dev/stdout') or die "results: $!\n";
	print $fh join("\t", @_), "\n";
	close $fh or die "results: $!\n";
	return;
}

sub result
{
	my (%r) = @_;
	write_line('row', @r{qw(figure unit)}, $r{digits} // 3, $r{limit} // '', "@{$r{values}}",
		$r{compare} // '');
	return;
}

sub note { write_line('note', @_); return }

sub median
{
	my @values = sort { $a <=> $b } @_;
	return ($values[ int(($#values) / 2) ] + $values[ int(@values / 2) ]) / 2;
}

sub slurp
{
	my ($path) = @_;
	open(my $fh, '<', $path) or die "$path: $!\n";
	local $/;
	return <$fh> // '';
}

# ---------------------------------------------------------------- processes

sub cpu
{
	my $ticks = 0;
	foreach my $pid (@_)
	{
		my @fields = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //sr;
		$ticks += $fields[11] + $fields[12];
	}
	return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub memory
{
	my ($pid) = @_;
	my $text = slurp("/proc/$pid/smaps_rollup");
	my ($pss) = $text =~ /^Pss:\s+(\d+)/m;
	return { Pss => $pss / 1024, Private => sum0($text =~ /^Private_\w+:\s+(\d+)/mg) / 1024 };
}

sub switches
{
	my ($pid) = @_;
	return slurp("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0;
}

# ---------------------------------------------------------------- clients

sub start_psql
{
	my ($conninfo) = @_;
	my $pid = open2(my $out, my $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $conninfo);
	return bless { pid => $pid, in => $in, out => $out }, __PACKAGE__;
}

sub ask
{
	my ($self, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{in} } "$sql;\n\\echo <end>\n";
	$self->{in}->flush;
	my $text = '';
	while (defined(my $line = readline $self->{out}))
	{
		return $text =~ s/\n\z//r if $line eq "<end>\n";
		$text .= $line;
	}
	die "psql: no answer to $sql\n";
}

sub pgbench
{
	my ($conninfo, $sql, %p) = @_;
	my $script = File::Temp->new;
	print $script $sql, "\n";
	$script->flush;
	my $before = sum0((POSIX::times())[ 3, 4 ]);
	my @rate   = defined $p{rate} ? ('-R', $p{rate}) : ();
	my $pid = open(my $pipe, '-|', 'pgbench', '-n', '-f', $script->filename, '-c', 1, '-T', $p{seconds} // 10,
		'-M', $p{mode} // 'simple', @rate, $conninfo) // die "pgbench: $!\n";
	my $text = join '', <$pipe>;
	close $pipe or die "pgbench failed:\n$text";
	my $cpu = (sum0((POSIX::times())[ 3, 4 ]) - $before) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
	my ($latency) = $text =~ /^latency average = ([\d.]+) ms/m or die "pgbench said:\n$text";
	my ($tps)     = $text =~ /^tps = ([\d.]+)/m                or die "pgbench said:\n$text";
	return { latency => $latency, tps => $tps, cpu => $cpu };
}

1;
