package PgFed::FakePeer;

=pod

=head1 NAME

PgFed::FakePeer - the bad server test/net/fake-peer, as an object

=head1 SYNOPSIS

  my $peer = PgFed::FakePeer->start(mode => 'error 53300 too many clients');
  $peer->command('mode huge-row 600');    # for connections made from now on
  $peer->command('drop');                 # end the present ones
  my $n = $peer->stats->{queries};        # accepted startups queries open user database application
  $peer->stop;

Parameters: C<listen> (HOST:PORT, default 127.0.0.1 and a free port), C<mode>, C<record>
(a file that gets the parameter of each query), C<certs> (a PgFed::Certs) with C<server> (the name of
a server certificate in it: then it speaks TLS, with IO::Socket::SSL) and C<client_ca> (require
a client certificate of that authority). The modes are described in test/net/fake-peer.

=cut

use strict;
use warnings;

use parent 'PgFed::Child';

use File::Basename qw(dirname);
use File::Spec;

my $program = File::Spec->rel2abs(dirname(__FILE__) . '/../../../net/fake-peer');

sub start
{
	my ($class, %params) = @_;
	die "fake-peer: no mode\n" unless defined $params{mode};
	my $listen = $params{listen} // '127.0.0.1:0';
	my @options;
	push @options, '--record', $params{record} if defined $params{record};
	if (defined $params{server})
	{
		my $name = "server-$params{server}";
		push @options, '--tls-cert', $params{certs}->crt($name), '--tls-key',
		  $params{certs}->key($name);
		push @options, '--tls-ca', $params{certs}->ca($params{client_ca})
		  if defined $params{client_ca};
	}
	return $class->spawn($params{name} // "fake-peer $listen",
		$program, @options, $listen, split ' ', $params{mode});
}

1;
