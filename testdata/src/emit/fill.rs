//! Values that fill templates: users, orders, products, addresses.

use crate::dice::mix;
use crate::simulate::TraceRecord;

/// What users search for.
const TERMS: [&str; 16] = [
    "running shoes",
    "coffee grinder",
    "usb c cable",
    "desk lamp",
    "winter jacket",
    "yoga mat",
    "mechanical keyboard",
    "water bottle",
    "noise cancelling headphones",
    "garden hose",
    "cast iron pan",
    "board game",
    "hiking backpack",
    "wireless mouse",
    "sourdough starter",
    "raincoat kids",
];
const CARRIERS: [&str; 4] = ["dhl", "ups", "postnord", "gls"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:134.0) Gecko/20100101 Firefox/134.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) Version/18.2 Mobile Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0 Safari/537.36",
    "ShopApp/7.4.1 (Android 15; Pixel 9)",
];

impl TraceRecord {
    fn draw(&self, what: u64) -> u64 {
        mix(self.draws, what)
    }

    pub(crate) fn user(&self) -> u64 {
        10_000 + self.draw(1) % 48_000
    }

    pub(crate) fn order(&self) -> u64 {
        70_000_000 + self.draw(2) % 9_000_000
    }

    /// A product; few are asked for often, most seldom.
    pub(crate) fn product(&self) -> u64 {
        let (a, b) = (self.draw(3) % 2000, self.draw(4) % 2000);
        1000 + a * b / 2000
    }

    pub(crate) fn term(&self) -> &'static str {
        TERMS[(self.draw(5) % 256 * (self.draw(6) % 256) / 4096) as usize % TERMS.len()]
    }

    pub(crate) fn carrier(&self) -> &'static str {
        CARRIERS[(self.draw(7) % 4) as usize]
    }

    pub(crate) fn agent(&self) -> &'static str {
        AGENTS[(self.draw(8) % 4) as usize]
    }

    /// The user's address, from the documentation ranges of RFC 5737.
    pub(crate) fn address(&self) -> String {
        let word = self.draw(9);
        let net = ["192.0.2", "198.51.100", "203.0.113"][(word % 3) as usize];
        format!("{net}.{}", 1 + word / 3 % 254)
    }

    pub(crate) fn session(&self) -> u64 {
        self.draw(10) >> 16
    }

    pub(crate) fn cents(&self) -> u64 {
        990 + self.draw(11) % 24_000
    }

    /// A route with its parameter filled in.
    pub(crate) fn path(&self, route: &str) -> String {
        let Some(at) = route.find(['{', ':']) else { return route.to_owned() };
        let id = if route.contains("product") { self.product() } else { self.order() };
        format!("{}{id}", &route[..at])
    }
}
