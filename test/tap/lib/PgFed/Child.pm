package PgFed::Child;

=pod

=head1 NAME

PgFed::Child - a helper process that takes one-line commands and answers each

=head1 DESCRIPTION

Base of PgFed::Relay, PgFed::FakePeer and PgFed::Dns. The program is started with pipes
on its standard input and output; it says C<ready HOST:PORT> first, and ends when its
input ends, so it cannot outlive the test. All are stopped at the end of the test.

=over

=item PgFed::Child->spawn(NAME, PROGRAM, ARGUMENT...)

Starts it and waits until it is ready. Dies when it does not come up.

=item $child->command(LINE, ...)

Sends one line (the words joined by blanks), waits until the fault is in effect, and
returns the answer without its leading C<ok>. Dies on C<error ...>, or after 30 s.

=item $child->host, $child->port, $child->pid, $child->stop

=back

=cut

use strict;
use warnings;

use IO::Handle;
use IO::Select;
use POSIX qw(:sys_wait_h);
use Scalar::Util qw(weaken);
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

my %running;    # pid => weak reference
my $me = $$;    # children that fork must not stop our helpers

use constant ANSWER_TIMEOUT => 30;

sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub spawn
{
	my ($class, $name, @command) = @_;
	pipe(my $in_read,  my $in_write)  or die "pipe: $!";
	pipe(my $out_read, my $out_write) or die "pipe: $!";
	my $pid = fork();
	die "fork: $!" unless defined $pid;
	if (!$pid)
	{
		# Only the copies on 0 and 1 survive the exec: everything else is close-on-exec. Not
		# through Perl's STDIN and STDOUT, which the test framework may have tied or moved.
		POSIX::dup2(fileno($in_read), 0);
		POSIX::dup2(fileno($out_write), 1);
		{ no warnings 'exec'; exec { $command[0] } @command; }
		POSIX::_exit(127);
	}
	close $in_read;
	close $out_write;
	$in_write->autoflush(1);
	my $self = bless {
		name   => $name,
		pid    => $pid,
		in     => $in_write,
		out    => $out_read,
		buffer => '',
	}, $class;
	$running{$pid} = $self;
	weaken($running{$pid});
	my $line = $self->read_line;
	if (!defined $line || $line !~ /^ready (.+):(\d+)$/)
	{
		$self->stop;
		die "$name did not start: " . ($line // 'no answer') . " (command: @command)\n";
	}
	@{$self}{qw(host port)} = ($1, $2);
	return $self;
}

sub read_line
{
	my ($self) = @_;
	my $deadline = now() + ANSWER_TIMEOUT;
	my $select   = IO::Select->new($self->{out});
	my $end;
	while (($end = index $self->{buffer}, "\n") < 0)
	{
		my $left = $deadline - now();
		return undef if $left <= 0;
		next unless $select->can_read($left);    # a signal may end it early
		return undef unless sysread($self->{out}, $self->{buffer}, 4096, length $self->{buffer});
	}
	my $line = substr $self->{buffer}, 0, $end + 1, '';
	chomp $line;
	return $line;
}

sub command
{
	my ($self, @words) = @_;
	my $line = join ' ', @words;
	die "$self->{name} is stopped\n" unless defined $self->{pid};
	print "# $self->{name}: $line\n";
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{in} } "$line\n";
	my $answer = $self->read_line;
	die "$self->{name}: no answer to \"$line\"\n" unless defined $answer;
	die "$self->{name}: \"$line\": $answer\n"     unless $answer =~ s/^ok ?//;
	return $answer;
}

# The numbers and words of an answer of the form a=1 b=2.
sub stats
{
	my ($self) = @_;
	return { map { /^([^=]+)=(.*)$/ ? ($1, $2) : () } split ' ', $self->command('stats') };
}

sub host    { return $_[0]{host} }
sub port    { return $_[0]{port} }
sub pid     { return $_[0]{pid} }
sub name    { return $_[0]{name} }
sub address { return "$_[0]{host}:$_[0]{port}" }

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid};
	return unless defined $pid;
	delete $running{$pid};
	local ($?, $!);
	close $self->{in};
	for (1 .. 100)
	{
		return if waitpid($pid, WNOHANG) != 0;
		usleep(10_000);
	}
	kill 'KILL', $pid;
	waitpid($pid, 0);
	return;
}

sub DESTROY { my ($self) = @_; $self->stop if $$ == $me; return }

sub stop_all
{
	return unless $$ == $me;
	foreach my $child (grep { defined } values %running) { $child->stop }
	return;
}

END { stop_all() }

1;
