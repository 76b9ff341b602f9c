package PgFed::OddCerts;

=pod

=head1 NAME

PgFed::OddCerts - certificates that scripts/make-certs does not make: bad ones, by openssl itself

=head1 SYNOPSIS

  my $odd = PgFed::OddCerts->new($directory, $certs);   # a PgFed::Certs with an authority "ca"
  $odd->authority('intermediate', issuer => 'ca');      # NAME.crt, NAME.key
  $odd->server('weak', key => 'rsa:1024', san => 'IP:127.0.0.70');
  $odd->revoke('weak');
  $odd->crl('ca', 'intermediate');                      # crl.pem: the lists of both
  $odd->crt('weak');  $odd->key('weak');

C<server> takes B<issuer> (ca), B<cn>, B<san> (as openssl writes it; none: no extension), B<key>
(C<ec>, C<rsa:BITS>), B<from> and B<to> (days from now), B<usage> (extendedKeyUsage), B<chain> (names
of certificates appended to the file) and B<self> (signed by itself).

=cut

use strict;
use warnings;

use POSIX qw(strftime);

sub new
{
	my ($class, $dir, $certs) = @_;
	mkdir $dir;
	my $self = bless { dir => $dir, certs => $certs, revoked => {} }, $class;
	return $self;
}

sub path
{
	my ($self, $name, $type) = @_;
	my $own = "$self->{dir}/$name.$type";
	return -e $own || $name ne 'ca' ? $own : $self->{certs}->dir . "/$name.$type";
}
sub crt { my ($self, $name) = @_; return $self->path($name, 'crt') }
sub key { my ($self, $name) = @_; return $self->path($name, 'key') }

sub run
{
	my (@command) = @_;
	my $output = qx{@{[join ' ', map { "'" . s/'/'\\''/gr . "'" } @command]} 2>&1 </dev/null};
	die "@command failed: $output\n" if $?;
	return $output;
}

sub when
{
	my ($days) = @_;
	return strftime('%Y%m%d%H%M%SZ', gmtime(time() + $days * 86400));
}

sub new_key
{
	my ($self, $name, $kind) = @_;
	my $file = "$self->{dir}/$name.key";
	my @kind =
	  $kind =~ /^rsa:(\d+)$/
	  ? ('RSA', '-pkeyopt', "rsa_keygen_bits:$1")
	  : ('EC', '-pkeyopt', 'ec_paramgen_curve:P-256');
	run('openssl', 'genpkey', '-algorithm', @kind, '-out', $file);
	chmod 0600, $file;
	return $file;
}

sub ca_database
{
	my ($self, $issuer) = @_;
	my $dir = "$self->{dir}/$issuer.db";
	return "$dir/conf" if -d $dir;
	mkdir $dir;
	write_text("$dir/index", '');
	write_text("$dir/serial", sprintf "%016X\n", 1 + int rand 1e9);
	write_text("$dir/crlnumber", "01\n");
	write_text("$dir/conf", <<"CONF");
[ca]
default_ca = one
[one]
dir = $dir
database = $dir/index
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
default_md = sha256
policy = any
unique_subject = no
default_crl_days = 30
[any]
commonName = supplied
CONF
	return "$dir/conf";
}

sub write_text
{
	my ($file, $text) = @_;
	open my $out, '>', $file or die "cannot write $file: $!\n";
	print $out $text;
	close $out or die "cannot write $file: $!\n";
	return;
}

sub sign
{
	my ($self, $name, $extensions, %p) = @_;
	my $issuer = $p{issuer} // 'ca';
	my $key    = $self->new_key($name, $p{key} // 'ec');
	my $conf   = $self->ca_database($p{self} ? $name : $issuer);
	write_text("$self->{dir}/$name.ext", $extensions);
	run('openssl', 'req', '-new', '-key', $key, '-subj', '/CN=' . ($p{cn} // $name),
		'-out', "$self->{dir}/$name.csr");
	run('openssl', 'ca', '-batch', '-notext', '-config', $conf, '-in', "$self->{dir}/$name.csr",
		'-out', "$self->{dir}/$name.crt", '-startdate', when($p{from} // -1), '-enddate', when($p{to} // 300),
		'-extfile', "$self->{dir}/$name.ext",
		$p{self}
		? ('-selfsign', '-keyfile', $key)
		: ('-cert', $self->crt($issuer), '-keyfile', $self->key($issuer)));
	if (my $chain = $p{chain})
	{
		open my $out, '>>', "$self->{dir}/$name.crt" or die;
		foreach my $link (@$chain)
		{
			open my $in, '<', $self->crt($link) or die;
			print {$out} readline $in;
		}
		close $out or die;
	}
	return;
}

sub authority
{
	my ($self, $name, %p) = @_;
	return $self->sign($name,
		"basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n",
		%p);
}

sub server
{
	my ($self, $name, %p) = @_;
	my $extensions = "basicConstraints = CA:FALSE\n";
	$extensions .= "subjectAltName = $p{san}\n"       if $p{san};
	$extensions .= "extendedKeyUsage = $p{usage}\n" if $p{usage};
	return $self->sign($name, $extensions, %p);
}

sub revoke
{
	my ($self, $name, $issuer) = @_;
	$issuer //= 'ca';
	run('openssl', 'ca', '-config', $self->ca_database($issuer), '-cert', $self->crt($issuer),
		'-keyfile', $self->key($issuer), '-revoke', $self->crt($name));
	return;
}

sub crl
{
	my ($self, @issuers) = @_;
	my $file = "$self->{dir}/crl.pem";
	open my $out, '>', $file or die;
	foreach my $issuer (@issuers)
	{
		run('openssl', 'ca', '-gencrl', '-config', $self->ca_database($issuer), '-cert', $self->crt($issuer),
			'-keyfile', $self->key($issuer), '-out', "$file.$issuer");
		open my $in, '<', "$file.$issuer" or die;
		print {$out} readline $in;
	}
	close $out or die;
	return $file;
}

1;
