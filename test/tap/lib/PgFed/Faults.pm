package PgFed::Faults;

=pod

=head1 NAME

PgFed::Faults - the half of PgFed::Federation that starts, stops and hurts servers

=head1 DESCRIPTION

Methods of PgFed::Federation, described there: set_conf, is_running, start_node, stop_node,
restart_node, promote, kill9, stop_signal, cont, worker_pid, wait_worker, signal_worker. Processes are
found in /proc, so they work whatever state a server is in. The object needs C<node> and the fields
C<stopped> and C<killed> (hashes of lists of process ids) and C<primary>.

=over

=item PgFed::Faults::alive(PID), PgFed::Faults::children_of(PID), PgFed::Faults::wait_gone([PID...], TIMEOUT)

Functions, for other processes.

=back

=cut

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

use constant DEFAULT_TIMEOUT => 15;

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# ---------------------------------------------------------------- starting, stopping, hurting

sub set_conf
{
	my ($self, $name, $text) = @_;
	$self->node($name)->append_conf('postgresql.conf', $text);
	$self->node($name)->reload if $self->is_running($name);
	return;
}

sub is_running
{
	my ($self, $name) = @_;
	my $pid = $self->node($name)->{_pid};
	return defined $pid && alive($pid);
}

sub start_node
{
	my ($self, $name, %p) = @_;
	wait_gone(delete $self->{killed}{$name});

	# A killed postmaster stays in the process table until init reaps it, which in a container may
	# be late or never; a new one would take it for alive.
	my $node = $self->node($name);
	foreach my $lock ($node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock')
	{
		next if defined $node->{_pid} || !open(my $fh, '<', $lock);
		my $pid = <$fh> // '';
		chomp $pid;
		unlink $lock if $pid =~ /^\d+$/ && !alive($pid);
	}
	return $node->start(%p);
}

sub stop_node
{
	my ($self, $name, $mode, %p) = @_;
	$self->cont($name);
	return $self->node($name)->stop($mode, %p);
}

sub restart_node
{
	my ($self, $name) = @_;
	return $self->node($name)->restart;
}

sub promote
{
	my ($self, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->node($name)->promote;
	my $good = $self->poll($name, 'SELECT NOT pg_is_in_recovery()', 't', 30, "$name is promoted");
	$self->{primary} = $name;
	return $good;
}

# An undisturbed process (a zombie is none).
sub alive
{
	my ($pid) = @_;
	open(my $fh, '<', "/proc/$pid/stat") or return 0;
	my $line = <$fh> // return 0;
	return $line !~ /^.*\) [ZX] /s;
}

sub wait_gone
{
	my ($pids, $timeout) = @_;
	my $deadline = now() + ($timeout // 30);
	foreach my $pid (@{ $pids // [] })
	{
		while (alive($pid))
		{
			die "process $pid does not end\n" if now() > $deadline;
			usleep(10_000);
		}
	}
	return;
}

sub children_of
{
	my ($parent) = @_;
	my @found;
	foreach my $path (glob '/proc/[0-9]*/stat')
	{
		open(my $fh, '<', $path) or next;
		my $line = <$fh> // next;
		push @found, $1 if $line =~ /^(\d+) .*\) [A-Y] (\d+) /s && $2 == $parent;
	}
	return @found;
}

sub postmaster
{
	my ($self, $name) = @_;
	return $self->node($name)->{_pid} // die "$name is not running\n";
}

sub kill9
{
	my ($self, $name, %p) = @_;
	my $pid      = $self->postmaster($name);
	my @children = children_of($pid);
	print "# kill -9 $name" . ($p{children} ? ' and its children' : '') . "\n";
	kill 'KILL', $pid;
	if ($p{children})
	{
		kill 'KILL', @children;
		wait_gone([ $pid, @children ]);
	}
	else
	{
		kill 'CONT', @children if delete $self->{stopped}{$name};
		wait_gone([$pid]);
	}
	delete $self->{stopped}{$name};
	$self->{killed}{$name} = \@children;
	$self->{was_killed}{$name} = 1;
	$self->node($name)->{_pid} = undef;
	return;
}

sub stop_signal
{
	my ($self, $name) = @_;
	my $pid = $self->postmaster($name);
	print "# SIGSTOP $name\n";
	kill 'STOP', $pid;

	# Once the postmaster is stopped there are no new ones, but it may take a moment to be.
	my %seen;
	while (my @fresh = grep { !$seen{$_} } children_of($pid))
	{
		kill 'STOP', @fresh;
		$seen{$_} = 1 foreach @fresh;
		usleep(5_000);
	}
	$self->{stopped}{$name} = [ keys %seen, $pid ];
	return;
}

sub cont
{
	my ($self, $name) = @_;
	my $pids = delete $self->{stopped}{$name} or return;
	print "# SIGCONT $name\n";
	kill 'CONT', @$pids;
	return;
}

sub worker_pid
{
	my ($self, $name, $worker) = @_;
	my $node   = $self->node($name);
	my $pid    = $node->{_pid} // return undef;
	my $prefix = $node->name;
	foreach my $child (children_of($pid))
	{
		open(my $fh, '<', "/proc/$child/cmdline") or next;
		local $/;
		my $title = <$fh> // '';
		$title =~ tr/\0/ /;
		return $child if $title =~ /^postgres: (?:\Q$prefix\E: )?\Q$worker\E\s*$/;
	}
	return undef;
}

sub wait_worker
{
	my ($self, $name, $worker, $timeout) = @_;
	my $deadline = now() + ($timeout // DEFAULT_TIMEOUT);
	while (1)
	{
		my $pid = $self->worker_pid($name, $worker);
		return $pid if defined $pid || now() > $deadline;
		usleep(20_000);
	}
}

sub signal_worker
{
	my ($self, $name, $worker, $signal) = @_;
	my $pid = $self->worker_pid($name, $worker) // die "$name has no worker \"$worker\"\n";
	print "# SIG$signal to $worker of $name\n";
	kill $signal, $pid;
	push @{ $self->{stopped}{$name} }, $pid if $signal eq 'STOP';
	delete $self->{stopped}{$name} if $signal eq 'CONT';
	return $pid;
}

1;
