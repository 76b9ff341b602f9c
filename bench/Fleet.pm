package Fleet;

=pod

=head1 NAME

Fleet - one primary that dials many peers, for the benchmarks

=head1 SYNOPSIS

  my $fleet = Fleet->start($directory, 100);
  $fleet->conninfo;              # the measured server `leo`, by unix socket, as superuser
  $fleet->peer_conninfo;         # its first peer, as leo's worker dials it
  $fleet->keep(31);              # removes the rows of all peers but the first 31
  $fleet->worker_pids;           # of `pgfed` and `pgfed catalog`
  $fleet->stop;

=head1 DESCRIPTION

The peers are copies of one base backup, hot standbys that stream from nobody, with the smallest settings
that work and an address each (127.0.1.1 ...), all with one server certificate. With pgfed.mode = off they
answer and do not ask, so that a hundred of them fit into one machine, and what is measured is one node of a
large federation. leo has default settings. Every session is mutual TLS, sslmode=verify-full, and the file
of trusted authorities holds one.

=cut

use strict;
use warnings;

use Bench;
use File::Path ();
use IO::Socket::INET;
use List::Util qw(first);
use PgFed::Certs;
use PgFed::Faults;
use Time::HiRes qw(time usleep);

use constant { LEO => '127.0.0.2', BATCH => 8, START_TIMEOUT => 120 };

my @fleets;
my $me = $$;

sub write_file
{
	my ($path, $mode, $text) = @_;
	open(my $fh, $mode, $path) or die "$path: $!\n";
	print $fh $text;
	close $fh or die "$path: $!\n";
	return;
}

sub run
{
	my (@command) = @_;
	print "# @command\n";
	system(@command) == 0 or die "failed: @command\n";
	return;
}

sub start
{
	my ($class, $dir, $peers) = @_;
	my $self = bless {
		dir     => $dir,
		peers   => [ map { sprintf 'p%03d', $_ } 1 .. $peers ],
		sockets => File::Temp::tempdir('fleet.XXXX', TMPDIR => 1, CLEANUP => 1),
		pids    => {},
	}, $class;
	push @fleets, $self;
	mkdir $dir or die "$dir: $!\n";
	mkdir "$dir/../fleet_log";
	$self->{port} = free_port();
	$self->make_certs;
	$self->start_leo;
	$self->start_peers;
	return $self;
}

sub free_port
{
	foreach my $port (5432, 25432 .. 25532)
	{
		my $taken = first {
			!IO::Socket::INET->new(Listen => 1, LocalAddr => $_, LocalPort => $port, ReuseAddr => 1)
		} LEO, '127.0.1.1', '127.0.0.1';
		return $port unless $taken;
	}
	die "no free port\n";
}

sub number { my ($name) = @_; return substr($name, 1) + 0 }
sub address { my ($name) = @_; return $name eq 'leo' ? LEO : '127.0.1.' . number($name) }

sub make_certs
{
	my ($self) = @_;
	$self->{certs} = PgFed::Certs->new("$self->{dir}/certs");
	$self->{certs}->make('--ca', 'ca', '--client', 'pgfed', '--server', 'fleet',
		map { ('--ip', address($_)) } 'leo', @{ $self->{peers} });
	return;
}

sub credentials
{
	my ($self) = @_;
	my $certs = $self->{certs};
	return "user=pgfed sslmode=verify-full sslrootcert=@{[$certs->ca]}"
	  . " sslcert=@{[$certs->crt('client-pgfed')]} sslkey=@{[$certs->key('client-pgfed')]}";
}

sub conninfo
{
	my ($self) = @_;
	return "host=$self->{sockets} port=$self->{port} user=postgres dbname=postgres";
}

sub peer_conninfo
{
	my ($self) = @_;
	return
	    'host='
	  . address($self->{peers}[0])
	  . " port=$self->{port} dbname=postgres "
	  . $self->credentials;
}

sub start_leo
{
	my ($self) = @_;
	my $dir = "$self->{dir}/leo";
	my $max = @{ $self->{peers} } < 32 ? 32 : 128;
	Bench::progress('the measured server …');
	run('initdb', '-D', $dir, '-U', 'postgres', '-A', 'trust', '--no-sync', '--no-instructions',
		'--wal-segsize=1', '--locale=C', '--encoding=UTF8');
	write_file("$dir/pg_hba.conf", '>', <<'HBA');
local all all trust
local replication all trust
hostssl all pgfed 127.0.0.0/8 cert
HBA
	# Of what a standby must not have less of than its primary, leo has little.
	write_file("$dir/postgresql.conf", '>>', <<"CONF");
listen_addresses = '@{[LEO]}'
port = $self->{port}
unix_socket_directories = '$self->{sockets}'
ssl = on
ssl_ca_file = '@{[$self->{certs}->ca]}'
ssl_cert_file = '@{[$self->{certs}->crt('server-fleet')]}'
ssl_key_file = '@{[$self->{certs}->key('server-fleet')]}'
shared_preload_libraries = 'pgfed'
pgfed.node_name = 'leo'
pgfed.federation_name = 'fleet'
pgfed.max_nodes = $max
pgfed.conninfo = '@{[$self->credentials]}'
max_connections = 10
max_worker_processes = 4
max_wal_senders = 2
max_replication_slots = 2
min_wal_size = 2MB
max_wal_size = 32MB
fsync = off
autovacuum = off
CONF
	$self->launch('leo');
	$self->wait_ready('leo');

	my $psql = Bench::start_psql($self->conninfo);
	$psql->ask('CREATE ROLE pgfed LOGIN REPLICATION');
	$psql->ask('CREATE EXTENSION pgfed');
	$psql->ask(q{SELECT pgfed.allow_peer('pgfed')});
	$psql->ask("SELECT pgfed.add_node('$_', '@{[address($_)]}', $self->{port})")
	  foreach 'leo', @{ $self->{peers} };
	$self->{psql} = $psql;
	return;
}

sub start_peers
{
	my ($self) = @_;
	my $base = "$self->{dir}/base";
	run('pg_basebackup', '-d', $self->conninfo, '-D', $base, '-c', 'fast', '-X', 'fetch', '--no-sync',
		'--no-manifest');
	foreach my $oid (split /\n/, $self->{psql}->ask('SELECT oid FROM pg_database WHERE datistemplate'))
	{
		File::Path::remove_tree("$base/base/$oid");    # nobody will look into them
	}
	write_file("$base/standby.signal", '>', '');

	my @todo = @{ $self->{peers} };
	my $n    = @todo;
	while (my @batch = splice @todo, 0, BATCH)
	{
		foreach my $name (@batch)
		{
			my $dir = "$self->{dir}/$name";
			run('cp', '-a', '--reflink=auto', $base, $dir);
			write_file("$dir/postgresql.conf", '>>', <<"CONF");
listen_addresses = '@{[address($name)]}'
unix_socket_directories = ''
pgfed.node_name = '$name'
pgfed.mode = off
pgfed.peer_interval = 10s
shared_buffers = 1MB
wal_buffers = 64kB
bgwriter_delay = 10s
bgwriter_lru_maxpages = 0
checkpoint_timeout = 1d
CONF
			$self->launch($name);
		}
		$self->wait_ready($_) foreach @batch;
		Bench::progress(sprintf "%d of %d peers run", $n - @todo, $n);
	}
	return;
}

sub log_file { my ($self, $name) = @_; return "$self->{dir}/../fleet_log/$name.log" }

sub launch
{
	my ($self, $name) = @_;
	my $pid = fork() // die "fork: $!\n";
	if (!$pid)
	{
		# Signals from a terminal are for this script, which stops the servers.
		setpgrp;
		open(STDIN,  '<',   '/dev/null');
		open(STDOUT, '>',   $self->log_file($name));
		open(STDERR, '>>&', \*STDOUT);
		{ no warnings 'exec'; exec 'postgres', '-D', "$self->{dir}/$name"; }
		POSIX::_exit(127);
	}
	$self->{pids}{$name} = $pid;
	return;
}

sub wait_ready
{
	my ($self, $name) = @_;
	my $deadline = time + START_TIMEOUT;
	until ((eval { Bench::slurp("$self->{dir}/$name/postmaster.pid") } // '') =~ /^ready/m)
	{
		die "$name does not start:\n" . Bench::slurp($self->log_file($name))
		  if time > $deadline || !PgFed::Faults::alive($self->{pids}{$name});
		usleep(50_000);
	}
	return;
}

# Until leo is connected to all and has heard from all lately.
sub wait_connected
{
	my ($self) = @_;
	my $deadline = time + START_TIMEOUT;
	my $sql = q{SELECT count(*) FILTER (WHERE p.state <> 'connected' OR f.seen IS NULL OR f.seen > '2s')
		FROM pgfed.peers p JOIN pgfed.federation f USING (node)
		HAVING count(*) = (SELECT count(*) FROM pgfed.nodes)};
	my $left;
	until (($left = $self->{psql}->ask($sql)) eq '0')
	{
		die "$left peers are not connected\n"
		  . $self->{psql}->ask(q{SELECT * FROM pgfed.peers WHERE state <> 'connected' LIMIT 3})
		  if time > $deadline;
		usleep(200_000);
	}
	return;
}

sub ask { my ($self, $sql) = @_; return $self->{psql}->ask($sql) }

sub keep
{
	my ($self, $count) = @_;
	while (@{ $self->{peers} } > $count)
	{
		$self->ask("SELECT pgfed.remove_node('@{[pop @{ $self->{peers} }]}')");
	}
	$self->wait_connected;
	return;
}

sub worker_pids
{
	my ($self) = @_;
	my %found;
	foreach my $pid (PgFed::Faults::children_of($self->{pids}{leo}))
	{
		my $title = eval { Bench::slurp("/proc/$pid/cmdline") } // next;
		$title =~ tr/\0/ /;
		$found{$1} = $pid if $title =~ /^postgres: (pgfed(?: catalog)?)\s*$/;
	}
	keys %found == 2 or die "leo does not have both workers\n";
	return @found{ 'pgfed', 'pgfed catalog' };
}

sub stop
{
	my ($self) = @_;
	my @pids = values %{ $self->{pids} };
	kill 'QUIT', @pids;
	PgFed::Faults::wait_gone(\@pids, 60);
	waitpid $_, 0 foreach @pids;
	$self->{pids} = {};
	File::Path::remove_tree($self->{dir});
	return;
}

$SIG{$_} = sub { $$ == $me ? exit(1) : POSIX::_exit(1) } foreach qw(TERM INT HUP);

END
{
	if ($$ == $me)
	{
		local ($?, $!, $@);
		foreach my $fleet (@fleets) { eval { $fleet->stop; 1 } or warn $@ }
	}
}

1;
