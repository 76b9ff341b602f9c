package PgFed::Watch;

=pod

=head1 NAME

PgFed::Watch - the half of PgFed::Federation that asks, waits and reads logs

=head1 DESCRIPTION

Methods of PgFed::Federation, described there: sql, query, poll, diagnose, wait_state, wait_steady,
log_mark, log_since, log_contains, log_tail, wait_log, logs_clean. The object needs C<node>, C<nodes>
and the fields C<database>, C<preload>, C<extension>, C<primary>, C<is_clone>, C<was_killed>.

=cut

use strict;
use warnings;

use IPC::Run ();
use Test::More;
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

use constant DEFAULT_TIMEOUT => 15;

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# ---------------------------------------------------------------- queries and waits

sub sql
{
	my ($self, $name, $sql) = @_;
	return $self->node($name)->safe_psql($self->{database}, $sql);
}

sub query
{
	my ($self, $name, $sql, %p) = @_;
	my $node    = $self->node($name);
	my $timeout = $p{timeout} // 10;
	my $connstr = $p{connstr} // $node->connstr($self->{database});
	my ($out, $err) = ('', '');
	local %ENV = $node->_get_env();
	my $harness;
	my $done = eval {
		$harness =
		  IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $connstr, '-f', '-' ],
			'<', \$sql, '>', \$out, '2>', \$err, IPC::Run::timeout($timeout));
		$harness->finish;
		1;
	};
	if (!$done)
	{
		my $why = $@;
		eval { $harness->kill_kill(grace => 0) } if $harness;
		$err .= $why =~ /timeout/ ? "no answer from $name within $timeout s" : $why;
	}
	chomp($out, $err);
	return ($out, $err);
}

sub poll
{
	my ($self, $name, $sql, $expected, $timeout, $test) = @_;
	$timeout //= DEFAULT_TIMEOUT;
	$expected //= 't';
	$test //= "$name: $sql is $expected";
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $start = now();
	my ($out, $err);
	while (1)
	{
		my $left = $start + $timeout - now();
		($out, $err) = $self->query($name, $sql, timeout => $left < 1 ? 1 : $left);
		my $good =
		    ref $expected eq 'CODE'   ? $expected->($out, $err)
		  : ref $expected eq 'Regexp' ? $out =~ $expected
		  :                             $err eq '' && $out eq $expected;
		return pass($test) if $good;
		last if now() - $start >= $timeout;
		usleep(50_000);
	}
	fail($test);
	diag(
		sprintf "after %.1f s on %s:\n  %s\nexpected: %s\nlast output: %s\nlast error: %s",
		now() - $start,
		$name, $sql, $expected, $out, $err);
	$self->diagnose($name);
	return 0;
}

# What one wants to see when a test has failed: the views, and the end of the log.
sub diagnose
{
	my ($self, @names) = @_;
	@names = $self->nodes unless @names;
	foreach my $name (@names)
	{
		if ($self->{preload} && $self->{extension})
		{
			foreach my $view (
				'SELECT node, role, state, lsn, seen, status, detail FROM pgfed.federation',
				'SELECT node, host, port, state, stage, error, failures, last_seen FROM pgfed.peers')
			{
				my ($out, $err) = $self->query($name, "\\pset format aligned\n\\t off\n$view;",
					timeout => 3);
				diag("$name: $view\n$out$err");
			}
		}
		diag("the end of the log of $name:\n" . $self->log_tail($name));
	}
	return;
}

sub wait_state
{
	my ($self, $observer, $node, $state, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $self->poll($observer, "SELECT state FROM pgfed.federation WHERE node = '$node'",
		$state, $timeout, "$observer sees $node: $state");
}

sub wait_steady
{
	my ($self, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @names    = grep { !$self->{is_clone}{$_} } $self->nodes;
	my $expected = join "\n",
	  map { "$_|" . ($_ eq $self->{primary} ? 'running' : 'streaming') } sort @names;
	my $good = 1;
	foreach my $name (@names)
	{
		$good = $self->poll(
			$name,
			'SELECT node, state FROM pgfed.federation ORDER BY node COLLATE "C"',
			$expected,
			$timeout // 30,
			"$name sees all running or streaming") && $good;
	}
	return $good;
}

# ---------------------------------------------------------------- logs

sub log_mark { my ($self, $name) = @_; return -s $self->node($name)->logfile // 0 }

sub log_since
{
	my ($self, $name, $mark) = @_;
	open(my $fh, '<', $self->node($name)->logfile) or return '';
	seek $fh, $mark // 0, 0;
	local $/;
	return <$fh> // '';
}

sub log_contains
{
	my ($self, $name, $regex, $mark) = @_;
	return $self->log_since($name, $mark) =~ $regex ? 1 : 0;
}

sub log_tail
{
	my ($self, $name, $lines) = @_;
	my @all = split /^/, $self->log_since($name);
	$lines //= 30;
	splice @all, 0, @all - $lines if @all > $lines;
	return join '', @all;
}

sub wait_log
{
	my ($self, $name, $regex, $timeout, $mark, $test) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $deadline = now() + ($timeout // DEFAULT_TIMEOUT);
	$test //= "the log of $name matches $regex";
	until ($self->log_contains($name, $regex, $mark))
	{
		if (now() > $deadline)
		{
			fail($test);
			diag("the end of the log of $name:\n" . $self->log_tail($name));
			return 0;
		}
		usleep(50_000);
	}
	return pass($test);
}

sub logs_clean
{
	my ($self, $test) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @bad;
	foreach my $name ($self->nodes)
	{
		foreach my $line (split /\n/, $self->log_since($name))
		{
			next unless $line =~ /PANIC:|TRAP:|was terminated by (?:signal|exception)|free\(\):|malloc\(\):|Sanitizer/;
			next if $self->{was_killed}{$name} && $line =~ /signal 9/;
			push @bad, "$name: $line";
		}
	}
	return is(join("\n", @bad), '', $test // 'no server crashed');
}

1;
