package PgFed::Dns;

=pod

=head1 NAME

PgFed::Dns - the name server for tests, test/net/dns, as an object

=head1 SYNOPSIS

  my $dns = PgFed::Dns->start(names => { 'leo.example' => '127.0.0.2' });  # 127.0.0.99:53
  PgFed::Net->resolv_conf("nameserver 127.0.0.99\n");
  $dns->command('silent');                      # set unset silent servfail refused garbage delay pass stats

C<listen> is HOST:PORT, default 127.0.0.99:53: that port can be bound only in the namespace that
PgFed::Net makes (or by root).

=cut

use strict;
use warnings;

use parent 'PgFed::Child';

use File::Basename qw(dirname);
use File::Spec;

my $program = File::Spec->rel2abs(dirname(__FILE__) . '/../../../net/dns');

sub start
{
	my ($class, %params) = @_;
	my $listen = $params{listen} // '127.0.0.99:53';
	my $names  = $params{names}  // {};
	return $class->spawn("dns $listen", $program, $listen,
		map { "$_=$names->{$_}" } sort keys %$names);
}

1;
