package PgFed::Federation;

=pod

=head1 NAME

PgFed::Federation - a federation of real servers for tests

=head1 SYNOPSIS

  use PgFed::Federation;    # loads PostgreSQL::Test::Cluster; Test::More is for the test to use

  my $fed = PgFed::Federation->new(
      nodes => [qw(leo ait pit)],
      conf  => "pgfed.peer_interval = 200ms\n",
      relay => { ait => 1 });
  $fed->start;
  $fed->wait_state('leo', 'ait', 'streaming');
  $fed->relay('ait')->command('cut both');
  $fed->wait_state('leo', 'ait', 'unreachable');
  $fed->kill9('pit');

The first node is the primary, the others are hot standbys made by pg_basebackup, streaming
over mutual TLS with sslmode=verify-full, each by its own slot. Node i (from 0) listens on
127.0.0.(2+i), on a port of its own, and on the unix socket that C<node> uses. Every test
function below counts as one test.

Everything is stopped when the test ends, also when it dies or is terminated.

=head1 MAKING ONE

=over

=item PgFed::Federation->new(%options)

B<nodes>: names, the first is the primary. B<conf>: settings for every node.
B<node_conf>: { name => settings }. B<hba>: pg_hba.conf lines before ours.
B<preload> => 0: plain servers, nothing of pgfed (C<enable_pgfed> adds its settings).
B<extension> => 0: preloaded, but no CREATE EXTENSION. B<table> => 0: no pgfed.add_node.
B<tls> => 0: no TLS, peers log in by trust. B<node_certs> => 1: each node's client certificate
has the node's name as CN (default: one for all, CN=pgfed).
B<relay> => { name => 1 }: what pgfed.nodes says is the address of a relay in front of that
server, so that faults hit everybody who dials it; one observer's path alone: 
C<< $fed->relay('ait')->command('for', $fed->node('leo')->data_dir, 'cut both') >>, for the
table has one address a node. The node's own dialling of itself goes through it as well.
B<relay_replication> => 1: streaming from a node with a relay goes through the relay too.
B<upstream> => { pit => 'ait' }: cascade. B<site> => { name => site }.
B<address> => { name => '127.0.0.9' }. B<host> => { name => 'leo.example' }: what the table
says instead of the address (certificates carry <name>.example; see PgFed::Net->hosts).
B<federation_name> (test), B<database> (postgres), B<role> (pgfed).
B<prefix>: for the names of data directories, when a test has two federations.

=item start

Certificates, primary, role, extension, slots, standbys, rows in pgfed.nodes. Returns when all
standbys stream; does not wait for pgfed's view of it: C<wait_steady> does.

=item add_standby(NAME, upstream => NODE, conf => TEXT, table => 0)

One more standby, from a new base backup. Returns the node.

=item clone(NAME, as => OTHER, how => 'backup'|'snapshot', standby => 0|1, conf => TEXT, start => 0)

A copy of a server that keeps its pgfed.node_name, at an address of its own: what somebody makes who
restores a backup, or a disk snapshot (taken with all its processes stopped). With standby => 1 it
follows the primary, without a slot; else it is a primary. Not in pgfed.nodes. C<< $fed->node(OTHER) >>.

=item enable_pgfed(NAME)

Writes what C<preload> =E<gt> 0 left out into postgresql.conf; needs a restart.

=item create_extension, add_rows

What C<extension> =E<gt> 0 and C<table> =E<gt> 0 left out.

=back

=head1 USING IT

=over

=item node(NAME)   the PostgreSQL::Test::Cluster object;  nodes: all names, in order

=item relay(NAME)  its PgFed::Relay;  certs: the PgFed::Certs;  primary: the name of the present primary

=item address(NAME), port(NAME), host(NAME), advertised_port(NAME), slot(NAME)

=item conninfo(NAME)   what pgfed.conninfo is there;  peer_connstr(FROM, TO, key => value...): the whole
connection string with which FROM's worker dials TO

=item sql(NAME, SQL)   as safe_psql: dies on an error, returns the output

=item query(NAME, SQL, timeout => 10, connstr => STRING)   (stdout, stderr); never dies, never hangs

=item poll(NAME, SQL, EXPECTED, TIMEOUT, TESTNAME)   until the output equals (or matches, if a Regexp;
or a code reference says so) EXPECTED; a failed test with diagnostics after TIMEOUT (default 15 s)

=item wait_state(OBSERVER, NODE, STATE [, TIMEOUT])   by pgfed.federation. wait_steady([TIMEOUT]): everybody sees
the primary running and the standbys streaming

=item set_conf(NAME, TEXT)   append and reload;  start_node, stop_node(NAME, MODE), restart_node

=item kill9(NAME, children => 1)   SIGKILL to the postmaster and, if told, every process of the server
(then it waits until they are gone). start_node waits for what is left of a killed server.

=item stop_signal(NAME), cont(NAME)   SIGSTOP / SIGCONT for the postmaster and all its children

=item worker_pid(NAME, 'pgfed' | 'pgfed catalog')   from the process table: works whatever state the
server is in; undef when there is none. signal_worker(NAME, WORKER, 'STOP'). wait_worker(NAME, WORKER [, TIMEOUT])

=item log_mark(NAME), log_since(NAME, MARK), log_contains(NAME, REGEX, MARK), wait_log(NAME, REGEX, TIMEOUT, MARK, TESTNAME)

=item logs_clean   a test: no server crashed, PANICked or failed an assertion (but for those killed)

=item stop_all   all servers (immediately) and relays, before the test's end

=item promote(NAME)   and wait until it is writable

=back

=cut

use strict;
use warnings;

use parent qw(PgFed::Faults PgFed::Watch);

use PgFed::Certs;
use PgFed::Relay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils ();
use POSIX ();
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

my @federations;
my $me = $$;

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# ---------------------------------------------------------------- making one

sub new
{
	my ($class, %p) = @_;
	my $self = bless {
		preload         => 1,
		extension       => 1,
		table           => 1,
		tls             => 1,
		conf            => '',
		hba             => '',
		federation_name => 'test',
		database        => 'postgres',
		role            => 'pgfed',
		prefix          => '',
		%p,
		order   => [],
		cluster => {},
		relays  => {},
		stopped => {},    # name => pids that we have sent SIGSTOP
		killed  => {},    # name => pids that may still be dying
	}, $class;
	my @names = @{ delete $self->{nodes} // [] } or die "a federation needs nodes\n";
	$self->{certs} = PgFed::Certs->new(PostgreSQL::Test::Utils::tempdir('certs') . '/certs');
	$self->{primary} = $names[0];
	$self->new_node($_) foreach @names;
	push @federations, $self;    # a strong reference: END needs it

	# So that END blocks run; but not in processes that the test forked.
	foreach my $signal (qw(TERM INT HUP))
	{
		next if $SIG{$signal} && $SIG{$signal} ne 'DEFAULT';
		$SIG{$signal} = sub { $$ == $me ? exit(1) : POSIX::_exit(1) };
	}
	return $self;
}

# The Cluster object, address and names of a node; nothing on disk but its directory.
sub new_node
{
	my ($self, $name) = @_;
	die "there is a node $name already\n" if $self->{cluster}{$name};
	$self->{cluster}{$name} = PostgreSQL::Test::Cluster->new("$self->{prefix}$name");
	$self->{addresses}{$name} = $self->{address}{$name} // '127.0.0.' . (2 + @{ $self->{order} });
	push @{ $self->{order} }, $name;
	return $self->{cluster}{$name};
}

sub make_certs
{
	my ($self, @names) = @_;
	return unless $self->{tls};
	my @items = ('--ca', 'ca', '--client', $self->{role});
	foreach my $name (@names)
	{
		push @items, '--server', $name, '--ip', $self->address($name), '--dns', "$name.example",
		  '--dns', 'localhost';
		push @items, '--client', $name if $self->{node_certs};
	}
	$self->{certs}->make(@items);
	return;
}

sub start
{
	my ($self) = @_;
	my ($primary, @standbys) = @{ $self->{order} };
	my $leo = $self->node($primary);
	$self->make_certs(@{ $self->{order} });
	$self->start_relay($_) foreach grep { $self->{relay}{$_} } @{ $self->{order} };

	$leo->init(allows_streaming => 1);
	$self->write_hba($primary);
	$leo->append_conf('postgresql.conf', $self->server_conf($primary));
	$leo->start;
	my $role = $self->{role};
	# Roles are the cluster's: the federation's own database may not exist yet.
	$leo->safe_psql('postgres', "CREATE ROLE \"$role\" LOGIN REPLICATION");
	$self->create_extension if $self->{preload} && $self->{extension};
	$self->{started} = 1;

	if (@standbys)
	{
		$leo->backup('base');
		$self->make_standby($_, 'base') foreach @standbys;
		$self->wait_streaming($_) foreach @standbys;
	}
	$self->add_rows if $self->{preload} && $self->{extension} && $self->{table};
	return $self;
}

sub start_relay
{
	my ($self, $name) = @_;
	my $address = $self->address($name);
	$self->{relays}{$name} = PgFed::Relay->start(
		name   => "relay $name",
		listen => "$address:" . PostgreSQL::Test::Cluster::get_free_port(),
		target => "$address:" . $self->port($name));
	return;
}

sub create_extension
{
	my ($self) = @_;
	my $primary = $self->{primary};
	$self->{extension} = 1;
	$self->sql($primary, 'CREATE EXTENSION pgfed');
	$self->sql($primary, "SELECT pgfed.allow_peer('$self->{role}')");
	return;
}

sub add_rows
{
	my ($self, @names) = @_;
	@names = grep { !$self->{is_clone}{$_} } @{ $self->{order} } unless @names;
	$self->sql($self->{primary},
		join '', map { "SELECT pgfed.add_node(" . $self->row_arguments($_) . ");\n" } @names);
	return;
}

# The arguments of pgfed.add_node for a node.
sub row_arguments
{
	my ($self, $name) = @_;
	my $text = "'$name', '@{[$self->host($name)]}', port => " . $self->advertised_port($name);
	$text .= ", site => '$self->{site}{$name}'"         if defined $self->{site}{$name};
	$text .= ", upstream => '$self->{upstream}{$name}'" if defined $self->{upstream}{$name};
	return $text;
}

sub write_hba
{
	my ($self, $name) = @_;
	my ($type, $method) = $self->{tls} ? ('hostssl', 'cert map=peers') : ('host', 'trust');
	my $dir  = $self->node($name)->data_dir;
	my $role = $self->{role};
	write_file("$dir/pg_hba.conf", <<"HBA");
local all all trust
local replication all trust
$self->{hba}
$type all "$role" 127.0.0.0/8 $method
$type replication "$role" 127.0.0.0/8 $method
HBA
	write_file("$dir/pg_ident.conf", <<"IDENT");
# Any certificate of the federation's own authority may act as the peer role.
peers /^.*\$ "$role"
IDENT
	return;
}

sub server_conf
{
	my ($self, $name) = @_;
	my $text = <<"CONF";

# By PgFed::Federation, for $name
listen_addresses = '@{[$self->address($name)]}'
max_connections = 40
log_statement = ddl
wal_receiver_status_interval = 1s
CONF
	if ($self->{tls})
	{
		my $certs = $self->{certs};
		$text .= "ssl = on\n"
		  . 'ssl_ca_file = ' . guc_quote($certs->ca) . "\n"
		  . 'ssl_cert_file = ' . guc_quote($certs->crt("server-$name")) . "\n"
		  . 'ssl_key_file = ' . guc_quote($certs->key("server-$name")) . "\n";
	}
	$text .= $self->pgfed_conf($name) if $self->{preload};
	$text .= $self->{conf} . "\n" . ($self->{node_conf}{$name} // '') . "\n";
	return $text;
}

sub pgfed_conf
{
	my ($self, $name) = @_;
	return <<"CONF";
shared_preload_libraries = 'pgfed'
pgfed.node_name = '$name'
pgfed.federation_name = '$self->{federation_name}'
pgfed.database = '$self->{database}'
pgfed.conninfo = @{[guc_quote($self->conninfo($name))]}
CONF
}

sub enable_pgfed
{
	my ($self, $name) = @_;
	$self->node($name)->append_conf('postgresql.conf', $self->pgfed_conf($name));
	$self->{preload} = 1;
	return;
}

# A standby of its upstream from a base backup of the primary.
sub make_standby
{
	my ($self, $name, $backup) = @_;
	my $upstream = $self->{upstream}{$name} // $self->{primary};
	my $slot     = $self->slot($name);
	$self->node($upstream)
	  ->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('$slot', true)");
	my $node = $self->node($name);
	$node->init_from_backup($self->node($self->{primary}), $backup);
	$node->append_conf('postgresql.conf',
		$self->server_conf($name) . $self->standby_conf($name, $upstream, $slot));
	$node->set_standby_mode;
	$node->start;
	return $node;
}

sub standby_conf
{
	my ($self, $name, $upstream, $slot) = @_;
	my $port =
	  $self->{relay_replication} ? $self->advertised_port($upstream) : $self->port($upstream);
	return 'primary_conninfo = '
	  . guc_quote(
		$self->peer_connstr(
			$name, $upstream,
			host             => $self->address($upstream),
			port             => $port,
			dbname           => undef,
			application_name => $name))
	  . "\nprimary_slot_name = '"
	  . ($slot // '') . "'\n";
}

sub wait_streaming
{
	my ($self, $name, $timeout) = @_;
	my $upstream = $self->{upstream}{$name} // $self->{primary};
	my $query    = "SELECT state FROM pg_stat_replication WHERE application_name = '$name'";
	my $deadline = now() + ($timeout // 30);
	while (1)
	{
		my ($out, $err) =
		  $self->query($upstream, $query, connstr => $self->node($upstream)->connstr('postgres'));
		return if $out eq 'streaming';
		die "$name does not stream from $upstream ($out$err):\n" . $self->log_tail($name)
		  if now() > $deadline;
		usleep(50_000);
	}
}

sub add_standby
{
	my ($self, $name, %p) = @_;
	my $node = $self->new_node($name);
	$self->{upstream}{$name}  = $p{upstream} if defined $p{upstream};
	$self->{node_conf}{$name} = $p{conf}     if defined $p{conf};
	$self->make_certs($name);
	$self->start_relay($name) if $self->{relay}{$name};
	$self->node($self->{primary})->backup("for_$name");
	$self->make_standby($name, "for_$name");
	$self->wait_streaming($name);
	$self->add_rows($name)
	  if $self->{preload} && $self->{extension} && $self->{table} && ($p{table} // 1);
	return $node;
}

sub clone
{
	my ($self, $name, %p) = @_;
	my $as       = $p{as} // die "clone needs a name (as => ...)\n";
	my $original = $self->node($name);
	my $backup   = "clone_$as";
	my $node     = $self->new_node($as);
	$self->{is_clone}{$as} = 1;
	if (($p{how} // 'backup') eq 'snapshot')
	{
		my $running = $self->is_running($name) && !$self->{stopped}{$name};
		$self->stop_signal($name) if $running;
		PostgreSQL::Test::RecursiveCopy::copypath(
			$original->data_dir,
			$original->backup_dir . "/$backup",
			filterfn => sub { return $_[0] !~ m{^(?:log|postmaster\.(?:pid|opts))$} });
		$self->cont($name) if $running;
	}
	else { $original->backup($backup) }
	$node->init_from_backup($original, $backup);

	# Its address differs; all else, with the node's name, is the original's. The server
	# certificate too: it would be copied with the machine.
	$node->append_conf('postgresql.conf',
		"\nlisten_addresses = '@{[$self->address($as)]}'\n" . ($p{conf} // ''));
	unlink $node->data_dir . '/standby.signal', $node->data_dir . '/recovery.signal';
	if ($p{standby})
	{
		$node->append_conf('postgresql.conf', $self->standby_conf($name, $self->{primary}, ''));
		$node->set_standby_mode;
	}
	$node->start if $p{start} // 1;
	return $node;
}

# ---------------------------------------------------------------- names and addresses

sub node
{
	my ($self, $name) = @_;
	return $self->{cluster}{$name} // die "there is no node \"$name\"\n";
}

sub nodes   { my ($self) = @_; return @{ $self->{order} } }
sub certs   { return $_[0]{certs} }
sub primary { return $_[0]{primary} }

sub relay
{
	my ($self, $name) = @_;
	return $self->{relays}{$name} // die "there is no relay before \"$name\"\n";
}

sub address { my ($self, $name) = @_; return $self->{addresses}{$name} }
sub port    { my ($self, $name) = @_; return $self->node($name)->port }
sub host    { my ($self, $name) = @_; return $self->{host}{$name} // $self->address($name) }

sub advertised_port
{
	my ($self, $name) = @_;
	return $self->{relays}{$name} ? $self->{relays}{$name}->port : $self->port($name);
}

sub slot { my ($self, $name) = @_; return 'pgfed_' . $name =~ tr/-/_/r }

sub guc_quote
{
	my ($text) = @_;
	return "'" . $text =~ s/'/''/gr . "'";
}

# key => value pairs (undef: left out) as a connection string
sub conninfo_text
{
	my (@pairs) = @_;
	my @parts;
	while (my ($key, $value) = splice @pairs, 0, 2)
	{
		next unless defined $value;
		$value =~ s/([\\'])/\\$1/g;
		$value = "'$value'" if $value eq '' || $value =~ /[\s\\']/;
		push @parts, "$key=$value";
	}
	return join ' ', @parts;
}

sub credentials
{
	my ($self, $name) = @_;
	my @pairs = (user => $self->{role}, dbname => $self->{database});
	return (@pairs, sslmode => 'disable') unless $self->{tls};
	my $client = 'client-' . ($self->{node_certs} ? $name : $self->{role});
	return (
		@pairs,
		sslmode     => 'verify-full',
		sslrootcert => $self->{certs}->ca,
		sslcert     => $self->{certs}->crt($client),
		sslkey      => $self->{certs}->key($client));
}

sub conninfo { my ($self, $name) = @_; return conninfo_text($self->credentials($name)) }

sub peer_connstr
{
	my ($self, $from, $to, %more) = @_;
	my @pairs =
	  (host => $self->host($to), port => $self->advertised_port($to), $self->credentials($from));
	for (my $i = 0; $i < @pairs; $i += 2)
	{
		$pairs[ $i + 1 ] = delete $more{ $pairs[$i] } if exists $more{ $pairs[$i] };
	}
	return conninfo_text(@pairs, map { $_ => $more{$_} } sort keys %more);
}

# ---------------------------------------------------------------- the end

sub write_file
{
	my ($path, $text) = @_;
	open(my $fh, '>', $path) or die "$path: $!\n";
	print $fh $text;
	close $fh or die "$path: $!\n";
	return;
}

# Nothing may be left stopped, or the Cluster module could not stop it.
sub release
{
	my ($self) = @_;
	$self->cont($_) foreach keys %{ $self->{stopped} };
	foreach my $node (values %{ $self->{cluster} })
	{
		my $pid = $node->{_pid};
		$node->{_pid} = undef if defined $pid && !PgFed::Faults::alive($pid);
	}
	$_->stop foreach values %{ $self->{relays} };
	return;
}

sub stop_all
{
	my ($self) = @_;
	$self->release;
	$_->teardown_node foreach values %{ $self->{cluster} };
	return;
}

# Runs before the Cluster module's own END block, which stops the servers: END blocks run in
# the reverse order of their definition.
END
{
	if ($$ == $me)
	{
		local ($?, $!);
		$_->release foreach @federations;
	}
}

1;
