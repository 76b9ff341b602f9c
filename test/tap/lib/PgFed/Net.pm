package PgFed::Net;

=pod

=head1 NAME

PgFed::Net - run a whole test in a network of its own, where packets can be lost

=head1 SYNOPSIS

  use PgFed::Net -enter;          # first of all: before PostgreSQL::Test::*
  use PostgreSQL::Test::Cluster;

  PgFed::Net->drop('127.0.0.3');                     # packets to and from it vanish
  PgFed::Net->drop('127.0.0.3', direction => 'to');  # one way: what others send it
  PgFed::Net->drop('127.0.0.3', port => 5432);       # one port only
  PgFed::Net->drop('127.0.0.3', loss => 30);         # three packets in ten
  PgFed::Net->restore('127.0.0.3');                  # without argument: all
  PgFed::Net->resolv_conf("nameserver 127.0.0.99\n");
  PgFed::Net->hosts("127.0.0.2 leo.example\n");

=head1 DESCRIPTION

C<-enter> executes the test script again within new user, network and mount
namespaces (as root: network and mount). Everything that it starts lives there too. The
loopback device is up, all of 127.0.0.0/8 and 192.0.2.1 can be used, there is no other network, and ports
below 1024 can be bound (for a name server, see PgFed::Dns). It has to come before
PostgreSQL::Test::Utils has moved the standard output, that is, as a C<use> statement.

Under scripts/isolated, which does the same for each test, it is a no-op.

Where namespaces are not allowed the test B<fails> and says so. It needs unshare
(util-linux) and nft (package nftables), Linux with unprivileged user namespaces.

=over

=item drop(ADDRESS, direction => 'both'|'to'|'from', port => PORT, loss => PERCENT)

Packets are dropped where they arrive, so that the sender notices nothing: established
connections stay established and fall silent, their data is retransmitted by TCP and arrives after
C<restore>; new SYNs are not answered. C<to> means packets to ADDRESS (requests to the server there),
C<from> its replies. ADDRESS may be a network (127.0.0.0/29).

All servers of a test share this network and dial from 127.0.0.1, so this is a fault at
the address that is dialled, for everyone who dials it; what the server there itself dials is
not affected. To fault one observer's path use a relay with C<for DIRECTORY ...>.

=item restore([ADDRESS])

Undoes every C<drop> of the address, or all.

=item resolv_conf(TEXT), hosts(TEXT)

Replaces /etc/resolv.conf, /etc/hosts, for this test and what it starts (a bind mount). Can be
called again.

=item silent_dns([ADDRESS])

Makes ADDRESS (default 127.0.0.99) the name server, one that never answers.

=back

=cut

use strict;
use warnings;

use Errno ();
use File::Temp ();
use IO::Socket::INET;
use Socket qw(AF_INET SOCK_DGRAM inet_aton);

use constant {
	SIOCGIFFLAGS => 0x8913,
	SIOCSIFFLAGS => 0x8914,
	SIOCSIFADDR  => 0x8916,
	IFF_UP       => 1,
	OWN_ADDRESS  => '192.0.2.1',
};

my @rules;      # [address, family, options]
my %mounted;    # path => the file that is mounted over it
my @kept;       # sockets that only have to exist

sub import
{
	my ($class, @what) = @_;
	foreach my $what (@what)
	{
		die "PgFed::Net: unknown import \"$what\"\n" unless $what eq '-enter';
		$class->enter;
	}
	return;
}

sub tool
{
	my ($name, $package) = @_;
	foreach my $dir (split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin')
	{
		return "$dir/$name" if -x "$dir/$name";
	}
	die "PgFed::Net: this test needs $name (Debian package $package)\n";
}

sub net_namespace { return readlink('/proc/self/ns/net') // '' }

# Made by enter(), or by scripts/isolated for the whole test.
sub entered
{
	return 1 if $ENV{PGFED_ISOLATED};
	return defined $ENV{PGFED_NET_OUTSIDE} && $ENV{PGFED_NET_OUTSIDE} ne net_namespace();
}

sub enter
{
	my ($class) = @_;
	if (entered())
	{
		tool('nft', 'nftables');
		loopback_up();
		return;
	}
	die "PgFed::Net: \"use PgFed::Net -enter\" must come first, before the test framework\n"
	  if ${^GLOBAL_PHASE} ne 'START' || $INC{'PostgreSQL/Test/Utils.pm'};
	tool('nft', 'nftables');
	my @unshare = (tool('unshare', 'util-linux'), '-n', '-m');
	push @unshare, '-U', '--map-current-user', '--keep-caps' if $> != 0;
	my $said = `@unshare true 2>&1`;
	die "PgFed::Net: this test needs network and mount namespaces, and cannot have them here"
	  . " (\"@unshare\" says: @{[ $said =~ s/\s+$//r ]}). In a container it has to be allowed to"
	  . " make them; on the host see the sysctl user.max_user_namespaces.\n"
	  if $? != 0;
	$ENV{PGFED_NET_OUTSIDE} = net_namespace();
	local $ENV{PERL5LIB} = join ':', grep { !ref } @INC;
	exec @unshare, $^X, $0, @ARGV or die "PgFed::Net: cannot execute $unshare[0]: $!\n";
}

sub loopback_up
{
	socket(my $fh, AF_INET, SOCK_DGRAM, 0) or die "PgFed::Net: socket: $!\n";
	my $request = pack 'Z16 s x22', 'lo', 0;
	ioctl($fh, SIOCGIFFLAGS, $request) or die "PgFed::Net: lo: $!\n";
	my (undef, $flags) = unpack 'Z16 s', $request;
	if (!($flags & IFF_UP))
	{
		$request = pack 'Z16 s x22', 'lo', $flags | IFF_UP;
		ioctl($fh, SIOCSIFFLAGS, $request) or die "PgFed::Net: cannot bring up lo: $!\n";
	}

	# A host that has loopback addresses only resolves no names under AI_ADDRCONFIG; one from the
	# range for documentation (RFC 5737) makes it an ordinary host.
	$request = pack 'Z16 S x2 a4 x16', 'lo:1', AF_INET, inet_aton(OWN_ADDRESS);
	ioctl($fh, SIOCSIFADDR, $request) or die "PgFed::Net: cannot add an address: $!\n";
	return;
}

sub need_entered
{
	entered() or die "PgFed::Net: not in a network of our own (use PgFed::Net -enter)\n";
	return;
}

# One atomic change of the whole table.
sub apply
{
	my @lines;
	foreach my $rule (@rules)
	{
		my ($address, $family, $o) = @$rule;
		my $loss = defined $o->{loss} ? "numgen random mod 100 < $o->{loss}" : '';
		foreach my $way ([ 'to', 'daddr', 'dport' ], [ 'from', 'saddr', 'sport' ])
		{
			my ($direction, $addr, $port) = @$way;
			next unless $o->{direction} eq 'both' || $o->{direction} eq $direction;
			my $ports = defined $o->{port} ? "meta l4proto { tcp, udp } th $port $o->{port}" : '';
			push @lines, "$family $addr $address $ports $loss drop";
		}
	}
	my $script = join "\n", 'add table inet pgfed', 'delete table inet pgfed',
	  'table inet pgfed {',
	  ' chain input {', '  type filter hook input priority 0; policy accept;', @lines, ' }', '}', '';
	my $nft = tool('nft', 'nftables');
	my $file = File::Temp->new;
	print $file $script;
	$file->flush;
	my $said = `$nft -f $file 2>&1`;
	die "PgFed::Net: nft failed: $said$script" if $? != 0;
	return;
}

sub drop
{
	my ($class, $address, %o) = @_;
	need_entered();
	$o{direction} //= 'both';
	die "PgFed::Net: direction is to, from or both\n" unless $o{direction} =~ /^(?:to|from|both)$/;
	print "# network: drop $address" . join('', map { " $_=$o{$_}" } sort keys %o) . "\n";
	push @rules, [ $address, $address =~ /:/ ? 'ip6' : 'ip', \%o ];
	apply();
	return;
}

sub restore
{
	my ($class, $address) = @_;
	need_entered();
	print "# network: restore " . ($address // 'all') . "\n";
	@rules = defined $address ? grep { $_->[0] ne $address } @rules : ();
	apply();
	return;
}

sub replace_file
{
	my ($path, $text) = @_;
	need_entered();
	if (!$mounted{$path})
	{
		my $file = File::Temp->new(TEMPLATE => 'pgfed_net_XXXXXX', TMPDIR => 1);
		chmod 0644, $file->filename;
		-e $path or die "PgFed::Net: there is no $path to put something over\n";
		my $said = `@{[tool('mount', 'mount')]} --bind '@{[$file->filename]}' $path 2>&1`;
		die "PgFed::Net: cannot mount over $path: $said" if $? != 0;
		$mounted{$path} = $file;
	}
	open(my $fh, '>', $mounted{$path}->filename) or die "PgFed::Net: $path: $!\n";
	print $fh $text;
	close $fh or die "PgFed::Net: $path: $!\n";
	return;
}

sub resolv_conf { my ($class, $text) = @_; replace_file('/etc/resolv.conf', $text); return }

sub hosts { my ($class, $text) = @_; replace_file('/etc/hosts', $text); return }

sub silent_dns
{
	my ($class, $address) = @_;
	need_entered();
	$address //= '127.0.0.99';
	foreach my $proto (qw(udp tcp))
	{
		push @kept,
		  IO::Socket::INET->new(
			Proto     => $proto,
			LocalAddr => $address,
			LocalPort => 53,
			($proto eq 'tcp' ? (Listen => 5) : ())) // die "PgFed::Net: cannot bind $address:53: $@\n";
	}
	$class->resolv_conf("nameserver $address\n");
	return;
}

1;
