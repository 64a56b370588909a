//! What a live token costs a request.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::endpoint::Endpoint;
use crate::lineup::{ALL, Peer};
use crate::support::drive::{Pattern, Stack};
use crate::support::paired::{self, Paired, STRETCHES};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};
use crate::{COMMAND, LONG, key};

/// Threads, and how many times our cost each peer's is to be at least.
const TARGETS: [(usize, f64); 2] = [(1, 5.0), (2, 8.0)];

/// A peer's times, in the same rounds as ours and those of the stacks without a token.
struct Group {
    members: Vec<Peer>,
    times: Paired,
}

impl Group {
    fn measure(stacks: &[Box<dyn Stack>], peer: Peer, threads: usize, rounds: usize) -> Self {
        let mut members = vec![Peer::Bare, Peer::TowerBearer];
        for member in [peer.base(), peer] {
            if !members.contains(&member) {
                members.push(member);
            }
        }
        let of = |member: &Peer| &*stacks[position(&ALL, *member)];
        let measured: Vec<&dyn Stack> = members.iter().map(of).collect();
        let times = Paired::measure(rounds, &measured, Pattern::Kept(threads));
        Self { members, times }
    }

    fn at(&self, peer: Peer) -> usize {
        position(&self.members, peer)
    }

    /// The stack and the one over which its cost counts.
    fn over_base(&self, peer: Peer) -> [usize; 2] {
        [peer, peer.base()].map(|peer| self.at(peer))
    }
}

fn position(peers: &[Peer], peer: Peer) -> usize {
    let position = peers.iter().position(|other| *other == peer);
    position.expect("one of them")
}

pub(crate) fn hot_path(runtime: &Runtime, rounds: usize, summary: &mut Summary) {
    let endpoint = Endpoint::new(LONG, Duration::ZERO);
    let stacks: Vec<Box<dyn Stack>> = runtime.block_on(async {
        let mut stacks = Vec::new();
        for peer in ALL {
            let stack = peer.build(&endpoint, false).await;
            assert!(stack.send().await, "{}", peer.name());
            stacks.push(stack);
        }
        stacks
    });
    heading("Peers: hot path", COMMAND);
    println!(
        "{rounds} rounds of {} requests for each peer, with tower-bearer and the stacks without a \
         token in the same rounds, each thread on a core of its own. The percentages are of the \
         rounds: in so many of them, all of the time of a request is at most so many times that of \
         the other stack in the same round. A cost is that of the fastest tenth of each stack's \
         rounds, over the same stack without a token. \"Times ours\" is its ratio to \
         tower-bearer's, in {STRETCHES} stretches of the rounds: median and quartiles.\n",
        paired::REQUESTS,
    );
    for (threads, target) in TARGETS {
        let measure = |peer| (peer, Group::measure(&stacks, peer, threads, rounds));
        let groups: Vec<(Peer, Group)> = ALL.into_iter().map(measure).collect();
        over_base(&groups, threads, target, summary);
        over_ours(&groups, threads, summary);
    }
}

fn count(threads: usize) -> String {
    let plural = if threads == 1 { "" } else { "s" };
    format!("{threads} thread{plural}")
}

fn cells(ratios: &[f64]) -> impl Iterator<Item = String> {
    ratios.iter().map(|ratio| format!("{ratio:.3}"))
}

fn over_base(groups: &[(Peer, Group)], threads: usize, target: f64, summary: &mut Summary) {
    println!("{}, over the same stack without a token:\n", count(threads));
    let last = ["cost, ns", "times ours", "target", ""];
    let mut table = Table::new(&[&["peer", "driven by"][..], &paired::HEAD, &last].concat());
    for (peer, group) in groups {
        let peer = *peer;
        let name = peer.name().to_owned();
        if peer.base() == peer {
            let time = format!("all: {:.0}", group.times.time(group.at(peer)));
            let mut row = vec![name];
            row.resize(2 + paired::HEAD.len(), String::new());
            row.extend([time, String::new(), String::new(), String::new()]);
            table.row(&row);
            continue;
        }
        let of @ [at, base] = group.over_base(peer);
        let cost = group.times.cost(at, base);
        let times_ours = group
            .times
            .cost_ratio(of, group.over_base(Peer::TowerBearer));
        let said = match (peer, times_ours) {
            (Peer::Constant | Peer::Wrapper, _) => "no live token",
            (Peer::OnceCell, _) => "never renews",
            (Peer::TowerBearer, _) => "",
            (_, Some(times)) if (times.low < target) == (times.high < target) => {
                verdict(times.low >= target)
            }
            _ => "undecided",
        };
        let times = times_ours.map_or("too noisy".to_owned(), |times| times.show(1));
        let mut row = vec![name, peer.wrapping().to_owned()];
        row.extend(cells(&group.times.ratios(at, base)));
        row.extend([format!("{cost:.0}"), times]);
        row.extend([format!("{target:.0}"), said.to_owned()]);
        table.row(&row);
        let key = |what: &str| key(peer, &format!("{threads}_thread_{what}"));
        summary.number(key("ns"), cost);
        summary.number(key("times_ours"), times_ours.map(|times| times.median));
        summary.number(key("over_base"), group.times.median_ratio(at, base));
    }
    table.print();
}

fn over_ours(groups: &[(Peer, Group)], threads: usize, summary: &mut Summary) {
    println!("{}, over tower-bearer on the same stack:\n", count(threads));
    let mut table = Table::new(&[&["peer"][..], &paired::HEAD].concat());
    for (peer, group) in groups {
        if *peer == Peer::TowerBearer || peer.base() != Peer::Bare {
            continue;
        }
        let ratios = group
            .times
            .ratios(group.at(*peer), group.at(Peer::TowerBearer));
        let mut row = vec![peer.name().to_owned()];
        row.extend(cells(&ratios));
        table.row(&row);
        for (part, ratio) in ["p5", "p25", "p50", "p75", "p95"].iter().zip(ratios) {
            let what = format!("{threads}_thread_over_ours_{part}");
            summary.number(key(*peer, &what), ratio);
        }
    }
    table.print();
}
