# Three servers, one federation: what each node shows of the others while they run, die, come back and
# change their roles.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PgFed::Federation;
use PostgreSQL::Test::Utils ();
use Test::More;

my @nodes = qw(leo ait pit);
my $fed   = PgFed::Federation->new(nodes => [@nodes], site => { leo => 'linz' });
$fed->start;
$fed->wait_steady;

# ---------------------------------------------------------------- as seen from each

foreach my $observer (@nodes)
{
	is( $fed->sql($observer,
			q{SELECT node, site, role, state, upstream, timeline, status, slot, certificate, detail
			  FROM pgfed.federation ORDER BY node}),
		"ait|default|standby|streaming|leo|1|ok||ok|\n"
		  . "leo|linz|primary|running||1|ok||ok|\n"
		  . "pit|default|standby|streaming|leo|1|ok||ok|",
		"$observer sees the federation");
	is( $fed->sql($observer,
			q{SELECT count(*) FROM pgfed.federation
			  WHERE seen < '3s' AND lsn IS NOT NULL AND since <= now()
			    AND (role = 'primary' OR (lag_bytes >= 0 AND lag < '5s'))}),
		'3', "$observer: seen, lsn, lag and since are there");
	is( $fed->sql($observer,
			q{SELECT node, state, stage, error, failures, tls_protocol, client_dn, library_version
			  FROM pgfed.peers ORDER BY node}),
		join("\n", map { "$_|connected|||0|TLSv1.3|CN=pgfed|0.1" } qw(ait leo pit)),
		"$observer has a session with each, itself included");
	is( $fed->sql($observer,
			q{SELECT count(*) FROM pgfed.peers, pg_control_system() c
			  WHERE peers.system_identifier = c.system_identifier AND rtt > '0' AND rtt < '2s'
			    AND abs(extract(epoch FROM clock_offset)) < 2
			    AND connected_since <= last_seen AND last_seen > now() - interval '3s'}),
		'3', "$observer: figures of the sessions");
	$fed->poll($observer, q{SELECT string_agg(observer || '>' || target, ' ' ORDER BY 1)
			FROM (SELECT observer, target FROM pgfed.links
			      WHERE connected AND rtt IS NOT NULL AND error IS NULL ORDER BY 1, 2) l},
		'ait>ait ait>leo ait>pit leo>ait leo>leo leo>pit pit>ait pit>leo pit>pit', 20,
		"$observer: everybody sees everybody, and itself at its own address");
	is($fed->sql($observer, q{SELECT count(*) FROM pgfed.checks WHERE status <> 'ok'}),
		'0', "$observer: all checks are ok");
	is($fed->sql($observer, q{SELECT string_agg(DISTINCT observer, ',') FROM pgfed.checks}),
		$observer, "$observer is the observer of its checks");
}

# ---------------------------------------------------------------- changes of the table

$fed->sql('leo', q{SELECT pgfed.set_node('pit', site => 'paris')});
foreach my $observer (@nodes)
{
	$fed->poll($observer, q{SELECT site FROM pgfed.federation WHERE node = 'pit'},
		'paris', 10, "$observer notices a change of pgfed.nodes");
}

# ---------------------------------------------------------------- a standby dies and comes back

my $incarnation_event = q{SELECT count(*) FROM pgfed.events
	WHERE node = 'ait' AND event = 'node_state' AND detail LIKE '% to unreachable: %'};
my $deaths = $fed->sql('leo', $incarnation_event);
$fed->kill9('ait');
$fed->wait_state($_, 'ait', 'unreachable') foreach qw(leo pit);
is( $fed->sql('leo',
		q{SELECT role, status, lsn IS NOT NULL, seen IS NOT NULL, detail ~ 'refused'
		  FROM pgfed.federation WHERE node = 'ait'}),
	'standby|critical|t|t|t', 'what was known of a dead node stays');
is( $fed->sql('leo', q{SELECT stage, state, failures > 0 FROM pgfed.peers WHERE node = 'ait'}),
	'connect|failed|t', 'the session says where it failed');
is( $fed->sql('leo',
		q{SELECT status, detail IS NOT NULL, hint ~ 'pg_isready' FROM pgfed.checks
		  WHERE node = 'ait' AND name = 'peer'}),
	'critical|t|t', 'a check says what to type');
$fed->poll('leo', $incarnation_event, $deaths + 1, 5, 'and there is one event');
is( $fed->sql('leo', q{SELECT string_agg(state, ',' ORDER BY node) FROM pgfed.federation WHERE node <> 'ait'}),
	'running,streaming', 'the others are as they were');
$fed->poll('leo', q{SELECT count(*) FROM pgfed.links WHERE observer = 'ait' AND connected},
	'0', 10, 'the links of a dead node are not shown as standing');
$fed->start_node('ait');
$fed->wait_state($_, 'ait', 'streaming') foreach @nodes;
$fed->wait_steady;

# A backend that is terminated there is no news.
my $before = $fed->sql('pit', q{SELECT max(id) FROM pgfed.events});
$fed->sql('leo', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE usename = 'pgfed' AND backend_type = 'client backend'});
$fed->poll('pit', q{SELECT connected_since > now() - interval '20s' AND state = 'connected'
	FROM pgfed.peers WHERE node = 'leo'}, 't', 10, 'a broken session is made again');
is($fed->sql('pit', qq{SELECT count(*) FROM pgfed.events WHERE id > $before AND node = 'leo'}),
	'0', 'without an event');

# ---------------------------------------------------------------- promotion, two primaries

$fed->promote('ait');
foreach my $observer (@nodes)
{
	$fed->poll($observer, q{SELECT role || ' ' || state || ' ' || timeline || ' ' || status
		FROM pgfed.federation WHERE node = 'ait'}, 'primary running 2 critical', 15,
		"$observer sees a second primary");
	is( $fed->sql($observer,
			q{SELECT count(*) FROM pgfed.checks WHERE name = 'primary' AND status = 'critical'
			  AND detail LIKE 'more than one primary: ait (timeline 2), leo (timeline 1)%'}),
		'3', "$observer: critical for the federation and for both");
	$fed->poll($observer,
		q{SELECT count(*) FROM pgfed.events WHERE event = 'two_primaries' AND severity = 'critical'},
		'1', 5, "$observer: one event");
}
my ($out, $err) = $fed->query('leo', q{SELECT pgfed.add_node('new', '127.0.0.77')});
like($err, qr/ERROR:.*primar/, 'the table is not changed while two primaries are seen');
$fed->stop_node('leo', 'fast');
foreach my $observer (qw(ait pit))
{
	$fed->poll($observer, q{SELECT status FROM pgfed.checks WHERE name = 'primary' AND node IS NULL},
		'ok', 15, "$observer: one primary again");
	$fed->poll($observer, q{SELECT count(*) FROM pgfed.events WHERE event = 'two_primaries_over'},
		'1', 5, "$observer: and an event about it");
}
is( $fed->sql('ait', q{SELECT count(*) FROM pgfed.events WHERE event = 'role_changed' AND node = 'ait'}),
	'1', 'a promotion is an event on the node itself');

# The change of the table goes by the new primary now.
$fed->sql('ait', q{SELECT pgfed.set_node('leo', site => 'lyon')});
$fed->poll('ait', q{SELECT site FROM pgfed.federation WHERE node = 'leo'}, 'lyon', 10,
	'the new primary changes the table');

$fed->logs_clean;
done_testing();
