# Copies of a node: a restored base backup, a disk snapshot, a standby cloned with its node_name. Each
# must find out what it is and keep out of the way; the real ones work on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PgFed::Federation;
use Test::More;

my @living = qw(leo ait);
my $fed    = PgFed::Federation->new(
	nodes => [@living],
	relay => { ait => 1 },
	conf  => "pgfed.peer_interval = 300ms\npgfed.peer_timeout = 900ms\n");
$fed->start;
$fed->wait_steady;
# Nothing of what follows may be an event about the living.
my %before;
sub mark_events { %before = map { $_ => $fed->sql($_, q{SELECT coalesce(max(id), 0) FROM pgfed.events}) } @living; return }
mark_events();

sub in_quarantine
{
	my ($copy, $original, $what) = @_;
	$fed->poll($copy, q{SELECT status FROM pgfed.checks WHERE name = 'identity'}, 'critical', 20,
		"$what is in quarantine");
	is( $fed->sql($copy, q{SELECT count(*) FROM pgfed.checks WHERE status = 'critical'}),
		'1', "$what: that is its one critical check");
	is( $fed->sql($copy, q{SELECT hint ~ 'pgfed.node_name' FROM pgfed.checks WHERE name = 'identity'}),
		't', "$what: which says what to do");
	is( $fed->sql($copy, qq{SELECT string_agg(DISTINCT state, ',') FROM pgfed.peers WHERE node <> '$original'}),
		'idle', "$what dials nobody else");
	is( $fed->sql($copy, qq{SELECT string_agg(DISTINCT state, ',') FROM pgfed.federation WHERE node <> '$original'}),
		'unknown', "$what says nothing about the others");
	$fed->poll($copy, q{SELECT count(*) FROM pgfed.events WHERE event = 'quarantine'}, '1', 5, "$what: an event");
	return;
}

sub undisturbed
{
	my ($what) = @_;
	foreach my $node (@living)
	{
		is( $fed->sql($node,
				q{SELECT string_agg(node || ' ' || state, ', ' ORDER BY node) FROM pgfed.federation WHERE seen < '3s'}),
			'ait streaming, leo running', "$what does not disturb $node");
		is( $fed->sql($node, qq{SELECT count(*) FROM pgfed.events
				WHERE id > $before{$node} AND event IN ('node_state', 'quarantine', 'two_primaries', 'role_changed')}),
			'0', "$what: no event on $node about its peers");
		is($fed->sql($node, q{SELECT status FROM pgfed.checks WHERE name = 'identity'}),
			'ok', "$what: $node knows itself");
	}
	return;
}

# ---------------------------------------------------------------- a restored base backup of the primary

$fed->clone('leo', as => 'backup', how => 'backup');
in_quarantine('backup', 'leo', 'a restored backup of the primary');
undisturbed('a restored backup');
$fed->stop_node('backup', 'immediate');

# ---------------------------------------------------------------- a snapshot of the standby's disk

$fed->clone('ait', as => 'snapshot', how => 'snapshot', start => 0);
# Its processes were stopped for the copy, which the others saw.
$fed->wait_steady;
mark_events();
$fed->start_node('snapshot');
in_quarantine('snapshot', 'ait', 'a disk snapshot of a standby');
undisturbed('a disk snapshot');
$fed->stop_node('snapshot', 'immediate');

# ---------------------------------------------------------------- a standby that was cloned with its name

$fed->clone('leo', as => 'cloned', how => 'backup', standby => 1);
in_quarantine('cloned', 'leo', 'a standby with its primary\'s name');
undisturbed('a cloned standby');

# With a name of its own, which the table does not know, it is still nobody's business.
$fed->certs->make('--ca', 'ca', '--server', 'cloned', '--ip', $fed->address('cloned'));
$fed->set_conf('cloned', "pgfed.node_name = 'new'\nssl_cert_file = '"
	  . $fed->certs->crt('server-cloned') . "'\nssl_key_file = '" . $fed->certs->key('server-cloned') . "'\n");
$fed->restart_node('cloned');
$fed->poll('cloned', q{SELECT status || ' ' || (hint ~ 'add_node') FROM pgfed.checks WHERE name = 'settings'},
	'critical true', 20, 'a name that is not in the table is a critical check');
is($fed->sql('cloned', q{SELECT string_agg(DISTINCT state, ',') FROM pgfed.peers}), 'idle', 'and it dials nobody');
# Until it is added.
$fed->sql('leo', sprintf q{SELECT pgfed.add_node('new', '%s', %d)}, $fed->address('cloned'), $fed->port('cloned'));
$fed->poll('cloned', q{SELECT string_agg(node || ' ' || state, ', ' ORDER BY node) FROM pgfed.federation},
	'ait streaming, leo running, new streaming', 20, 'once it is added, it is a member');
$fed->poll('leo', q{SELECT state FROM pgfed.federation WHERE node = 'new'}, 'streaming', 20, 'seen by the others');
$fed->stop_node('cloned', 'fast');
$fed->sql('leo', q{SELECT pgfed.remove_node('new')});

# ---------------------------------------------------------------- no hairpin: peers settle it

# ait's own endpoint (the relay) cannot be reached from ait alone.
$fed->relay('ait')->command('for', $fed->node('ait')->data_dir, 'cut both');
$fed->restart_node('ait');
$fed->poll('ait', q{SELECT status FROM pgfed.checks WHERE name = 'identity'}, 'ok', 30,
	'a peer that reaches a node settles who it is');
is($fed->sql('ait', q{SELECT detail ~ 'node "leo" reached' FROM pgfed.events WHERE event = 'identity_confirmed' ORDER BY id DESC LIMIT 1}),
	't', 'and the event names the peer');
undisturbed_states();

sub undisturbed_states
{
	$fed->poll($_, q{SELECT string_agg(node || ' ' || state, ', ' ORDER BY node) FROM pgfed.federation},
		'ait streaming, leo running', 20, "$_: the federation stands") foreach @living;
	return;
}

$fed->logs_clean;
done_testing();
