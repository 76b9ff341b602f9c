# Whoever types a password where pgfed takes none finds it neither in the server log nor in anything that
# others may read, however the statement is written, sent and answered.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use IPC::Run ();
use PgFed::Federation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fed = PgFed::Federation->new(
	nodes => ['leo'],
	conf  => <<'CONF');
log_statement = all
log_min_duration_statement = 0
log_error_verbosity = verbose
log_parameter_max_length_on_error = -1
CONF
$fed->start;
my $mark = $fed->log_mark('leo');

# Each % becomes a secret of its own.
my @statements = (
	# the setting
	q{ALTER SYSTEM SET pgfed.conninfo = 'password=%'},
	q{ALTER SYSTEM SET "pgfed"."conninfo" = 'password=%'},
	q{ALTER SYSTEM SET PgFed.ConnInfo = 'user=peer %'},
	q{ALTER SYSTEM SET pgfed.conninfo = '%'},
	q{ALTER SYSTEM SET pgfed.conninfo = 'user=peer sslpassword=%'},
	q{ALTER SYSTEM SET pgfed.conninfo = 'postgresql://peer:%@127.0.0.1/db'},
	q{ALTER SYSTEM SET pgfed.conninfo = 'user=peer' '%'},
	q{ALTER SYSTEM SET pgfed.conninfo = '%''},
	q{ALTER SYSTEM SET pgfed.conninfo = user=peer %},
	q{ALTER SYSTEM SET pgfed.coninfo = 'password=%'},
	q{SET pgfed . conninfo = '%'},
	q{SET "pgfed" . "conninfo" TO 'password=%'},
	q{SET pgfed /* ours */ . conninfo = '%'},
	q{SELECT set_config('pgfed.conninfo', '%', false)},
	q{SELECT set_config('pgfed.' || 'conninfo', 'password=%', false)},
	q{UPDATE pg_settings SET setting = 'password=%' WHERE name = 'pgfed.conninfo'},
	q{DO $$BEGIN EXECUTE format('SET pgfed.conninfo = %L', '%'); END$$},
	q{ALTER DATABASE postgres SET pgfed.conninfo = '%'},
	q{ALTER ROLE pgfed SET pgfed.conninfo = 'password=%'},
	# the table
	q{SELECT pgfed.add_node('eva', '127.0.0.5', options => 'password=%')},
	q{SELECT pgfed.add_node('eva', '127.0.0.5', options => 'sslpassword=%')},
	q{SELECT pgfed.add_node('eva', '127.0.0.5', options => 'passfile=%')},
	q{SELECT pgfed.add_node('eva', '127.0.0.5', options => 'password=''%')},
	q{SELECT pgfed.add_node('eva', 'postgresql://u:%@h')},
	q{SELECT pgfed.add_node('eva', host => 'u:%@h')},
	q{SELECT pgfed.add_node('eva', '127.0.0.5', 'password=%')},
	q{SELECT pgfed.add_node('eva', "postgresql://u:%@h")},
	q{SELECT pgfed.add_node('eva', '127.0.0.5', options => 'password=%)},
	q{SELECT "pgfed"."add_node"('eva', 'postgresql://h?password=%')},
	q{SET search_path = pgfed; SELECT add_node('eva', '127.0.0.5', options => 'password=%')},
	q{SET search_path = pgfed; SELECT join ( 'eva', 'postgresql://u:%@h', 1, 'default')},
	q{SELECT pgfed.set_node('leo', options => 'password=%')},
	q{SELECT pgfed.set_node('leo', host => 'postgresql://u:%@h')},
	q{SELECT pgfed.join('eva', 'postgresql://u:%@h', 5432, 'default')},
	q{DO $$BEGIN PERFORM pgfed.set_node('leo', options => 'password=%'); END$$},
	q{PREPARE p AS SELECT pgfed.set_node('leo', options => $1); EXECUTE p('password=%')},
	q{INSERT INTO pgfed.nodes (name, host, port, site, options) VALUES ('eva', 'h', 1, NULL, 'password=%')},
);

my %sent;
foreach my $statement (@statements)
{
	my $secret = sprintf 'hunter%02dq', scalar keys %sent;
	$sent{$secret} = $statement;
	my $sql = $statement =~ s/%(?!L)/$secret/r;
	my (undef, $error) = $fed->query('leo', "\\set VERBOSITY verbose\n$sql;\n");
	like($error, qr/ERROR:/, "refused: $statement");
	my @told = grep { /\Q$secret\E/ } split /\n/, $error;
	is("@told", '', 'the error does not repeat it');
}

# As parameters: of PL/pgSQL, and of the protocol, which pgbench speaks in any version.
$fed->query('leo', q{DO $$BEGIN EXECUTE 'SELECT pgfed.set_node($1, options => $2)' USING 'leo', 'password=hunterDOq'; END$$});
$sent{hunterDOq} = 'EXECUTE ... USING';
my %extended = (
	hunterPAq => [ q{SELECT pgfed.set_node('leo', options => :v);}, 'password=hunterPAq' ],
	hunterPBq => [ q{SELECT pgfed.add_node('eva', :v);},            'postgresql://u:hunterPBq@h' ],
	hunterPCq => [ q{SELECT set_config('pgfed.conninfo', :v, false);}, 'hunterPCq' ],
	hunterPDq => [ q{SELECT :v::text, name FROM pgfed.nodes;},      'password=hunterPDq' ]);    # no error: its duration
foreach my $secret (sort keys %extended)
{
	my ($sql, $value) = @{ $extended{$secret} };
	my $script = PostgreSQL::Test::Utils::tempdir() . '/script';
	append_to_file($script, "$sql\n");
	IPC::Run::run([ 'pgbench', '-n', '-t', '1', '-M', 'extended', '-D', "v=$value", '-f', $script,
			'-d', $fed->node('leo')->connstr('postgres') ], '>', \my $out, '2>', \my $error);
	$secret eq 'hunterPDq'
	  ? like($out, qr{actually processed: 1/1}, "extended protocol: $sql")
	  : like($error, qr/ERROR: /, "extended protocol, refused: $sql");
	my @told = grep { /ERROR|DETAIL|CONTEXT/ && /\Q$secret\E/ } split /\n/, $error;
	is("@told", '', 'the error does not repeat it');
	$sent{$secret} = "extended protocol: $sql";
}

my $log = $fed->log_since('leo', $mark);
foreach my $secret (sort keys %sent)
{
	my @lines = grep { /\Q$secret\E/ } split /\n/, $log;
	is(join("\n", @lines), '', "not in the log: $sent{$secret}");
}
like($log, qr/not shown: it may hold a password/, 'the log says that something is missing');

foreach my $query (
	'SELECT string_agg(e::text, $$;$$) FROM pgfed.events e',
	'SELECT string_agg(c::text, $$;$$) FROM pgfed.checks c',
	'SELECT string_agg(n::text, $$;$$) FROM pgfed.nodes n',
	'SELECT string_agg(s::text, $$;$$) FROM pg_settings s',
	'SELECT string_agg(f::text, $$;$$) FROM pg_file_settings f')
{
	my $role = $query =~ /pgfed\.nodes|pg_file_settings/ ? '' : 'SET ROLE pg_monitor; ';
	my ($out, $error) = $fed->query('leo', "$role$query;");
	is($error, '', "read: $query");
	unlike($out, qr/hunter\w\wq/, "no secret: $query");
}

# The rest is logged as ever.
$mark = $fed->log_mark('leo');
$fed->query('leo', q{SELECT 'a password of somebody else';});
$fed->query('leo', q{SELECT * FROM (VALUES ('password')) a (x) JOIN (VALUES ('password')) b (x) USING (x);});
$fed->query('leo', q{SELECT pgfed.set_node('leo', site => 'Graz');});
$fed->query('leo', q{SELECT pgfed.set_node('eva', site => 'Linz');});
$log = $fed->log_since('leo', $mark);
like($log, qr/statement: SELECT 'a password of somebody else'/, 'other statements with the word');
like($log, qr/statement: SELECT \* FROM \(VALUES \('password'\)\) a/, 'and with JOIN');
like($log, qr/statement: SELECT pgfed\.set_node\('leo', site => 'Graz'\)/, 'harmless calls');
like($log, qr/STATEMENT:  SELECT pgfed\.set_node\('eva', site => 'Linz'\)/, 'those that fail too');
like($log, qr/pgfed: event=node_changed/, 'events');

$fed->logs_clean;
done_testing();
