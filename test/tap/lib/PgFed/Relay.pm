package PgFed::Relay;

=pod

=head1 NAME

PgFed::Relay - the fault relay test/net/relay, as an object

=head1 SYNOPSIS

  my $relay = PgFed::Relay->start(target => '127.0.0.3:5432', listen => '127.0.0.3:6000');
  $relay->command('cut down');
  $relay->command('reset-after', 100);
  my $n = $relay->stats->{open};
  $relay->command('for', $node->data_dir, 'silent');    # only what that server dials
  $relay->stop;

The commands are described in test/net/relay (C<perldoc test/net/relay>): pass, delay MS,
throttle BYTES_PER_S, cut|hold up|down|both, silent, refuse, accept, halfopen
[client|server], blackhole, reset, close, reset-after N, close-after N, for DIR COMMAND,
stats, quit.

C<listen> defaults to C<127.0.0.1:0>, a free port. See PgFed::Child for the rest.

=cut

use strict;
use warnings;

use parent 'PgFed::Child';

use File::Basename qw(dirname);
use File::Spec;

my $program = File::Spec->rel2abs(dirname(__FILE__) . '/../../../net/relay');

sub start
{
	my ($class, %params) = @_;
	die "relay: no target\n" unless defined $params{target};
	my $listen = $params{listen} // '127.0.0.1:0';
	my $self =
	  $class->spawn($params{name} // "relay $listen -> $params{target}", $program, $listen,
		$params{target});
	$self->{target} = $params{target};
	return $self;
}

sub target { return $_[0]{target} }

1;
