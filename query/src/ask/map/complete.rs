//! What a sample of call chains lacks, from what callers and services say of all their spans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::calls::kind_of;
use super::gather::{Gathered, Node, Sums};
use crate::answer::map::NodeKind;
use crate::ask::dependency::Outgoing;
use crate::ask::measure::Measure;

impl Gathered {
    /// From a share of the requests of a window to all of them.
    pub(super) fn scale(&mut self, share: f64) {
        let nodes = self.nodes.values_mut().map(|node| &mut node.sums);
        for sums in nodes.chain(self.edges.values_mut().map(|edge| &mut edge.sums)) {
            sums.calls /= share;
            sums.errors /= share;
        }
    }

    /// Calls of what sends no spans have the figures that their callers have, and calls that the sample lacks are there, too.
    /// Services answer as often as they say.
    pub(super) fn complete(&mut self, outgoing: Outgoing, services: BTreeMap<String, Measure>) {
        let mut behind: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for ((_, peer), servers) in &self.served {
            behind.entry(Arc::clone(peer)).or_default().extend(servers.iter().cloned());
        }
        let mut known = BTreeSet::new();
        for ((caller, peer, kind), measure) in outgoing {
            let (caller, peer): (Arc<str>, Arc<str>) = (caller.into(), peer.into());
            let is_message = kind_of(kind) == NodeKind::Messaging;
            if !is_message && self.served.contains_key(&(Arc::clone(&caller), Arc::clone(&peer))) {
                // How many of them were answered, and by whom, only the sample tells.
                continue;
            }
            // What others get an answer from is the service that answers, if it is always the same.
            let mut servers = behind.get(&peer).filter(|_| !is_message).into_iter().flatten();
            let (callee, callee_kind) = match (servers.next(), servers.next()) {
                (Some(server), None) if *server != caller => {
                    (Arc::clone(server), NodeKind::Service)
                }
                _ => (peer, kind_of(kind)),
            };
            self.node(&caller, NodeKind::Service);
            self.node(&callee, callee_kind);
            let key = (caller, callee);
            let is_first = known.insert(key.clone()) && callee_kind != NodeKind::Service;
            let edge = self.edges.entry(key).or_default();
            if is_first {
                edge.sums = Sums::default();
            }
            edge.sums.merge(&measure.into());
            edge.kinds.entry(kind.into()).or_insert(1);
        }
        for (service, measure) in services {
            self.node(&service.into(), NodeKind::Service).sums = measure.into();
        }
        let is_peer = |node: &&mut Node| node.kind != NodeKind::Service;
        self.nodes.values_mut().filter(is_peer).for_each(|node| node.sums = Sums::default());
        for ((_, callee), edge) in &self.edges {
            if let Some(node) = self.nodes.get_mut(callee).filter(is_peer) {
                node.sums.merge(&edge.sums);
            }
        }
    }
}
