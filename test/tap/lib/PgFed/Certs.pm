package PgFed::Certs;

=pod

=head1 NAME

PgFed::Certs - certificates for tests, made by scripts/make-certs

=head1 SYNOPSIS

  my $certs = PgFed::Certs->new($directory);
  $certs->make('--ca', 'ca', '--server', 'leo', '--ip', '127.0.0.2');
  $certs->ca;                     # .../ca.crt
  $certs->crt('server-leo');      # .../server-leo.crt
  $certs->key('client-pgfed');    # .../client-pgfed.key
  $certs->sha256('server-leo');   # hexadecimal, lower case, no colons

C<make> takes the arguments of scripts/make-certs (see there) without the directory, and
dies with its message when it fails. What exists already is left alone (C<--force> makes
it anew).

=cut

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Spec;

my $script = File::Spec->rel2abs(dirname(__FILE__) . '/../../../../scripts/make-certs');

sub new
{
	my ($class, $dir) = @_;
	return bless { dir => File::Spec->rel2abs($dir) }, $class;
}

sub dir { return $_[0]{dir} }

sub make
{
	my ($self, @args) = @_;
	print "# make-certs @args\n";
	system($script, $self->{dir}, @args) == 0 or die "make-certs failed: @args\n";
	return $self;
}

sub crt { my ($self, $name) = @_; return "$self->{dir}/$name.crt" }
sub key { my ($self, $name) = @_; return "$self->{dir}/$name.key" }
sub ca  { my ($self, $name) = @_; return $self->crt($name // 'ca') }

sub sha256
{
	my ($self, $name) = @_;
	my $text = `openssl x509 -in '@{[$self->crt($name)]}' -noout -fingerprint -sha256`;
	$text =~ /=([0-9A-F:]+)/ or die "cannot read the fingerprint of $name\n";
	return lc($1 =~ tr/://dr);
}

1;
