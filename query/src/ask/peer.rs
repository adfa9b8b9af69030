//! What a call is to, by the attributes of the span that makes it.

use headrope_analysis::ledger::Peer;

/// Attributes of a client or producer span that name what it calls; none of them is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Called<'a> {
    /// The span's own name.
    pub(super) name: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) address: Option<&'a str>,
    pub(super) port: Option<i64>,
    pub(super) network: Option<&'a str>,
    pub(super) db: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
    pub(super) summary: Option<&'a str>,
    pub(super) operation: Option<&'a str>,
    pub(super) collection: Option<&'a str>,
    pub(super) messaging: Option<&'a str>,
    pub(super) destination: Option<&'a str>,
    pub(super) is_rpc: bool,
    pub(super) is_http: bool,
}

impl Called<'_> {
    /// Whether nothing but the span's own name tells what it calls.
    pub(super) fn is_nameless(&self) -> bool {
        let names = [self.db, self.messaging, self.service, self.address, self.network];
        names.iter().all(Option::is_none)
    }

    fn at(&self) -> Option<String> {
        match (self.address, self.port) {
            (Some(address), Some(port)) => Some(format!("{address}:{port}")),
            (Some(address), None) => Some(address.to_owned()),
            (None, _) => self.network.map(str::to_owned),
        }
    }

    /// The peer, and what kind it is, by the attributes that only that kind carries: `database`, `messaging`, `rpc`, `http` or
    /// `other`. A store is told by its system, what it holds and its address.
    pub(super) fn peer(&self) -> (Peer, &'static str) {
        let at = self.at();
        let at = at.as_deref();
        let words =
            |words: &[Option<&str>]| words.iter().flatten().copied().collect::<Vec<_>>().join(" ");
        let (name, kind) = match (self.db, self.messaging) {
            (Some(_), _) => {
                let holds = self.namespace.or(self.service);
                (words(&[self.db, holds, at]), "database")
            }
            (None, Some(_)) => (words(&[self.messaging, self.destination, at]), "messaging"),
            (None, None) => {
                let kind = match (self.is_rpc, self.is_http) {
                    (true, _) => "rpc",
                    (false, true) => "http",
                    (false, false) => "other",
                };
                (self.service.or(at).unwrap_or(self.name).to_owned(), kind)
            }
        };
        let statement = match self.summary {
            Some(summary) => summary.to_owned(),
            None => words(&[self.operation, self.collection]),
        };
        let peer = Peer {
            name: name.into(),
            is_store: self.db.is_some() || self.messaging.is_some(),
            statement: (!statement.is_empty()).then(|| statement.into()),
        };
        (peer, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::Called;

    #[test]
    fn peers_have_the_name_that_says_most() {
        let of = |called: Called<'_>| {
            let (peer, kind) = called.peer();
            (peer.name.to_string(), kind, peer.is_store)
        };
        let db = Called { name: "SELECT", db: Some("postgresql"), ..Called::default() };
        let placed = Called { address: Some("10.0.0.1"), port: Some(5432), ..db };
        assert_eq!(of(db), ("postgresql".to_owned(), "database", true));
        assert_eq!(of(placed), ("postgresql 10.0.0.1:5432".to_owned(), "database", true));
        let shop = Called { namespace: Some("shop"), service: Some("orders-db"), ..placed };
        assert_eq!(of(shop).0, "postgresql shop 10.0.0.1:5432");
        let queue = Called { messaging: Some("kafka"), destination: Some("orders"), ..placed };
        assert_eq!(of(Called { db: None, ..queue }).0, "kafka orders 10.0.0.1:5432");
        let http = Called { name: "GET", is_http: true, ..Called::default() };
        assert_eq!(of(http), ("GET".to_owned(), "http", false));
        assert!(http.is_nameless() && !placed.is_nameless());
        let named = Called { network: Some("10.0.0.2"), port: Some(80), ..http };
        assert_eq!(of(named).0, "10.0.0.2");
        assert_eq!(of(Called { service: Some("cart"), is_rpc: true, ..named }).0, "cart");
    }
}
